"""The rate by hand."""

import pytest

from scenescope.config import TrainSettings
from scenescope.training.schedule import learning_rate


def test_poly_by_hand() -> None:
    settings = TrainSettings(steps=100, lr=0.01, poly_power=0.9)
    assert learning_rate(0, settings) == 0.01
    assert learning_rate(50, settings) == pytest.approx(0.01 * 0.5**0.9, rel=1e-12)
    assert learning_rate(99, settings) == pytest.approx(0.01 * 0.01**0.9, rel=1e-12)


def test_warm_up_rises_to_the_schedule() -> None:
    settings = TrainSettings(steps=100, lr=1.0, poly_power=0, warmup_steps=4)
    assert [learning_rate(step, settings) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_never_below_the_minimum() -> None:
    settings = TrainSettings(steps=100, lr=0.01, min_lr=1e-3)
    assert learning_rate(99, settings) == 1e-3
