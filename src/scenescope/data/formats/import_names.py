"""The names that images get in an imported data set: within its folder, each stem once."""

from __future__ import annotations

import os
import re

from scenescope.data.file_pairs import is_hidden
from scenescope.data.images import SUFFIXES
from scenescope.errors import DataError

# A colon may be of a time, but that of a drive leads elsewhere, and on Windows others as well.
_ODD = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]|" + (":" if os.name == "nt" else "^[A-Za-z]:$"))

MAX_BYTES = 240
"""Of the 255 that file systems take, some are for a number and another ending."""


class ImportNames:
    """Gives every image a name of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, name: str) -> str:
        """Return the path below ``images`` of an image that is called so: "city0/a.jpg".

        Where another image has the stem already, in whatever case, a number is added: "a-2.jpg".

        Raises:
            DataError: the name would leave the folder, cannot be a file's or is none of an image.
        """
        parts = name.replace("\\", "/").split("/")
        parts = parts[1:] if parts[0] == "images" and len(parts) > 1 else parts
        if any(part in ("", ".", "..") or is_hidden(part) or _ODD.search(part) for part in parts):
            raise DataError(f"{name!r} is no name of an image within a folder")
        if max(len(part.encode()) for part in parts) > MAX_BYTES:
            raise DataError(f"the name {name[:40]!r}... is longer than that of a file may be")
        stem, ending = os.path.splitext("/".join(parts))
        if ending.lower() not in SUFFIXES:
            raise DataError(f"{name!r} has no ending of an image that is read")
        free, number = stem, 1
        while free.casefold() in self._taken:
            number += 1
            free = f"{stem}-{number}"
        self._taken.add(free.casefold())
        return free + ending
