import dataclasses
import json

import numpy as np
import pytest

from scenescope.errors import DataError
from scenescope.evaluation.bootstrap import RESAMPLES, SEED, Intervals, resampled_counts
from scenescope.evaluation.scores import Scores
from scenescope.workflows.comparison import compare
from scenescope.workflows.evaluation_result import EvaluationResult

CLASSES = ("road", "sky", "car")


def margins(matrices):
    return np.stack([matrices.sum(axis=-1), matrices.sum(axis=-2), matrices.diagonal(axis1=-2, axis2=-1)], axis=-2)


def predicted(truth, right, generator):
    """Confusion matrices of images with these true pixels, of which a share is right and the rest anything."""
    matrices = np.zeros((*truth.shape, truth.shape[1]), int)
    for number, pixels in enumerate(truth):
        for true, count in enumerate(pixels):
            hit = generator.binomial(count, np.clip(right[number], 0, 1))
            matrices[number, true] = generator.multinomial(count - hit, [1 / truth.shape[1]] * truth.shape[1])
            matrices[number, true, true] += hit
    return matrices


def result(matrices, **changes):
    images = tuple(f"image {number}" for number in range(len(matrices)))
    return dataclasses.replace(EvaluationResult({}, CLASSES, "skip", images, margins(matrices)), **changes)


def pair_of(num_images=30, gain=0.0, seed=0, spread=0.2):
    """Two sets of matrices of the same images; how hard an image is differs much more than the two do."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(500, 5000, (num_images, 3))
    hard = generator.uniform(0.7 - spread, 0.7 + spread, num_images)
    return [predicted(truth, hard + add, generator) for add in (0.0, gain)]


def test_a_slow_loop_with_the_same_draws_for_both():
    matrices = pair_of(8, 0.05)
    found = compare(*map(result, matrices))
    generator = np.random.default_rng(SEED)
    differences, of_class = [], []
    for _ in range(RESAMPLES):
        drawn = generator.integers(8, size=8)
        first, second = (Scores.from_matrix(each[drawn].sum(axis=0), CLASSES) for each in matrices)
        differences.append(second.mean_iou - first.mean_iou)
        of_class.append(second.iou[2] - first.iou[2])
    first, second = (Scores.from_matrix(each.sum(axis=0), CLASSES) for each in matrices)
    mean = found.means["mean_iou"]
    assert (mean.first, mean.second) == (pytest.approx(first.mean_iou), pytest.approx(second.mean_iou))
    assert mean.interval == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5])), abs=1e-12)
    assert found.classes["car"].interval == pytest.approx(tuple(np.percentile(of_class, [2.5, 97.5])), abs=1e-12)
    assert found.classes["car"].difference == pytest.approx(second.iou[2] - first.iou[2])


def test_a_result_and_itself_differ_by_nothing():
    one = result(pair_of()[0])
    found = compare(one, one)
    for change in (*found.means.values(), *found.classes.values()):
        assert (change.difference, change.interval) == (0, (0, 0))
    assert "holds 0: these images do not tell the two apart" in found.sentence()


def test_a_small_gain_on_every_image_is_found_though_images_differ_much_more():
    first, second = pair_of(gain=0.02)
    found = compare(result(first), result(second))
    low, high = found.means["mean_iou"].interval
    assert 0 < low < found.means["mean_iou"].difference < high
    assert found.sentence().endswith("lies above 0: the second is better beyond the choice of the images.")
    back = compare(result(second), result(first))
    assert back.means["mean_iou"].interval == pytest.approx((-high, -low))
    assert "below 0: the second is worse" in back.sentence()
    # Of one result alone, the choice of images moves the score by much more.
    alone = Intervals(margins(first), "skip").means["mean_iou"]
    assert alone[1] - alone[0] > 3 * (high - low)


def test_about_nineteen_of_twenty_intervals_hold_no_difference_where_there_is_none(monkeypatch):
    monkeypatch.setattr("scenescope.workflows.comparison.resampled_counts", few_draws)
    held = []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        truth = generator.integers(500, 5000, (40, 3))
        # Each is better on images of its own: 0 in the mean over all that there could be.
        shares = [generator.uniform(0.5, 0.9, 40) for _ in range(2)]
        low, high = (
            compare(*(result(predicted(truth, share, generator)) for share in shares)).means["mean_iou"].interval
        )
        held.append(low <= 0 <= high)
    assert 0.88 <= np.mean(held) <= 0.99


def few_draws(counts):
    return resampled_counts(counts, 300)


def test_the_most_changed_images_come_first_and_those_without_pixels_not_at_all():
    matrices = np.zeros((4, 3, 3), int)
    matrices[:, 0, 0] = 100
    matrices[3] = 0
    changed = matrices.copy()
    changed[1, 0, :2] = 60, 40
    changed[2, 0, :2] = 90, 10
    found = compare(result(matrices), result(changed))
    assert list(found.images) == ["image 1", "image 2", "image 0"]
    # Over the two classes that are in truth or prediction: 0.6 and 0.
    assert found.images["image 1"].difference == pytest.approx(0.3 - 1)
    assert found.classes["car"].difference is None
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["images"]["image 0"]["difference"] == 0


def test_the_order_of_the_images_makes_no_difference():
    first, second = pair_of(6, 0.1)
    straight = compare(result(first), result(second))
    images = tuple(f"image {number}" for number in range(6))
    turned = compare(result(first), result(second[::-1], images=images[::-1]))
    assert turned == straight


def test_one_image_has_no_interval():
    first, second = pair_of(1)
    found = compare(result(first), result(second))
    assert found.means["mean_iou"].interval is None
    assert found.sentence() == "One scored image has no interval."


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"classes": ("road", "car", "sky")}, "class 1 is 'sky' in the first and 'car' in the second"),
        ({"absent": "zero"}, "--absent was skip in the first and zero in the second"),
        (
            {"images": ("image 0", "image 1", "x", "image 3")},
            "1 images are in the first alone, such as image 2 and 1 images are in the second alone, such as x",
        ),
    ],
)
def test_results_of_something_else_are_refused_in_one_line(changes, told):
    first, second = pair_of(4)
    with pytest.raises(DataError, match=f"^The results differ in what was scored: {told}; evaluate both on the same"):
        compare(result(first), result(second, **changes))


def test_other_labels_of_the_same_images_are_refused():
    first, second = pair_of(4)
    counts = margins(second)
    counts[2, 0, 1] += 7
    told = (
        rf"the labels of 1 images do, such as image 2, which has {counts[2, 0, 1] - 7:,} pixels of 'sky' in the first"
    )
    with pytest.raises(DataError, match=told):
        compare(result(first), result(second, counts=counts))
    fewer = EvaluationResult({}, CLASSES[:2], "skip", ("image 0",), counts[:1, :, :2])
    with pytest.raises(DataError, match="the first has 3 classes and the second 2"):
        compare(result(first), fewer)
