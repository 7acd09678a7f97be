"""What a training learns from, in short: so that a run that goes on can tell whether its data are still the same.

The meaning of the labels is in it, and for each scene in order its name and a checksum: of the whole mask, since that
is what is learned, and of the size and both ends of the image, which costs little and changes nearly always. Where
the files lie, and when they were written, is not: data may be moved and copied.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scenescope.data.dataset import SegmentationDataset, rule_of_images
from scenescope.errors import DataError

END = 4096
"""Bytes at each end of an image that count."""


def fingerprint(*splits: SegmentationDataset) -> dict[str, Any]:
    """Return classes, meaning of labels and scenes of the splits of a data set, as JSON holds them.

    Raises:
        DataError: a file cannot be read.
    """
    first = splits[0]
    table = getattr(first, "table", None)
    return {
        "classes": list(first.classes.names),
        "images": None if (rule := rule_of_images(first)) is None else str(rule),
        "values": hashlib.sha256(table.fingerprint).hexdigest()[:16] if table is not None else None,
        "scenes": {each.split: [_scene(each, index) for index in range(len(each))] for each in splits},
    }


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Say what differs between two fingerprints, in half a sentence; None if nothing does."""
    if before["classes"] != now["classes"]:
        return f"the classes were {', '.join(before['classes'])} and are {', '.join(now['classes'])}"
    if before.get("images") != now["images"]:
        return f"images were {before.get('images') or '8-bit RGB'} and are {now['images'] or '8-bit RGB'}"
    if before["values"] != now["values"]:
        return "values of the masks mean other classes than before"
    found = [
        f"split {split}: {_difference_of_scenes(scenes, now['scenes'].get(split, []))}"
        for split, scenes in before["scenes"].items()
        if scenes != now["scenes"].get(split)
    ]
    return "; ".join(found) or None


def _difference_of_scenes(before: list[str], now: list[str]) -> str:
    then, present = (Counter(entry.rpartition(" ")[0] for entry in entries) for entries in (before, now))
    parts = {
        "added": sorted((present - then).elements()),
        "removed": sorted((then - present).elements()),
        "changed": sorted({entry.rpartition(" ")[0] for entry in set(now) - set(before)} & then.keys()),
    }
    told = [f"{len(names)} {what} ({names[0]}{', ...' * (len(names) > 1)})" for what, names in parts.items() if names]
    return ", ".join(told) or "another order"


def _scene(dataset: SegmentationDataset, index: int) -> str:
    """Name and checksum of a scene; one without files depends on its data set: what it was opened with, or holds."""
    files = dataset.files(index)
    checksum = 0 if files else zlib.crc32(getattr(dataset, "content", dataset.root).encode())
    for number, file in enumerate(files):
        try:
            checksum = zlib.crc32(file.read_bytes() if number else ends_of(file), checksum)
        except OSError as error:
            raise DataError(f"Cannot read {file}: {error.strerror or error}; repair or remove it.") from error
    return f"{dataset.name(index)} {checksum:08x}"


def ends_of(path: Path) -> bytes:
    """Return the size of a file and both its ends: what changes nearly always if it does."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(END)
        file.seek(max(size - END, 0))
        return size.to_bytes(8, "big") + start + file.read(END)
