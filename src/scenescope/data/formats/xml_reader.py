"""XML of strangers: bounded in size and depth, without entities, read one element after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scenescope.errors import DataError

MAX_BYTES = 2**30
"""The largest file that is read."""

MAX_DEPTH = 32
"""How deep elements may lie in one another; those of annotation tools are less than ten deep."""


def read_elements(path: Path, root_tag: str) -> Iterator[Any]:
    """Yield the elements right below the root, each forgotten when the next is asked for.

    Raises:
        DataError: missing, too large, too deep, cut short, with entities or a document type, or of another root; also
            where defusedxml is not installed.
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, iterparse
    except ImportError as error:
        raise DataError("XML needs defusedxml, which is not installed: pip install 'scenescope[formats]'.") from error
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path} has {size:,} bytes, more than {MAX_BYTES:,}; split it into smaller files.")
        depth, root = 0, None
        for event, element in iterparse(path, events=("start", "end"), forbid_dtd=True):
            depth += 1 if event == "start" else -1
            if depth > MAX_DEPTH:
                raise DataError(f"{path} is nested more than {MAX_DEPTH} deep, as no annotations are; export it again.")
            if root is None:
                root = element
                if root.tag != root_tag:
                    raise DataError(f"{path} begins with <{root.tag}>; expected <{root_tag}>.")
            elif depth == 1 and event == "end":
                yield element
                root.clear()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}; check the path.") from error
    except DefusedXmlException as error:
        raise DataError(
            f"{path} has entities or a document type, which no annotations need; export it again."
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{path} is no XML, or cut short ({reason}); export it again.") from error
