"""JSON of strangers: bounded in size and depth, and taken for nothing that it is not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NoReturn

from scenescope.errors import DataError

MAX_BYTES = 2**30
"""The largest file that is read; the annotations of COCO's 118,000 images are 450 MB."""

MAX_DEPTH = 64
"""How deep lists and objects may lie in one another; those of annotation tools are about ten deep."""


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """Read a JSON file in UTF-8, with or without a mark at its start.

    Raises:
        DataError: missing, too large, too deep, cut short, or with numbers that are none (NaN, Infinity).
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(f"{path} has {size:,} bytes, more than {max_bytes:,}; split it into smaller files.")
        content = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_refuse)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}; check the path.") from error
    except RecursionError as error:
        raise _too_deep(path) from error
    except ValueError as error:  # of JSON, of UTF-8, of a number of thousands of digits
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{path} is no JSON, or cut short ({reason}); export it again.") from error
    return _shallow(content, path)


def glimpse(path: Path, num_bytes: int = 2**16) -> bytes:
    """Return the beginning and the end of a file, to tell its format; nothing if it cannot be read."""
    try:
        with path.open("rb") as file:
            begin = file.read(num_bytes)
            file.seek(max(file.seek(0, os.SEEK_END) - num_bytes, len(begin)))
            return begin + file.read(num_bytes)
    except OSError:
        return b""


def entries(content: Any, key: str, path: Path) -> list[dict[str, Any]]:
    """Return the list of objects under a key.

    Raises:
        DataError: there is none.
    """
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise DataError(f"{path} has no list of objects {key!r}; export it again.")
    return found


def numbers(value: Any) -> list[float] | None:
    """Return a list of finite numbers as floats, or None if it is something else."""
    if not isinstance(value, list) or not all(_is_number(number) for number in value):
        return None
    return [float(number) for number in value]


def points(value: Any) -> list[tuple[float, float]] | None:
    """Return a list of (x, y) pairs as floats, or None if it is something else."""
    if not isinstance(value, list):
        return None
    pairs = [numbers(pair) for pair in value]
    if any(pair is None or len(pair) != 2 for pair in pairs):
        return None
    return [(pair[0], pair[1]) for pair in pairs if pair is not None]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")


def _shallow(content: Any, path: Path) -> Any:
    """Refuse what is nested too deep, looking at one floor after the other."""
    floor = [content]
    for _ in range(MAX_DEPTH):
        floor = [
            item
            for holder in floor
            if isinstance(holder, (dict, list))
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, (dict, list))
        ]
        if not floor:
            return content
    raise _too_deep(path)


def _too_deep(path: Path) -> DataError:
    return DataError(f"{path} is nested more than {MAX_DEPTH} deep, as no annotations are; export it again.")
