r"""CVAT for images 1.1: one XML with a polygon for each area.

CVAT draws masks of polygons with pycocotools, which gives the very pixels; areas with holes have a bridge to each.
Nothing is rounded. What no XML can hold in names, such as control characters, is written out as ``\x1b``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from scenescope.data.formats.labeled_image import LabeledImage, hexadecimal
from scenescope.errors import visible
from scenescope.labels import Classes

_FIRST = '<image id="0" '


def polygons(image: LabeledImage, target: Path) -> Iterator[str]:
    """Yield the text of a file about one image."""
    width, height = image.size
    yield _head(image.classes)
    yield f'{_FIRST}name={_quoted(image.file_name)} width="{width}" height="{height}">\n'
    names = [_quoted(name) for name in image.classes.names]
    for region in image.regions:
        points = ";".join(f"{x},{y}" for x, y in region.polygon().tolist())
        yield f'<polygon label={names[region.label]} source="auto" occluded="0" points="{points}" z_order="0"/>\n'
    yield "</image>\n</annotations>\n"


def join(parts: Iterable[str], classes: Classes) -> Iterator[str]:
    """Yield the text of a file about many images from those about each."""
    yield _head(classes)
    for number, part in enumerate(parts):
        # Names are escaped: neither is found in them.
        element = part[part.index(_FIRST) + len(_FIRST) : part.rindex("</annotations>")]
        yield f'<image id="{number}" {element}'
    yield "</annotations>\n"


def _head(classes: Classes) -> str:
    labels = "".join(
        f"<label><name>{escape(visible(name))}</name><color>{hexadecimal(color)}</color><attributes></attributes></label>\n"
        for name, color in zip(classes.names, classes.palette, strict=True)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        f"<meta><task><labels>\n{labels}</labels></task></meta>\n"
    )


def _quoted(text: str) -> str:
    return quoteattr(visible(text))
