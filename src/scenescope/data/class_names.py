"""The lists of class names that are too long to stand in the code: ``name_lists/*.txt``, one class a line."""

from __future__ import annotations

from pathlib import Path


def read_names(name: str) -> tuple[str, ...]:
    """Return the class names of a list such as ``ade20k``, in order."""
    lines = Path(__file__).with_name("name_lists").joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return tuple(lines.splitlines())


def read_numbered_names(name: str) -> dict[int, str]:
    """Return the number and the name of each class of a list whose lines are ``NUMBER NAME``, in order."""
    numbered = (line.partition(" ") for line in read_names(name))
    return {int(number): text for number, _, text in numbered}
