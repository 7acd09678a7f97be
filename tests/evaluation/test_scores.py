import json

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassF1Score, MulticlassJaccardIndex, MulticlassPrecision, MulticlassRecall

from scenescope.errors import DataError
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.evaluation.scores import Scores


def test_two_by_two_by_hand():
    scores = Scores.from_matrix([[6, 2], [1, 3]], ["road", "sky"])
    # road: 6 right of 8 true and 7 predicted; sky: 3 right of 4 true and 5 predicted.
    assert scores.iou_by_class() == {"road": 6 / 9, "sky": 3 / 6}
    assert scores.accuracy == (6 / 8, 3 / 4)
    assert scores.mean_iou == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert scores.pixel_accuracy == 9 / 12
    assert scores.mean_accuracy == 0.75
    assert scores.frequency_weighted_iou == pytest.approx((8 * 6 / 9 + 4 * 3 / 6) / 12)
    assert scores.pixels == (8, 4)
    assert scores.absent == ()


def test_precision_recall_and_f1_of_an_image_of_four_pixels():
    confusion = ConfusionMatrix(3)
    confusion.update(torch.tensor([[0, 0], [0, 1]]), torch.tensor([[0, 0], [1, 1]]))
    scores = Scores.from_matrix(confusion, ["road", "sky", "car"])
    # road: 3 true pixels, 2 found, and nothing else is called road. sky: 1 true pixel, found, but 2 are called sky.
    assert scores.precision == (1, 1 / 2, None)
    assert scores.accuracy == (2 / 3, 1, None)
    assert scores.f1 == (4 / 5, 2 / 3, None)
    assert scores.mean_precision == 3 / 4
    assert scores.mean_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert scores.to_json()["recall"] == {"road": 2 / 3, "sky": 1, "car": None}


def test_a_class_that_is_never_predicted_has_no_precision_but_an_f1_of_zero():
    scores = Scores.from_matrix([[3, 0], [1, 0]], ["a", "b"])
    assert (scores.precision, scores.accuracy, scores.f1) == ((0.75, None), (1, 0), (6 / 7, 0))


@pytest.mark.parametrize(
    ("name", "metric"),
    [("precision", MulticlassPrecision), ("accuracy", MulticlassRecall), ("f1", MulticlassF1Score)],
)
def test_precision_recall_and_f1_equal_torchmetrics(name, metric):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (1, 40, 40), generator=generator)
    predictions = torch.where(torch.rand(labels.shape, generator=generator) < 0.7, labels, labels.roll(3, -1))
    labels[0, :5] = 255
    confusion = ConfusionMatrix(5)
    confusion.update(labels, predictions)
    oracle = metric(5, average="none", ignore_index=255)(predictions, labels)
    scores = Scores.from_matrix(confusion, list("abcde"))
    assert getattr(scores, name) == pytest.approx(oracle.tolist(), abs=1e-6)
    if name != "accuracy":
        assert getattr(scores, f"mean_{name}") == pytest.approx(float(oracle.mean()), abs=1e-6)


def test_an_absent_class_is_left_out_or_counts_as_zero():
    matrix = [[4, 0, 0], [2, 2, 0], [0, 0, 0]]
    skipped = Scores.from_matrix(matrix, ["a", "b", "c"])
    zero = Scores.from_matrix(matrix, ["a", "b", "c"], absent="zero")
    assert skipped.iou_by_class() == zero.iou_by_class() == {"a": 4 / 6, "b": 2 / 4, "c": None}
    assert skipped.absent == zero.absent == ("c",)
    assert skipped.mean_iou == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert zero.mean_iou == pytest.approx((4 / 6 + 2 / 4) / 3)
    assert skipped.mean_accuracy == pytest.approx((1 + 0.5) / 2)
    assert skipped.frequency_weighted_iou == zero.frequency_weighted_iou


def test_a_class_that_is_only_predicted_is_not_absent():
    scores = Scores.from_matrix([[3, 1], [0, 0]], ["a", "b"])
    assert scores.iou_by_class() == {"a": 0.75, "b": 0.0}
    assert scores.absent == ()
    assert scores.mean_iou == 0.375
    assert scores.accuracy == (0.75, None)
    assert scores.mean_accuracy == 0.75  # b has no true pixel to be right about


def test_mean_iou_as_the_official_code_computes_it():
    matrix = np.random.default_rng(0).integers(0, 50, (6, 6))
    matrix[2], matrix[:, 2] = 0, 0
    intersection = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - intersection
    official = (intersection / (np.spacing(1) + union)).mean()
    assert Scores.from_matrix(matrix, list("abcdef"), absent="zero").mean_iou == pytest.approx(official, abs=1e-12)


def test_iou_equals_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (1, 40, 40), generator=generator)
    predictions = torch.where(torch.rand(labels.shape, generator=generator) < 0.7, labels, labels.roll(3, -1))
    confusion = ConfusionMatrix(5)
    confusion.update(labels, predictions)
    scores = Scores.from_matrix(confusion, list("abcde"))
    oracle = MulticlassJaccardIndex(5, average=None)(predictions, labels)
    assert scores.iou == pytest.approx(oracle.tolist(), abs=1e-6)


def test_json_holds_what_the_scores_follow_from():
    scores = Scores.from_matrix([[4, 0, 0], [2, 2, 0], [0, 0, 0]], ["a", "b", "c"], absent="zero")
    stored = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert Scores.from_matrix(stored["matrix"], list(stored["iou"]), stored["absent_as"]) == scores
    assert stored["iou"]["c"] is None
    assert stored["absent"] == ["c"]


def test_sums_beyond_float_precision_stay_exact():
    scores = Scores.from_matrix([[2**60, 1], [0, 1]], ["a", "b"])
    assert scores.pixels == (2**60 + 1, 1)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(DataError, match="every label is ignored"):
        Scores.from_matrix([[0, 0], [0, 0]], ["a", "b"])
    with pytest.raises(DataError, match=r"shape \(2, 2\) does not fit 3 class names"):
        Scores.from_matrix([[1, 0], [0, 1]], ["a", "b", "c"])
    with pytest.raises(DataError, match=r"absent='zeros' is not known. Did you mean 'zero'"):
        Scores.from_matrix([[1]], ["a"], absent="zeros")
