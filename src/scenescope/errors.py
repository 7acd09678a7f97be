"""Every error that a user can cause.

ScenescopeError
├── RecipeError        a recipe or an override that cannot be used
├── DataError          a data set that is not fit to use
│   ├── LabelError     a label value that is neither a class nor ignored
│   └── SplitError     a split that the data set does not have
├── ImageError         an image that cannot be read
├── ModelError         a model, backbone or option that does not exist or does not fit
├── CheckpointError    a file of weights that is damaged, missing or of another network
├── TrainingError      a training that cannot go on (loss not finite, one value per norm)
├── DeviceError        a device or number format that this machine does not have
└── StorageError       a place that cannot be written (no space, not a directory, not allowed)

Each message is one line that says what was given, what was expected and what to do next. The command line
prints it and ends with exit code 2.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

ALIKE = 0.75
"""Names below this likeness (``difflib``, 0..1) are others, not misspelt ones."""


class ScenescopeError(Exception):
    """A mistake in what the user gave, told in one line."""


class RecipeError(ScenescopeError):
    """A recipe or an override that cannot be used."""


class DataError(ScenescopeError):
    """A data set that is not fit to use."""


class LabelError(DataError):
    """A label value that is neither a class nor ignored."""


class SplitError(DataError):
    """A split that the data set does not have."""


class ImageError(ScenescopeError):
    """An image that cannot be read."""


class ModelError(ScenescopeError):
    """A model, backbone or option that does not exist or does not fit."""


class CheckpointError(ScenescopeError):
    """A file of weights that is damaged, missing or of another network."""


class TrainingError(ScenescopeError):
    """A training that cannot go on."""


class DeviceError(ScenescopeError):
    """A device or number format that this machine does not have."""


class StorageError(ScenescopeError):
    """A place that cannot be written."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name that ``name`` is likely to mean, or an empty string.

    What stands behind the last dot has to be alike by itself: all of ``train.patience`` and ``train.optimizer`` is half
    the same letters.
    """

    def likeness(other: str) -> float:
        last = _likeness(name.rpartition(".")[2], other.rpartition(".")[2])
        return min(last, _likeness(name, other)) if "." in name else last

    best = max(known, key=likeness, default="")
    return f" Did you mean {best!r}?" if best and likeness(best) >= ALIKE else ""


def _likeness(name: str, other: str) -> float:
    """How alike two names are, 0..1; letters that have changed places make no difference."""
    return 1.0 if sorted(name) == sorted(other) else difflib.SequenceMatcher(None, name, other).ratio()


def visible(text: str) -> str:
    r"""Return text with what steers a terminal, or is no character, written out: ``\x1b``, ``\udcff``.

    Names of files and classes may hold anything; a terminal obeys it, and SVG has no place for it.
    """
    odd = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
    return re.sub(odd, lambda found: repr(found[0])[1:-1], text)


def first_line(error: BaseException) -> str:
    """Return the beginning of what an error of other code says, in one line, or its kind if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
