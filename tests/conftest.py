"""Fixtures for the whole suite."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# No test judges time: how long an example takes hangs on what else the machine does.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """A function from a part's name, such as "camvid", to its folder of real images.

    The folder above is named by SCENESCOPE_DATA: unset skips the test, set but lacking the part fails it.
    """

    def find(part: str) -> Path:
        root = os.environ.get("SCENESCOPE_DATA")
        if not root:
            pytest.skip("SCENESCOPE_DATA does not name a folder of real images")
        path = Path(root).resolve() / part
        if not path.is_dir():
            pytest.fail(f"SCENESCOPE_DATA={root} lacks the folder {part}")
        return path

    return find


@pytest.fixture
def cpu_with(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that pretends to a CPU with these instructions and no others."""

    def pretend(*instructions: str) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(instructions, True), raising=False)

    return pretend
