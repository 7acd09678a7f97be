"""COCO panoptic: a PNG of segments for each image, whose numbers a JSON gives a category.

    {"images": [{"id", "file_name", "width", "height"}], "categories": [{"id", "name", "color"}],
     "annotations": [{"image_id", "file_name": "a.png", "segments_info": [{"id", "category_id"}]}]}

The number of a segment is R + 256 G + 65536 B of its color; 0 is void, which has no label.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scenescope.data.formats.annotations import IGNORED, UNLABELED, AnnotatedImage, Annotations, Fault, Labels
from scenescope.data.formats.coco import image_size
from scenescope.data.formats.coco_categories import Categories, id_key
from scenescope.data.formats.image_finder import MAX_GLANCED, ImageFinder, walk
from scenescope.data.formats.json_reader import entries, glimpse, read_json
from scenescope.data.formats.splits import split_of_path
from scenescope.data.masks import read_raw
from scenescope.errors import DataError


def recognize(path: Path) -> str | None:
    """Return "COCO panoptic" for such a file or a folder with some."""
    return "COCO panoptic" if _files(path, MAX_GLANCED) else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read one file, or all of a folder.

    Raises:
        DataError: a file that is none, or two that number their categories differently.
    """
    contents = [(file, read_json(file)) for file in _files(path)]
    categories = Categories()
    for file, content in contents:
        categories.add(entries(content, "categories", file), file)
    images: list[AnnotatedImage] = []
    faults: list[Fault] = []
    for file, content in contents:
        split = split_of_path(file.relative_to(finder.root))
        told = {id_key(image.get("id")): image for image in entries(content, "images", file)}
        for entry in entries(content, "annotations", file):
            try:
                image = _image(entry, told, file, split, finder, categories)
            except DataError as error:
                name, segments = f"image {entry.get('image_id')}", entry.get("segments_info")
                lost = len(segments) if isinstance(segments, list) else 0
                faults.append(Fault(str(file), name, str(error), lost))
            else:
                images.append(image)
    return Annotations(
        "COCO panoptic",
        tuple(categories.names),
        images,
        categories.colors(),
        faults,
        notes=categories.notes,
        unlabeled="ignore",
    )


def _files(path: Path, glance: int | None = None) -> list[Path]:
    files = [path] if path.is_file() else walk(path, glance)
    return [file for file in files if file.suffix.lower() == ".json" and b'"segments_info"' in glimpse(file)]


def _image(
    entry: dict[str, Any],
    told: dict[Hashable, dict[str, Any]],
    file: Path,
    split: str,
    finder: ImageFinder,
    categories: Categories,
) -> AnnotatedImage:
    about = told.get(id_key(entry.get("image_id")))
    if about is None:
        raise DataError(f"there is no image of id {entry.get('image_id')!r}")
    segments = entries(entry, "segments_info", file)
    # The PNG often has the stem of its image, but never its ending; those of COCO lie in a folder named as the JSON.
    mask = finder.find(str(entry.get("file_name", "")), file.with_suffix(""), split)
    image = finder.find(str(about.get("file_name", "")), file.parent, split)
    if image == mask:
        raise DataError(f"the image {about.get('file_name')!r} is not there; --image-dir says where images are")
    name, splits = finder.below(image), (split,) if split else ()
    labels = partial(_labels, mask, segments, categories)
    return AnnotatedImage(name, image, labels, str(mask), splits, image_size(about))


def _labels(mask: Path, segments: list[dict[str, Any]], categories: Categories) -> Labels:
    raw = read_raw(mask, colors=True).astype(np.int64)
    kinds, places = np.unique(raw[:, :, 0] | raw[:, :, 1] << 8 | raw[:, :, 2] << 16, return_inverse=True)
    found = set(kinds.tolist())
    labels = {0: UNLABELED}
    faults = []
    for segment in segments:
        number = segment.get("id")
        name, label = f"segment {number}", categories.label(segment.get("category_id"))
        if not isinstance(number, int) or number not in found:
            faults.append(Fault(str(mask), name, "has no pixel"))
        elif label is None:
            faults.append(Fault(str(mask), name, f"unknown category {segment.get('category_id')!r}"))
        elif number in labels:
            faults.append(Fault(str(mask), name, "this id is given twice"))
        else:
            labels[number] = label
    named = {id_key(segment.get("id")) for segment in segments} | {0}
    strange = [Fault(str(mask), f"segment {number}", "is in no segments_info", 0) for number in found - named]
    table = np.array([labels.get(number, IGNORED) for number in kinds.tolist()])
    return Labels(pixels=table[places].reshape(raw.shape[:2]), faults=[*faults, *strange])
