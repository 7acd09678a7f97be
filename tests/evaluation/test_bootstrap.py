import numpy as np
import pytest

from scenescope.evaluation import bootstrap
from scenescope.evaluation.bootstrap import Intervals, interval, resampled_counts, scored_images
from scenescope.evaluation.class_scores import mean_scores
from scenescope.evaluation.scores import Scores


def matrices_of(num_images, num_classes=4, seed=0):
    """Confusion matrices of images of which each has but some of the classes."""
    generator = np.random.default_rng(seed)
    matrices = generator.integers(0, 1000, (num_images, num_classes, num_classes))
    matrices *= generator.random((num_images, num_classes, 1)) < 0.6
    matrices[:, 0, 0] += 1
    return matrices


def margins(matrices):
    return np.stack([matrices.sum(axis=-1), matrices.sum(axis=-2), matrices.diagonal(axis1=-2, axis2=-1)], axis=-2)


def test_intervals_equal_a_slow_loop_over_whole_matrices():
    """That adds up the confusion matrices of the same draws and scores each sum as any other matrix."""
    matrices = matrices_of(9)
    generator = np.random.default_rng(bootstrap.SEED)
    found = []
    for _ in range(bootstrap.RESAMPLES):
        total = np.zeros((4, 4), int)
        for drawn in generator.integers(9, size=9):
            total += matrices[drawn]
        found.append(Scores.from_matrix(total, list("abcd")))
    intervals = Intervals(margins(matrices), "skip")
    assert intervals.images == 9
    for name, shown in intervals.means.items():
        expected = np.percentile([getattr(scores, name) for scores in found], [2.5, 97.5])
        assert shown == pytest.approx(tuple(expected), abs=1e-12), name
    for name, own in (("iou", "iou"), ("f1", "f1"), ("precision", "precision"), ("recall", "accuracy")):
        for number in range(4):
            values = [getattr(scores, own)[number] for scores in found]
            expected = np.percentile([value for value in values if value is not None], [2.5, 97.5])
            assert intervals.classes[name][number] == pytest.approx(tuple(expected), abs=1e-12)


def test_sums_are_exact_whole_numbers_in_blocks_of_any_size(monkeypatch):
    counts = np.random.default_rng(1).integers(0, 2**40, (50, 3, 7))
    whole = resampled_counts(counts, 30)
    monkeypatch.setattr(bootstrap, "_HELD", 100)  # two draws at once
    assert (resampled_counts(counts, 30) == whole).all()
    generator = np.random.default_rng(0)
    assert (whole == [counts[generator.integers(50, size=50)].sum(axis=0) for _ in range(30)]).all()


def test_memory_does_not_grow_with_the_images_times_the_draws(monkeypatch):
    """A thousand draws of 200,000 images would be 1.6 GB of weights."""
    held = []
    stack = np.stack

    def seen(arrays):
        stacked = stack(arrays)
        held.append(stacked.size)
        return stacked

    monkeypatch.setattr(np, "stack", seen)
    resampled_counts(np.ones((200_000, 3, 1), int), 50)
    assert len(held) == 3
    assert max(held) <= bootstrap._HELD


def test_images_without_a_scored_pixel_are_not_drawn():
    counts = margins(matrices_of(5))
    with_empty = np.concatenate([np.zeros((7, 3, 4), int), counts, np.zeros((2, 3, 4), int)])
    assert (scored_images(with_empty) == counts).all()
    assert Intervals(with_empty, "skip").means == Intervals(counts, "skip").means


def test_one_image_has_no_interval_and_equal_images_one_without_width():
    one = margins(matrices_of(1))
    assert (Intervals(one, "skip").means, Intervals(one, "skip").classes) == ({}, {})
    same = Intervals(one.repeat(6, axis=0), "skip")
    expected = float(mean_scores(one[0], "skip")["mean_iou"])
    assert same.means["mean_iou"] == pytest.approx((expected, expected), abs=1e-12)


def test_a_class_without_values_has_no_interval():
    assert interval(np.array([np.nan, np.nan])) is None
    assert interval(np.array([np.nan, 1.0, 2.0]), level=0.5) == (1.25, 1.75)


def test_nineteen_of_twenty_intervals_hold_the_planted_accuracy():
    """Images are drawn from a population of known pixel accuracy; 95 % is what the intervals say of themselves."""
    generator = np.random.default_rng(5)
    hits, rounds, size = 0, 200, 60
    for _ in range(rounds):
        accuracy = generator.beta(8, 2, size)  # 0.8 in the mean
        right = generator.binomial(1000, accuracy)
        total = np.full(size, 1000)
        low, high = interval(
            mean_scores(resampled_counts(np.stack([total, total, right], 1)[:, :, None], 300), "skip")["pixel_accuracy"]
        )
        hits += low <= 0.8 <= high
    assert 0.90 <= hits / rounds <= 0.99
