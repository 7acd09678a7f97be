"""Label Studio's "Brush labels to PNG": one gray PNG for each class of an annotation.

    task-7-annotation-12-by-1-tag-road-0.png    task, annotation, who, the tag and the class, which of its regions

The names of the masks do not say which image they belong to. Where the project's JSON lies beside them, that is read
instead (``label_studio.py``). Else the tasks, by number, are paired with the images, by name: only where there are as
many, and it is told. What is on top is lost as well: the smaller area.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from scenescope.data.formats.annotations import AnnotatedImage, Annotations, Fault, Labels, Region
from scenescope.data.formats.image_finder import MAX_GLANCED, ImageFinder, walk
from scenescope.data.formats.splits import split_of_path
from scenescope.data.masks import read_raw
from scenescope.errors import DataError, ImageError

FORMAT = "Label Studio masks by class"

_NAME = re.compile(r"task-(\d+)-annotation-(\d+)-by-[^-]*-([^-]+)-(.+)-(\d+)\.png", re.IGNORECASE)


def recognize(path: Path) -> str | None:
    """Return the format's name for a folder with masks that are called so, at any depth."""
    return FORMAT if path.is_dir() and any(_NAME.fullmatch(file.name) for file in walk(path, MAX_GLANCED)) else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read an export.

    Raises:
        DataError: there are more or fewer images than tasks.
    """
    masks = [file for file in finder.files(".png") if _NAME.fullmatch(file.name)]
    finder = finder.without(lambda image: _NAME.fullmatch(image.name) is not None)
    names = tuple(sorted({_parts(mask)[2] for mask in masks}))
    images, dropped, notes = [], [], []
    for folder in sorted({mask.parent for mask in masks}):
        tasks, others = _tasks([mask for mask in masks if mask.parent == folder])
        dropped += [Fault(str(mask), "", "a later annotation of the task counts") for mask in others]
        split = split_of_path(folder.relative_to(path))
        found = _images(finder, split)
        if len(found) != len(tasks):
            raise DataError(
                f"{folder} has masks of {len(tasks)} tasks, but there are {len(found)} images, and names "
                "of masks do not say which belong together; put the project's export as JSON beside them, which does."
            )
        for (number, files), image in zip(sorted(tasks.items()), found, strict=True):
            regions = [Region(names.index(_parts(file)[2]), file.name, partial(_draw, file)) for file in files]
            where = str(folder / f"task-{number}-...")
            splits = (split,) if split else ()
            images.append(AnnotatedImage(finder.below(image), image, partial(Labels, regions), where, splits))
        first, last = (min(tasks), found[0].name), (max(tasks), found[-1].name)
        notes.append(
            f"The names of the masks in {folder.relative_to(path)} do not say their images. Tasks by number are taken "
            f"for images by name: task {first[0]} for {first[1]} ... task {last[0]} for {last[1]}; see that this is "
            "right, or put the project's export as JSON beside them."
        )
    notes.append("Which class is on top was not exported: where two overlap, it is the smaller.")
    return Annotations(FORMAT, names, images, dropped=dropped, notes=notes, overlap="area")


def _parts(mask: Path) -> tuple[int, int, str, int]:
    """Task, annotation, class and the number of the region."""
    found = _NAME.fullmatch(mask.name)
    assert found is not None
    return int(found[1]), int(found[2]), found[4], int(found[5])


def _tasks(masks: list[Path]) -> tuple[dict[int, list[Path]], list[Path]]:
    """The masks of the latest annotation of each task, and all others."""
    latest: dict[int, int] = {}
    for mask in masks:
        task, annotation, *_ = _parts(mask)
        latest[task] = max(annotation, latest.get(task, annotation))
    tasks: dict[int, list[Path]] = {}
    others = []
    for mask in masks:
        task, annotation, *_ = _parts(mask)
        if annotation == latest[task]:
            tasks.setdefault(task, []).append(mask)
        else:
            others.append(mask)
    return tasks, others


def _images(finder: ImageFinder, split: str) -> list[Path]:
    """The images of a split, or all, by name; numbers in names are in the order of numbers."""
    found = [image for image in finder.images if not split or split_of_path(Path(finder.below(image))) == split]
    return sorted(found, key=lambda image: [part.zfill(20) for part in re.split(r"([0-9]+)", image.name)])


def _draw(mask: Path, height: int, width: int) -> np.ndarray:
    try:
        inside = read_raw(mask, colors=False) > 0
    except ImageError as error:
        raise DataError(str(error)) from error
    if inside.shape != (height, width):
        raise DataError(f"a mask of {inside.shape[1]} x {inside.shape[0]} for an image of {width} x {height}")
    return inside
