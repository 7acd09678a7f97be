"""The settings of the data: which set, and how training pictures are varied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Interval

Size = Annotated[int, Ge(1)]
Factor = Annotated[float, Gt(0)]
Fraction = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True)
class DataSettings:
    """Which data set to train and validate on."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: str
    """The kind of data set: ``scenes``, ``folder``, ``camvid``, ``cityscapes``, ... (see ``data/catalog.py``)."""

    root: str = ""
    """The folder that holds it; for ``scenes`` a seed, or nothing."""

    train_split: str = "train"
    """The split that is trained on."""

    val_split: str = "val"
    """The split that is scored."""

    val_fraction: Annotated[float, Interval(gt=0, lt=1)] | None = None
    """For ``folder`` without splits of its own: the share of pairs, drawn at random, that becomes ``val``."""

    val_seed: Annotated[int, Ge(0)] = 0
    """The seed of that draw; the same seed gives the same pairs on every machine."""

    classes: str | int | None = None
    """Which classes, where the kind leaves a choice: such as 60 for ``pascal_context``, ``voc`` for ``coco_stuff``."""


@dataclass(frozen=True)
class AugmentSettings:
    """How each training picture is scaled, cropped, mirrored and recoloured, at random.

    Raises:
        ValueError: the smallest scale is above the largest.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    crop: tuple[Size, Size]
    """Height and width of a training picture, in pixels."""

    scale: tuple[Factor, Factor] = (0.5, 2.0)
    """Smallest and largest enlargement of the source; each one between is equally likely."""

    rare_class_share: Fraction = 0.0
    """The share of crops that are placed to show a rare class: one of the classes in the scene is drawn, each with a
    chance inverse to its number of pixels there, then one of its pixels, then a window that shows it. The scenes read
    stay the same, and the smaller the crop is beside the scene, the more this does."""

    max_class_share: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """A crop is placed anew, up to ten times, while a class fills this share of its scored pixels or more; 1: never."""

    flip: Fraction = 0.5
    """The share of pictures that is mirrored left to right."""

    brightness: Fraction = 0.0
    """Brightness is multiplied by a factor within this distance of 1."""

    contrast: Fraction = 0.0
    """Contrast is multiplied by a factor within this distance of 1."""

    saturation: Fraction = 0.0
    """Saturation is multiplied by a factor within this distance of 1."""

    hue: Annotated[float, Interval(ge=0, le=0.5)] = 0.0
    """Hue is turned by up to this share of the colour circle, either way."""

    def __post_init__(self) -> None:
        low, high = self.scale
        if low > high:
            raise ValueError(f"scale is ({low}, {high}), but the smallest comes first: write [{high}, {low}].")
