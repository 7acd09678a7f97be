"""Figures of what a network attends to, for images or for scenes of a data set with their truth."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scenescope.bands import BandRule, as_shown
from scenescope.checkpoints.model_directory import require_classes
from scenescope.data.band_files import read_noted_bands
from scenescope.data.catalog import DATASETS, open_dataset, parse_source
from scenescope.data.dataset import SegmentationDataset, seen_by, size_error
from scenescope.data.decoding import stored
from scenescope.data.images import MAX_PIXELS, opened
from scenescope.data.masks import LabelTable, decode
from scenescope.drawing.heatmap import mark_points, over
from scenescope.drawing.overlay import present
from scenescope.drawing.panels import Legend, save_panels
from scenescope.errors import DataError, ModelError, nearest
from scenescope.explore.attention_figure import HEADS, FigureRequest, build_figure, describe
from scenescope.explore.points import Point, chosen_points, require_inside
from scenescope.explore.trace import attend
from scenescope.inference.segmenter import SeenImage, Segmenter
from scenescope.jobs.inputs import find_images
from scenescope.labels import IGNORE
from scenescope.own_files import OwnFiles

COMMAND = "attend"
NUM_POINTS = 3
"""Of an image where none are given."""
NUM_SCENES = 3
"""Of a data set where none are named."""

OpenedImage = tuple[SeenImage, npt.NDArray[np.uint8] | None, list[str]]
"""The image, H x W labels if there is a truth, and what was done to an image that was no plain RGB."""


@dataclass(frozen=True)
class AttentionInput:
    """An image to look at.

    Attributes:
        name: of what is written about it.
        source: tells it from every other image.
        files: those that it is read from.
        read: reads it.
    """

    name: str
    source: str
    files: Sequence[Path]
    read: Callable[[], OpenedImage]


@dataclass(frozen=True)
class FigureOptions:
    """What to draw of every image.

    Attributes:
        points: pixels to ask about; when empty, one in each of the largest classes of the prediction.
        channels: attended channels; when empty, two that answer to the class of the first point.
        heads: stages whose squeeze-and-attention heads to show.
        received: show who attends to each point as well.
        format: of the figure, one of ``FORMATS``.
        arrays: also write the raw numbers.
        others: further models by name, for their predictions.
    """

    points: Sequence[Point] = ()
    channels: Sequence[int] = ()
    heads: Sequence[int] = HEADS
    received: bool = False
    format: str = "png"
    arrays: bool = False
    others: Mapping[str, Segmenter] = field(default_factory=dict)


def find_inputs(
    inputs: Sequence[str], output: Path, segmenter: Segmenter, *, split: str, scenes: Sequence[str], truth: Path | None
) -> list[AttentionInput]:
    """Return what to look at: files, folders and patterns, or chosen scenes of one data set KIND:ROOT.

    Args:
        output: is left out when folders are searched.
        segmenter: the model; a data set must have its number of classes.
        scenes: names in the data set; when empty, a few spread over it.
        truth: mask of a single image, class numbers and 255.

    Raises:
        DataError: no such data set or scene, a truth for several images.
        ModelError: the data set has another number of classes.
        ImageError: no such image.
    """
    source = next((text for text in inputs if text.partition(":")[0] in DATASETS and not Path(text).exists()), None)
    if source is not None:
        if len(inputs) > 1 or truth is not None:
            raise DataError(f"{source} is a data set with a truth of its own; give it alone, without --truth.")
        dataset = open_dataset(*parse_source(source), split)
        require_classes(segmenter.form, dataset.classes, f"the data set {source}")
        dataset = seen_by(dataset, segmenter.band_rule, "the model")
        names = _scene_names(dataset)
        return [
            AttentionInput(
                names[index],
                f"the scene {names[index]} of {source}, {split}",
                dataset.files(index),
                partial(_scene, dataset, index),
            )
            for index in _chosen(dataset, scenes)
        ]
    if scenes:
        raise DataError("--scene names scenes of a data set; give one, such as camvid:DIR, in place of files.")
    images = find_images(inputs, output)
    if truth is not None and len(images) > 1:
        raise DataError(f"--truth is the mask of one image and {len(images)} are given; give one, or a data set.")
    return [
        AttentionInput(
            image.name,
            os.path.abspath(image.path),
            [image.path, *([truth] if truth is not None else [])],
            partial(_file, image.path, truth, len(segmenter.classes), segmenter.band_rule),
        )
        for image in images
    ]


def require_free(subjects: Sequence[AttentionInput], wish: FigureOptions, output: Path) -> None:
    """Refuse an output where a file would be replaced that is read, or that ``attend`` has not written.

    Raises:
        StorageError: naming the file.
    """
    own = OwnFiles(output, COMMAND)
    inputs = [path for subject in subjects for path in subject.files]
    for subject in subjects:
        place = output / subject.name
        # Which pixels will be asked about may not be known yet.
        maps = re.compile(re.escape(place.name) + r"_attention_\d+_\d+\.png")
        drawn = [path for path in place.parent.glob("*_attention_*.png") if maps.fullmatch(path.name)]
        for path in (Path(f"{place}_figure.{wish.format}"), Path(f"{place}_arrays.npz"), *drawn):
            own.require_free(path, subject.source, inputs)


def draw_attention(subject: AttentionInput, segmenter: Segmenter, wish: FigureOptions, output: Path) -> list[str]:
    """Write the figure of an image, one map for each point, and the raw numbers if wished.

    Returns:
        What there is to say: the class and probability of each point, and the learned scales.

    Raises:
        ImageError: the image cannot be read, or a point lies outside it.
        ModelError: the network has no attention, or not the channels or heads that are asked for.
        StorageError: the output cannot be written, or holds a file in the way that ``attend`` has not written.
    """
    seen_image, truth, notes = subject.read()
    image = as_shown(seen_image.array)
    for point in wish.points:
        require_inside(point, image.shape[1], image.shape[0])
    view = attend(segmenter, seen_image)
    points = wish.points or chosen_points(view.labels, NUM_POINTS)
    others = {name: other.predict(seen_image).labels for name, other in wish.others.items()}
    question = FigureRequest(points, wish.channels, wish.received, wish.heads, truth, others)
    shown = build_figure(view, segmenter.classes, question)
    place, own = output / subject.name, OwnFiles(output, COMMAND)
    seen = present(segmenter.classes, *(labels for labels in (view.labels, truth) if labels is not None))
    legend = Legend(seen.names, seen.palette)
    own.write(Path(f"{place}_figure.{wish.format}"), subject.source, lambda path: save_panels(shown.rows, path, legend))
    for point, values in zip(points, shown.arrays.get("position", []), strict=False):
        drawn = Image.fromarray(mark_points(over(image, values, extent=view.extent(view.position)), [point]))
        own.write(
            Path(f"{place}_attention_{point[0]}_{point[1]}.png"), subject.source, partial(drawn.save, format="PNG")
        )
    if wish.arrays:
        # Through a file, as numpy adds its own ending to a name.
        own.write(Path(f"{place}_arrays.npz"), subject.source, partial(_save_arrays, shown.arrays))
    scales = [f"{name}, the learned scale: {scale:.4f}" for name, scale in view.scales.items()]
    done = [f"note: {', '.join(notes)}"] if notes else []
    return done + [describe(view, segmenter.classes, point) for point in points] + scales


def require_same_classes(segmenter: Segmenter, others: Mapping[str, Segmenter]) -> None:
    """Refuse to lay predictions side by side whose classes are not the same in number, or that see other bands.

    Raises:
        ModelError: the counts or the rules differ.
    """
    for name, other in others.items():
        if other.band_rule != segmenter.band_rule:
            ours, theirs = segmenter.band_rule or "8-bit RGB", other.band_rule or "8-bit RGB"
            raise ModelError(f"The model to compare with {name} sees {theirs}, and the first {ours}; take one alike.")
        require_classes(other.form, segmenter.classes, f"the model to compare with {name}")


def _chosen(dataset: SegmentationDataset, scenes: Sequence[str]) -> list[int]:
    if not scenes:
        count = min(NUM_SCENES, len(dataset))
        return [(2 * number + 1) * len(dataset) // (2 * count) for number in range(count)]
    names = [dataset.name(number) for number in range(len(dataset))]
    for name in scenes:
        if name not in names:
            raise DataError(f"Split {dataset.split!r} has no scene {name!r}.{nearest(name, names)}")
    return [number for asked in dict.fromkeys(scenes) for number, name in enumerate(names) if name == asked]


def _scene_names(dataset: SegmentationDataset) -> list[str]:
    """Return a name for each scene that no other has: files in several folders may share theirs."""
    names = [dataset.name(number) for number in range(len(dataset))]
    count = Counter(names)
    return [f"{name}_{number}" if count[name] > 1 else name for number, name in enumerate(names)]


def _scene(dataset: SegmentationDataset, index: int) -> OpenedImage:
    scene = dataset[index]
    return SeenImage(scene.image), scene.labels, []


def _file(path: Path, truth: Path | None, num_classes: int, rule: BandRule | None) -> OpenedImage:
    if rule is not None:
        image, remark = read_noted_bands(path, rule, MAX_PIXELS)
        notes = [remark] if remark else []
    else:
        with opened(path, MAX_PIXELS) as file:
            found = stored(file)
            notes, image = found.conversions(), found.rgb()
    if truth is None:
        return SeenImage(image), None, notes
    labels = decode(truth, LabelTable.of_values([[label] for label in range(num_classes)], [IGNORE]))
    if labels.shape != image.shape[:2]:
        raise size_error(path, truth, image, labels)
    return SeenImage(image), labels, notes


def _save_arrays(arrays: Mapping[str, npt.NDArray[np.generic]], place: Path) -> None:
    with place.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
