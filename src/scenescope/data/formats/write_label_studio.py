"""Label Studio: tasks whose predictions have a polygon for each area, and the labeling interface for them.

Points are shares of the sides in percent, as exact as a number of 64 bits; Label Studio exports masks of polygons with
pycocotools, which gives the very pixels. Areas with holes have a bridge to each. Images are named as files of its local
storage, below the folder that ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`` names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from scenescope.data.formats.labeled_image import LabeledImage, hexadecimal
from scenescope.errors import visible
from scenescope.labels import Classes

LOCAL_FILES = "/data/local-files/?d="


def tasks(image: LabeledImage, target: Path) -> Iterator[str]:
    """Yield the text of a file about one image: a list of one task."""
    width, height = image.size
    data = {"image": LOCAL_FILES + quote(image.file_name, errors="surrogateescape")}
    yield f'[{{"data": {json.dumps(data)}, "predictions": [{{"model_version": "scenescope", "result": ['
    for number, region in enumerate(image.regions, start=1):
        points = region.polygon() * 100 / image.size
        result = {
            "id": str(number),
            "from_name": "label",
            "to_name": "image",
            "type": "polygonlabels",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "points": points.tolist(),
                "closed": True,
                "polygonlabels": [image.classes.names[region.label]],
            },
        }
        yield (",\n" if number > 1 else "\n") + json.dumps(result)
    yield "]}]}]\n"


def join(parts: Iterable[str], classes: Classes) -> Iterator[str]:
    """Yield the text of a file of many tasks from those of one each."""
    yield "["
    for number, part in enumerate(parts):
        yield (",\n" if number else "\n") + part.strip()[1:-1]
    yield "]\n"


def interface(parts: Iterable[str], classes: Classes) -> Iterator[str]:
    """Yield the labeling interface that the tasks ask for."""
    yield '<View>\n  <Image name="image" value="$image"/>\n  <PolygonLabels name="label" toName="image">\n'
    for name, color in zip(classes.names, classes.palette, strict=True):
        yield f'    <Label value={quoteattr(visible(name))} background="{hexadecimal(color)}"/>\n'
    yield "  </PolygonLabels>\n</View>\n"
