import numpy as np
import pytest

from scenescope.evaluation.class_scores import mean_scores, per_class
from scenescope.evaluation.scores import Scores

MEANS = ("mean_iou", "mean_f1", "mean_precision", "mean_accuracy", "pixel_accuracy", "frequency_weighted_iou")


def random_matrices(num_matrices=20, num_classes=6):
    """Some classes are in neither truth nor prediction, some in one of the two."""
    generator = np.random.default_rng(0)
    matrices = generator.integers(0, 50, (num_matrices, num_classes, num_classes))
    matrices *= generator.random((num_matrices, num_classes, 1)) < 0.7
    matrices *= generator.random((num_matrices, 1, num_classes)) < 0.7
    return matrices


def margins(matrices):
    return np.stack([matrices.sum(axis=-1), matrices.sum(axis=-2), matrices.diagonal(axis1=-2, axis2=-1)], axis=-2)


@pytest.mark.parametrize("absent", ["skip", "zero"])
def test_many_matrices_at_once_equal_one_after_the_other(absent):
    matrices = random_matrices()
    means, classes = mean_scores(margins(matrices), absent), per_class(margins(matrices))
    compared = 0
    for number, matrix in enumerate(matrices):
        if not matrix.any():
            continue
        scores = Scores.from_matrix(matrix, list("abcdef"), absent)
        for name in MEANS:
            assert means[name][number] == pytest.approx(getattr(scores, name), abs=1e-14), name
        for name, own in (("iou", "iou"), ("f1", "f1"), ("precision", "precision"), ("recall", "accuracy")):
            found = [None if np.isnan(value) else value for value in classes[name][number]]
            assert found == list(getattr(scores, own))
        compared += 1
    assert compared > 15
    assert np.isnan(classes["iou"]).any()


@pytest.mark.parametrize("absent", ["skip", "zero"])
def test_nothing_scored_has_no_score(absent):
    assert all(np.isnan(value) for value in mean_scores(np.zeros((3, 4), int), absent).values())
