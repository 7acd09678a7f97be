"""Which network a recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from annotated_types import Interval

MOST_MAGNIFIED = 8


@dataclass(frozen=True)
class ModelSettings:
    """Which network to build; the names are those of ``create_model``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str = "danet"
    """Network of the catalogue: danet, sanet, fcn, ...; scenescope models lists them."""
    backbone: str = "resnet50"
    """Any timm network with features at four stages."""
    pretrained: bool = True
    """Start the backbone from ImageNet weights."""
    output_stride: int = 8
    """8, 16 or 32: how much smaller the last features are than the picture."""
    multi_grid: tuple[int, ...] | None = None
    """Dilation of the blocks of a ResNet's last stage, such as [4, 8, 16]."""
    align_corners: bool = True
    """Whether resizing keeps corner pixels in place, as the official DANet code does."""
    magnify: Annotated[float, Interval(gt=0, le=MOST_MAGNIFIED)] = 1.0
    """Factor by which pictures are enlarged before the backbone sees them, in training and prediction alike."""
    refine: Annotated[int, Interval(ge=0)] = 0
    """Channels of a correction of the logits at half the size of the picture; 0 leaves it out, as published."""
    remainder: tuple[int, int] = (0, 0)
    """What height and width of an image, magnified and filled up, leave when divided by the output stride; [1, 1] for
    crops such as 769 x 769 with corners aligned."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the network's builder, such as channel_form: paper."""
