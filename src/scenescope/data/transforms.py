"""Training images: a random window of a scene, scaled, mirrored and recolored, image and labels in step.

The window is chosen in the source first and only it is resized, which costs a small part of resizing whole images. All
that is random is drawn beforehand, as numbers, from a generator keyed by (seed, step, place in the batch): what a step
sees depends on nothing that happened before it, and a scene that comes twice in a batch is drawn twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from scenescope.config import AugmentSettings
from scenescope.data.dataset import LabeledImage, SegmentationDataset
from scenescope.labels import IGNORE

Sample = tuple[Tensor, Tensor, str]

TRIES = 10
"""How often a window that one class fills is placed anew, as in mmsegmentation; the last one stays in any case."""


@dataclass(frozen=True)
class CropParameters:
    """How one training image is made of a scene; plain numbers.

    Attributes:
        top, left: corner of the window in the source, in pixels; negative where the source is smaller.
        window: height and width of the window in the source.
        size: height and width of the result.
        flip: whether it is mirrored left to right.
        brightness, contrast, saturation: factors; 1 changes nothing.
        hue: turn of the color circle, -0.5..0.5; 0 changes nothing.
    """

    top: int
    left: int
    window: tuple[int, int]
    size: tuple[int, int]
    flip: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0


def draw_parameters(
    generator: np.random.Generator, height: int, width: int, settings: AugmentSettings
) -> CropParameters:
    """Draw scale, window, mirroring and colors for a scene of ``height`` x ``width`` pixels."""
    scale = generator.uniform(*settings.scale)
    window = (max(round(settings.crop[0] / scale), 1), max(round(settings.crop[1] / scale), 1))
    return CropParameters(
        top=_draw_start(generator, height, window[0]),
        left=_draw_start(generator, width, window[1]),
        window=window,
        size=(settings.crop[0], settings.crop[1]),
        flip=bool(generator.random() < settings.flip),
        brightness=float(generator.uniform(1 - settings.brightness, 1 + settings.brightness)),
        contrast=float(generator.uniform(1 - settings.contrast, 1 + settings.contrast)),
        saturation=float(generator.uniform(1 - settings.saturation, 1 + settings.saturation)),
        hue=float(generator.uniform(-settings.hue, settings.hue)),
    )


def place_window(
    generator: np.random.Generator, parameters: CropParameters, labels: np.ndarray, settings: AugmentSettings
) -> CropParameters:
    """Move the window by what it shows, as ``rare_class_share`` and ``max_class_share`` of the settings ask.

    All is drawn after the other parameters, so that those are the same with and without. The window lies anywhere
    around the pixel of the rare class; placed anew, it shows another pixel of the same class. ``max_class_share`` is
    ``cat_max_ratio`` of mmsegmentation's RandomCrop.

    Args:
        labels: H x W of the whole scene.
    """
    wanted = None
    if generator.random() < settings.rare_class_share:
        counts = _count(labels)
        classes = np.flatnonzero(counts)
        if len(classes):
            chances = 1 / counts[classes]
            wanted = int(generator.choice(classes, p=chances / chances.sum()))
            parameters = _moved(generator, parameters, labels, wanted)
    for _ in range(TRIES if settings.max_class_share < 1 else 0):
        top, left = max(parameters.top, 0), max(parameters.left, 0)
        bottom, right = parameters.top + parameters.window[0], parameters.left + parameters.window[1]
        counts = _count(labels[top:bottom, left:right])
        if counts.max() < settings.max_class_share * counts.sum():
            break
        parameters = _moved(generator, parameters, labels, wanted)
    return parameters


def apply_parameters(scene: LabeledImage, parameters: CropParameters) -> tuple[Tensor, Tensor]:
    """Make the training image that the parameters describe.

    Returns:
        Image C x h x w of the type of the scene's and labels h x w uint8, where (h, w) is ``parameters.size``. Beyond
        the border of the source the image is black and the labels are IGNORE, which they also are where there is no
        data (NaN).
    """
    height, width = scene.labels.shape
    rows, target_rows = _visible(parameters.top, parameters.window[0], height, parameters.size[0])
    columns, target_columns = _visible(parameters.left, parameters.window[1], width, parameters.size[1])
    seen_size = [target_rows.stop - target_rows.start, target_columns.stop - target_columns.start]

    # Packed, with the channels of a pixel side by side as in the file: so the resizing reads it several times as fast.
    seen = torch.from_numpy(scene.image[rows, columns]).contiguous().permute(2, 0, 1)
    seen = functional.resize(seen, seen_size, InterpolationMode.BILINEAR, antialias=True)
    seen_labels = torch.from_numpy(_nearest(scene.labels[rows, columns], *seen_size))
    # Colors before padding: the black border must not count in the mean that contrast turns about.
    if seen.dtype != torch.uint8:
        # What was mixed with pixels without data has none either.
        seen_labels[seen.isnan().any(dim=0)] = IGNORE
    seen = _recolor(seen, parameters) if seen.dtype == torch.uint8 and len(seen) == 3 else _vary(seen, parameters)
    if seen_size == list(parameters.size):
        image, labels = seen, seen_labels
    else:
        image = torch.zeros(*parameters.size, len(seen), dtype=seen.dtype).permute(2, 0, 1)
        labels = torch.full(parameters.size, IGNORE, dtype=torch.uint8)
        image[:, target_rows, target_columns] = seen
        labels[target_rows, target_columns] = seen_labels
    if parameters.flip:
        image, labels = image.permute(1, 2, 0).flip(1).permute(2, 0, 1), labels.flip(1)
    return image, labels


def whole_sample(scene: LabeledImage) -> Sample:
    """Return a scene unchanged as tensors: image C x H x W, labels H x W uint8, name."""
    image = torch.from_numpy(np.ascontiguousarray(scene.image)).permute(2, 0, 1)
    return image, torch.from_numpy(np.ascontiguousarray(scene.labels)), scene.name


class TrainDataset(Dataset[Sample]):
    """Training images of a data set by (step, place, index): image 3 x h x w uint8, labels h x w uint8, name.

    The place is that in the batch of the step, over all processes and parts; the index is that of the scene. The same
    seed, step, place and index give the same image in every process.
    """

    def __init__(self, dataset: SegmentationDataset, settings: AugmentSettings, seed: int) -> None:
        self.dataset = dataset
        self.settings = settings
        self.seed = seed

    def __getitem__(self, key: tuple[int, int, int]) -> Sample:
        step, place, index = key
        scene = self.dataset[index]
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, step, place]))
        height, width = scene.labels.shape
        parameters = draw_parameters(generator, height, width, self.settings)
        parameters = place_window(generator, parameters, scene.labels, self.settings)
        return *apply_parameters(scene, parameters), scene.name


def _draw_start(generator: np.random.Generator, length: int, window: int, pixel: int | None = None) -> int:
    """A start at which the window lies within the source, or the source within the window, and shows the pixel."""
    first, last = min(length - window, 0), max(length - window, 0)
    if pixel is not None:
        first, last = max(first, pixel - window + 1), min(last, pixel)
    return int(generator.integers(first, last, endpoint=True))


def _moved(
    generator: np.random.Generator, parameters: CropParameters, labels: np.ndarray, wanted: int | None
) -> CropParameters:
    """The window elsewhere; around some pixel of the wanted class if there is one."""
    height, width = labels.shape
    row = column = None
    if wanted is not None:
        row, column = divmod(int(generator.choice(np.flatnonzero(labels == wanted))), width)
    return replace(
        parameters,
        top=_draw_start(generator, height, parameters.window[0], row),
        left=_draw_start(generator, width, parameters.window[1], column),
    )


def _count(labels: np.ndarray) -> np.ndarray:
    """Pixels of each train id."""
    return np.bincount(labels.ravel(), minlength=IGNORE)[:IGNORE]


def _visible(start: int, window: int, length: int, size: int) -> tuple[slice, slice]:
    """Along one axis: the part of the source that the window shows, and where it comes to lie in the result."""
    first, last = max(start, 0), min(start + window, length)
    begin = min(round((first - start) * size / window), size - 1)
    end = max(round((last - start) * size / window), begin + 1)
    return slice(first, last), slice(begin, end)


def _nearest(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize labels: each new pixel takes the label under its center, as bilinear resizing of the image does."""
    rows, columns = (
        (2 * np.arange(size) + 1) * length // (2 * size)
        for size, length in zip((height, width), labels.shape, strict=True)
    )
    resized: np.ndarray = labels.take(columns, axis=1).take(rows, axis=0)
    return resized


