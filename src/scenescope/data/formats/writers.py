"""What can be written about the areas of images, by name: a file for each image, and files of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from scenescope.data.formats import (
    write_coco,
    write_cvat,
    write_geojson,
    write_label_studio,
    write_labelme,
    write_regions,
    write_yolo,
)
from scenescope.data.formats.labeled_image import LabeledImage
from scenescope.labels import Classes


class Kind(NamedTuple):
    """A kind of files.

    Attributes:
        ending: of the file about each image, with the folder it lies in; see ``own_files.file_name``.
        write: yields the text of that, given where it will be.
        joined: files of all images by name, and what yields the text of each from the texts about each image.
    """

    ending: str
    write: Callable[[LabeledImage, Path], Iterator[str]]
    joined: Mapping[str, Callable[[Iterable[str], Classes], Iterator[str]]] = {}


KINDS = {
    "coco": Kind("coco/.json", write_coco.polygons, {"coco.json": write_coco.join}),
    "coco-rle": Kind("coco-rle/.json", write_coco.runs, {"coco-rle.json": write_coco.join}),
    "labelme": Kind("labelme/.json", write_labelme.shapes, {"labelme/labels.txt": write_labelme.labels_txt}),
    "cvat": Kind("cvat/.xml", write_cvat.polygons, {"cvat.xml": write_cvat.join}),
    "label-studio": Kind(
        "label-studio/.json",
        write_label_studio.tasks,
        {"label-studio.json": write_label_studio.join, "label-studio.xml": write_label_studio.interface},
    ),
    "yolo": Kind("yolo/labels/.txt", write_yolo.lines, {"yolo/data.yaml": write_yolo.data_yaml}),
    "geojson": Kind("geojson/.geojson", write_geojson.features),
    "regions": Kind("regions/.csv", write_regions.rows, {"regions.csv": write_regions.join}),
}
