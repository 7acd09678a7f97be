"""Fixtures of the training tests."""

from collections.abc import Callable

import pytest

from scenescope.training.loop import Training
from tests.training.tiny import tiny_training


@pytest.fixture
def tiny() -> Callable[..., Training]:
    """Return the function that builds a tiny training."""
    return tiny_training
