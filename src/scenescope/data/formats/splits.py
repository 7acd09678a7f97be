"""Which split a file or folder belongs to, by its name."""

from __future__ import annotations

import re
from pathlib import PurePath

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
          "testing": "test"}  # fmt: skip
"""The names that tools give to the splits, and ours."""

_WORD = re.compile("[a-z]+")


def split_of(*names: str) -> str:
    """Return train, val or test for the first name that has such a word in it ("instances_train2017"), or nothing."""
    for name in names:
        found = [SPLITS[word] for word in _WORD.findall(name.lower()) if word in SPLITS]
        if found:
            return found[-1]
    return ""


def split_of_path(path: PurePath) -> str:
    """Return the split that a file's own name or the nearest of its folders tells, given relative to the source."""
    return split_of(path.stem, *(part for part in reversed(path.parent.parts)))
