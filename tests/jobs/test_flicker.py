import numpy as np
import pytest

from scenescope.jobs.flicker import STILL, Flicker, still_pixels


def test_flicker_by_hand():
    """Of six pixels one has another color; of the five still ones two change their class."""
    before = np.full((2, 3, 3), 100, np.uint8)
    after = before.copy()
    after[0, 0, 1] += STILL + 1
    after[0, 1] += STILL
    after[1, 2] -= STILL
    still = still_pixels(before, after)
    assert still.tolist() == [[False, True, True], [True, True, True]]
    flicker = Flicker()
    labels = np.array([[1, 1, 0], [0, 2, 0]], np.uint8)
    assert flicker.add(still, np.zeros((2, 3), np.uint8), labels) == pytest.approx(2 / 5)
    assert flicker.add(still, labels, labels) == 0
    assert (flicker.still, flicker.changed, flicker.share) == (10, 2, 0.2)


def test_without_a_still_pixel_nothing_flickers():
    nothing = np.zeros((2, 3), bool)
    flicker = Flicker()
    assert flicker.add(nothing, np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)) == 0
    assert flicker.share == 0


def test_still_pixels_are_those_of_a_loop_also_across_bands(monkeypatch):
    monkeypatch.setattr("scenescope.drawing.overlay.BAND", 20)
    generator = np.random.default_rng(0)
    before = generator.integers(0, 256, (9, 7, 3), np.uint8)
    after = np.clip(before.astype(int) + generator.integers(-12, 13, before.shape), 0, 255).astype(np.uint8)
    expected = [
        [all(abs(int(before[y, x, c]) - int(after[y, x, c])) <= STILL for c in range(3)) for x in range(7)]
        for y in range(9)
    ]
    assert still_pixels(before, after).tolist() == expected
