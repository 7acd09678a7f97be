"""How many scans a JPEG has: each costs the decoder a pass over the whole image, and the file only a few bytes."""

from __future__ import annotations

import re

MAX_SCANS = 100
"""A progressive JPEG has about 10; standards and encoders have no use for more."""

_START_OF_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
# Markers without a length: those between the parts of a scan, and TEM.
_BARE = frozenset((0x01, *range(0xD0, 0xD9)))


def count_scans(content: bytes) -> int:
    """Return the number of scans of the (first) image in a file."""
    # Thumbnails and whatever follows the image count here as well, so this is enough for nearly all files.
    most = content.count(b"\xff\xda")
    if most <= MAX_SCANS:
        return most
    scans, place = 0, 0
    while (found := _MARKER.search(content, place)) is not None and (marker := found[1][0]) != _END:
        scans += marker == _START_OF_SCAN
        place = found.end()
        if marker not in _BARE:
            place += int.from_bytes(content[place : place + 2], "big")
    return scans