def _vary(image: Tensor, parameters: CropParameters) -> Tensor:
    """Bands C x h x w, uint8 or float32 in 0..1, changed as ``_recolor`` changes colors, but for hue.

    Contrast turns about the mean of each band, and the gray that saturation goes from is the mean of a pixel's bands.
    """
    if (parameters.brightness, parameters.contrast, parameters.saturation) == (1, 1, 1):
        return image
    varied = image.float() * parameters.brightness
    varied = torch.lerp(varied.nanmean(dim=(1, 2), keepdim=True), varied, parameters.contrast)
    varied = torch.lerp(varied.mean(dim=0, keepdim=True), varied, parameters.saturation)
    return varied.clamp(0, 1) if image.is_floating_point() else varied.clamp(0, 255).round().to(torch.uint8)


def _recolor(image: Tensor, parameters: CropParameters) -> Tensor:
    """Image 3 x h x w uint8 with changed colors; neutral values cost nothing."""
    if parameters.brightness != 1:
        image = functional.adjust_brightness(image, parameters.brightness)
    if parameters.contrast != 1:
        image = functional.adjust_contrast(image, parameters.contrast)
    if parameters.saturation != 1:
        image = functional.adjust_saturation(image, parameters.saturation)
    if parameters.hue != 0:
        image = functional.adjust_hue(image, parameters.hue)
    return image
