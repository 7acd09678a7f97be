"""What is tried on a GPU alone, by one command: ``python -m pytest tests/gpu``.

Without one all is skipped. ``SCENESCOPE_TRY_ON=cpu`` tries the same in small on a CPU, so that the tests themselves are
tested where there is no GPU.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scenescope.device import finish, peak_memory

DEVICE = torch.device(os.environ.get("SCENESCOPE_TRY_ON", "cuda"))
SMALL = DEVICE.type == "cpu"
ROWS: list[tuple[str, str, str, str]] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = not SMALL and not torch.cuda.is_available()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if missing:
                item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device here"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ROWS:
        return
    name = torch.cuda.get_device_name(DEVICE) if not SMALL else "CPU, in small"
    terminalreporter.section(f"{name}, torch {torch.__version__}")
    head = ("what", "milliseconds", "MiB more", "difference")
    widths = [max(len(row[column]) for row in [head, *ROWS]) for column in range(len(head))]
    for row in (head, *ROWS):
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


@pytest.fixture
def device() -> torch.device:
    """The device that all is tried on."""
    return DEVICE


@pytest.fixture
def table() -> Callable[..., None]:
    """A function that adds a row to the table at the end: what, seconds, bytes, difference."""

    def add(what: str, seconds: float | None, peak: int | None = None, difference: float | None = None) -> None:
        told = "does not fit" if seconds is None else f"{1e3 * seconds:.2f}"
        memory = "" if peak is None else f"{peak / 2**20:.0f}"
        ROWS.append((what, told, memory, "" if difference is None else f"{difference:.1e}"))

    return add


def measured(call: Callable[[], object], repeats: int = 5) -> tuple[float | None, int | None]:
    """Return the least seconds of a call and the bytes that it takes on top; None where it does not fit."""
    try:
        call()
        peak = peak_memory(call, DEVICE)
        seconds = []
        for _ in range(repeats):
            finish(DEVICE)
            started = time.perf_counter()
            call()
            finish(DEVICE)
            seconds.append(time.perf_counter() - started)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None, None
    return min(seconds), peak
