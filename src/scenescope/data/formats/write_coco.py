"""COCO JSON: one annotation for each area, as polygons or as runs of pixels.

Polygons know no holes there, since all polygons of an annotation are united: an area with holes is one polygon with
bridges (``keyholes``), which pycocotools draws with the very pixels. Runs are uncompressed, which pycocotools reads as
well; tools that show polygons only do not. Categories count from 1 in the order of the classes. Nothing is rounded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from scenescope.data.formats.labeled_image import LabeledImage
from scenescope.data.formats.regions import Region, Regions
from scenescope.labels import Classes


def polygons(image: LabeledImage, target: Path) -> Iterator[str]:
    """Yield the text of a file about one image, with polygons."""
    return _file(image, lambda number, region: [region.polygon().reshape(-1).tolist()])


def runs(image: LabeledImage, target: Path) -> Iterator[str]:
    """Yield the text of a file about one image, with runs of pixels."""
    return _file(image, lambda number, region: _runs(image.regions, number, region))


def join(parts: Iterable[str], classes: Classes) -> Iterator[str]:
    """Yield the text of a file about many images from those about each."""
    images: list[dict[str, object]] = []
    number = 0
    yield '{"annotations": ['
    for part in parts:
        content = json.loads(part)
        for annotation in content["annotations"]:
            annotation |= {"id": number + 1, "image_id": len(images) + 1}
            yield (",\n" if number else "\n") + json.dumps(annotation)
            number += 1
        images.append({**content["images"][0], "id": len(images) + 1})
    yield "],\n" + f'"images": {json.dumps(images)},\n"categories": {json.dumps(_categories(classes))}}}\n'


def _file(image: LabeledImage, segmentation: Callable[[int, Region], object]) -> Iterator[str]:
    yield '{"annotations": ['
    for number, region in enumerate(image.regions, start=1):
        left, top, right, bottom = region.box
        annotation = {
            "id": number,
            "image_id": 1,
            "category_id": region.label + 1,
            "iscrowd": 0,
            "area": region.area,
            "bbox": [left, top, right - left, bottom - top],
            "segmentation": segmentation(number, region),
        }
        yield (",\n" if number > 1 else "\n") + json.dumps(annotation)
    width, height = image.size
    images = [{"id": 1, "file_name": image.file_name, "width": width, "height": height}]
    yield "],\n" + f'"images": {json.dumps(images)},\n"categories": {json.dumps(_categories(image.classes))}}}\n'


def _categories(classes: Classes) -> list[dict[str, object]]:
    return [{"id": label, "name": name, "supercategory": ""} for label, name in enumerate(classes.names, start=1)]


def _runs(regions: Regions, number: int, region: Region) -> dict[str, object]:
    """How many pixels are not of an area, then are, then are not, ..., down the columns of the image."""
    height, width = regions.areas.shape
    left, top, right, bottom = region.box
    columns = (regions.areas[top:bottom, left:right] == number).T
    change = np.diff(np.pad(columns, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    column, row = np.nonzero(change)
    places = (left + column) * height + top + row
    # A run that goes on in the next column ends where another begins.
    again = np.flatnonzero(places[1:-1:2] == places[2::2])
    places = np.delete(places, np.concatenate((2 * again + 1, 2 * again + 2)))
    counts = np.diff(places, prepend=0, append=height * width)
    return {"size": [height, width], "counts": counts.tolist()}
