"""LabelMe JSON: a polygon for each area.

LabelMe draws masks with Pillow, which fills a polygon's border as well. So points are the numbers of an area's
outermost columns and rows (``keyholes.through_centers``): drawn by LabelMe, the pixels are the very same. On its screen
a polygon therefore ends a pixel early at the right and at the bottom. Areas with holes have a bridge to each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from scenescope.data.formats.keyholes import through_centers
from scenescope.data.formats.labeled_image import LabeledImage
from scenescope.errors import visible
from scenescope.labels import Classes


def shapes(image: LabeledImage, target: Path) -> Iterator[str]:
    """Yield the text of a file about one image.

    Args:
        target: where the file will be: it names the image as seen from there.
    """
    width, height = image.size
    yield '{"version": "5.5.0", "flags": {}, "shapes": ['
    for number, region in enumerate(image.regions):
        shape = {
            "label": image.classes.names[region.label],
            "points": through_centers(region.polygon()).tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        yield (",\n" if number else "\n") + json.dumps(shape)
    told = {
        "imagePath": _seen_from(target.parent, image.path),
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    yield f"],\n{json.dumps(told)[1:]}\n"


def labels_txt(parts: Iterable[str], classes: Classes) -> Iterator[str]:
    """Yield the text of ``labels.txt``, which gives the classes and their order."""
    yield from (f"{' '.join(visible(name).split())}\n" for name in classes.names)


def _seen_from(folder: Path, image: Path) -> str:
    try:
        return Path(os.path.relpath(image, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return Path(os.path.abspath(image)).as_posix()
