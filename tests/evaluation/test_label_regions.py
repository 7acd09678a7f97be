"""Regions of small masks by hand, and against a loop over their pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenescope.evaluation import label_regions
from scenescope.evaluation.label_regions import RIM, SelfConfidence, find_regions, score
from scenescope.labels import IGNORE

SURE = math.log(0.9), math.log(0.05)


@pytest.fixture(autouse=True)
def small_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_regions, "SMALLEST", 1)


def answered(answers: np.ndarray, num_classes: int = 3) -> np.ndarray:
    """Log-probabilities, K x H x W: 0.9 for the answer, 0.05 for each of two others."""
    chosen = answers[None] == np.arange(num_classes)[:, None, None]
    return np.where(chosen, *SURE).astype(np.float32)


def test_a_forgotten_object_is_a_part_and_an_object_of_a_wrong_class_stands_for_its_area() -> None:
    labels = np.zeros((6, 8), np.uint8)
    labels[:, 5:] = 1
    answers = labels.copy()
    answers[1:3, 1:3] = 2  # forgotten in the area of class 0
    answers[:, 5:] = 2  # all of the area of class 1
    found, small = find_regions(answered(answers), labels)
    told = {(each.label, each.answer, each.area, each.box) for each, _ in found if each.log_odds > 0}
    assert told == {(0, 2, 4, (1, 1, 2, 2)), (1, 2, 18, (5, 0, 3, 6))}
    believed = [each for each, _ in found if each.log_odds < 0]
    assert [(each.label, each.area, each.share) for each in believed] == [(0, 30, 1.0)]
    assert small == 0


def test_the_score_is_the_equation() -> None:
    labels = np.zeros((4, 4), np.uint8)
    labels[:, 2:] = 1
    answers = labels.copy()
    answers[:, 2:] = 2
    confidence = SelfConfidence(3)
    confidence.add(answered(answers), labels)
    thresholds = confidence.log_thresholds()
    # Laplace's rule over 8 pixels that are believed with 0.9, 8 with 0.05, and none.
    assert np.exp(thresholds) == pytest.approx([(7.2 + 1) / 10, (0.4 + 1) / 10, 1 / 2])
    region = next(each for each, _ in find_regions(answered(answers), labels)[0] if each.label == 1)
    # Eight pixels, of which the four of the left column are beside another region.
    expected = 8 * (math.log(0.9 / 0.05) - math.log(0.5 / 0.14)) / (8 + RIM * 4)
    assert score(region, thresholds) == pytest.approx(expected, rel=1e-5)
    assert region.probability == pytest.approx(0.05)


def test_slivers_along_an_edge_are_behind_a_compact_object_of_their_size() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 20:] = 1
    answers = labels.copy()
    answers[:36, 20] = 0  # an edge drawn a pixel off: 36 pixels
    answers[10:16, 5:11] = 2  # 36 pixels
    found = [each for each, _ in find_regions(answered(answers), labels)[0] if each.log_odds > 0]
    sliver, compact = sorted(found, key=lambda each: each.answer)
    assert sliver.area == compact.area == 36
    assert score(compact, np.zeros(3)) > 1.5 * score(sliver, np.zeros(3))


def test_a_class_that_a_model_is_never_sure_of_is_not_disbelieved_for_that() -> None:
    labels = np.zeros((4, 4), np.uint8)
    labels[:, 2:] = 1
    answers = np.zeros_like(labels)
    region = next(each for each, _ in find_regions(answered(answers), labels)[0] if each.label == 1)
    sure, unsure = np.log([0.9, 0.9, 0.5]), np.log([0.9, 0.05, 0.5])
    assert score(region, sure) > 0
    assert score(region, unsure) == pytest.approx(0, abs=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_pixels_are_in_one_region_each_and_sums_are_those_of_a_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.choice([0, 1, 2, IGNORE], (7, 9)).astype(np.uint8)
    raw = generator.normal(size=(3, 7, 9)).astype(np.float32) * 3
    log_probabilities = raw - np.log(np.exp(raw).sum(axis=0))
    answers = log_probabilities.argmax(axis=0)
    covered = np.zeros(labels.shape, int)
    for region, inside in find_regions(log_probabilities, labels)[0]:
        left, top, width, height = region.box
        assert inside.shape == (height, width)
        odds = probability = 0.0
        places = [(top + y, left + x) for y, x in np.argwhere(inside)]
        for y, x in places:
            assert labels[y, x] == region.label
            odds += log_probabilities[region.answer, y, x] - log_probabilities[region.label, y, x]
            probability += math.exp(log_probabilities[region.label, y, x])
            # A disbelieved pixel may lie in the area and in the part of it that is told besides.
            covered[y, x] += 1
        assert region.area == len(places)
        assert region.log_odds == pytest.approx(odds, rel=1e-3, abs=1e-3)
        assert region.probability == pytest.approx(probability / len(places), rel=1e-3)
    assert not covered[labels == IGNORE].any()
    assert covered.max() <= 2
    assert (covered[(labels != IGNORE) & (answers != labels)] >= 1).all()


def test_what_is_tiny_is_counted_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_regions, "SMALLEST", 5)
    labels = np.zeros((4, 6), np.uint8)
    labels[0, 0] = 1
    assert [each.area for each, _ in find_regions(answered(labels), labels)[0]] == [23]
    assert find_regions(answered(labels), labels)[1] == 1
