"""The words of names, help and errors: those of torch, timm and smp, in their spelling, and one for each idea."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "scenescope"

WORDS = {
    "picture": "image",
    "colour": "color",
    "centre": "center",
    "grey": "gray",
    "optimis": "optimiz",
    "normalis": "normaliz",
    "initialis": "initializ",
    "recognis": "recogniz",
    "summaris": "summariz",
    "neighbour": "neighbor",
    "behaviour": "behavior",
    "catalogue": "catalog",
    "labelled": "labeled",
    "magnif": "input_scale",
    "yardstick": "baseline",
    "processor": "cpu",
    "lonely": "unpaired",
    "banded": "resize_argmax",
}
"""Beginnings of words that no name, help or error has, and what stands there instead."""

WHOLE = {
    "rate": "lr",
    "average": "ema",
    "workers": "num_workers",
    "accumulation": "grad_accum_steps",
    "cache": "nothing: it is gone",
}
"""Names that nothing public has as a whole."""

_START = "(?<![a-z])"
_FORBIDDEN = re.compile("|".join(f"{_START}{word}" for word in WORDS), re.IGNORECASE)
_CONSTANT = re.compile(r"_?(MOST|LARGEST|BIGGEST)_")


def public_names(tree: ast.Module) -> Iterator[str]:
    """Yield what other code can say: functions, classes, their parameters and attributes, constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def texts(tree: ast.Module) -> Iterator[str]:
    """Yield what a user may be shown: every text, and the docstrings of commands, which are their help."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def unusual(tree: ast.Module) -> set[str]:
    names = set(public_names(tree))
    found = {name for name in names if _FORBIDDEN.search(name.replace("_", " ")) or _CONSTANT.match(name)}
    found |= {name for name in names if name in WHOLE}
    return found | {text for text in texts(tree) if _FORBIDDEN.search(text)}


def test_names_help_and_errors_have_the_words_of_the_field() -> None:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        if path.name == "old_names.py":  # it reads the old ones
            continue
        words = unusual(ast.parse(path.read_text())) | ({path.stem} if _FORBIDDEN.search(path.stem) else set())
        if words:
            found[str(path.relative_to(SOURCE))] = words
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "def read_picture(): pass",
        "class Colours: pass",
        "def step(rate): pass",
        "MOST_SHOWN = 3",
        "self.average = 1",
        "raise ValueError('the picture is too large')",
        "def command():\n    '''Train on a processor.'''",
    ],
)
def test_an_unusual_word_is_found(code: str) -> None:
    assert unusual(ast.parse(code))


@pytest.mark.parametrize("code", ["def moderate(): pass", "averaged = 1", "largest_sample = 2", "'re-rate an image'"])
def test_usual_words_pass(code: str) -> None:
    assert not unusual(ast.parse(code))
