"""Promises and how often they were put to the test.

``make test`` tries each a few times, ``make reliability`` as often as promised, and keeps the table in
``benchmarks/reliability.md``. Limits in seconds are tried there only.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from measure import machine, table

WHOLE = os.environ.get("RELIABILITY") == "whole"
"""Whether this is ``make reliability``."""
PAGE = Path(__file__).resolve().parents[2] / "benchmarks" / "reliability.md"


@pytest.fixture(scope="session")
def whole() -> bool:
    return WHOLE


@pytest.fixture(scope="session")
def times() -> Callable[[int, int], int]:
    """Return a function that chooses between the number of faults promised and a few."""
    return lambda promised, few: promised if WHOLE else few


@pytest.fixture
def promise() -> Callable[..., None]:
    """Return a function that keeps how a promise fared, and fails if a fault was not survived."""

    def keep(what: str, tried: int, survived: int, at_least: float = 1.0) -> None:
        if WHOLE:
            keep_row(what, tried, survived)
        assert tried > 0
        assert survived >= at_least * tried, f"{what}: {survived} of {tried} survived"

    return keep


def keep_row(what: str, tried: int, survived: int) -> None:
    """Write a row of the table at once, in the place of its last: a run that is cut keeps what it has found."""
    lines = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][2:]
    rows = {name: [name, *numbers] for name, *numbers in cells} | {what: [what, f"{tried:,}", f"{survived:,}"]}
    PAGE.write_text(
        "# Promises, faults tried, faults survived\n\n"
        f"{table(['promise', 'tried', 'survived'], list(rows.values()))}\n\n"
        "    make reliability\n\n"
        "makes this table anew; `tests/reliability/` says what each line does.\n\n"
        f"{_NOT_PROMISED}\n{machine()}\n",
        encoding="utf-8",
    )


_NOT_PROMISED = """## What is not promised

- A resume with another number of processes is refused, not exact.
- Bits are the same on one machine with one version of torch and one number of threads, not across machines.
- Training images whose labels are all ignored train nothing; `check` finds them, the training itself does not.
- A checkpoint that a disk returns damaged in a way that keeps its SHA-256 is not noticed.
- Power loss between two moves may leave the directory before the last; it is found and put back at the next start.
"""
