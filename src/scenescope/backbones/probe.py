"""What a network of timm can be asked for, found by trying it on the device ``meta``: shapes, and no memory."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from scenescope.errors import ModelError, first_line

STAGES = (-4, -3, -2, -1)
"""The last four of timm's feature stages; many networks have a fifth in front, at stride 2."""
FACTORS = (1, 2, 4, 7, 8)
"""Sides to try, in positions of the last stage: attention in windows needs whole ones, of 7 or 8 positions mostly."""
REFUSALS = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What networks raise that cannot do what they are asked for."""


@dataclass(frozen=True)
class Probed:
    """How to build a network of timm, and which images it takes.

    Attributes:
        keywords: arguments of ``timm.create_model`` beyond those for features.
        padded: whether ``pad_valid_layers`` has to be called.
        multiple: sides of images are to be multiples of this.
        only_multiples: whether a multiple plus 1, as ``align_corners`` wants it, is no side for it.
    """

    keywords: Mapping[str, Any]
    padded: bool
    multiple: int
    only_multiples: bool


@functools.cache
def probe(name: str, output_stride: int) -> Probed:
    """Find out how a network gives four stages, the last at the output stride.

    Raises:
        ModelError: it cannot; says why.
    """
    reason = "it gives other features than it promises"
    # The stride that is its own needs no keyword, and some take images of any size only when told to.
    for keywords in ({"output_stride": output_stride}, {}, {"strict_img_size": False}):
        try:
            with torch.device("meta"):
                stages = create_stages(name, **keywords)
        except REFUSALS as error:
            if keywords:
                continue  # it has no such keyword, or cannot be dilated
            raise ModelError(
                f"Backbone {name!r} cannot give four stages at output stride {output_stride} ({first_line(error)});"
                " ResNets and EfficientNets can."
            ) from error
        _require_strides(name, cast(Any, stages).feature_info.reduction(), output_stride)
        for padded in (False, True):
            if padded:
                pad_valid_layers(stages)
            for multiple in (output_stride * factor for factor in FACTORS):
                try:
                    if _gives_promised(stages, multiple, 0):
                        return Probed(keywords, padded, multiple, not _takes_one_more(stages, multiple))
                except REFUSALS as error:
                    reason = first_line(error)
    raise ModelError(
        f"Backbone {name!r} does not take images of any size ({reason}); choose another, such as resnet50,"
        " convnext_tiny or swin_tiny_patch4_window7_224."
    )


def create_stages(name: str, *, pretrained: bool = False, **keywords: Any) -> nn.Module:
    """Build timm's network as one that returns the features of its last four stages."""
    return cast(
        nn.Module,
        timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=STAGES, **keywords),
    )


def channels_first(stages: nn.Module, features: Sequence[Tensor]) -> list[Tensor]:
    """Return features as B x C x H x W, whatever the network's own order."""
    if getattr(stages, "output_fmt", "NCHW") == "NHWC":
        return [feature.permute(0, 3, 1, 2) for feature in features]
    return list(features)


def pad_valid_layers(stages: nn.Module) -> None:
    """Pad the 3 x 3 layers of a network that have no padding, so that stages keep to their strides."""
    for layer in stages.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.padding == (0, 0):
            layer.padding = layer.dilation
        elif isinstance(layer, nn.MaxPool2d) and layer.kernel_size in (3, (3, 3)) and layer.padding in (0, (0, 0)):
            layer.padding = 1


def _require_strides(name: str, strides: Sequence[int], output_stride: int) -> None:
    if len(set(strides)) == 1:
        raise ModelError(
            f"Backbone {name!r} gives one stride only ({strides[0]}), as plain vision transformers do; such networks"
            " are not taken yet. Choose one with four stages, such as resnet50 or swin_tiny_patch4_window7_224."
        )
    if strides[-1] != output_stride:
        way_out = f"choose output stride {strides[-1]}" if strides[-1] in (8, 16, 32) else "choose another backbone"
        raise ModelError(f"Backbone {name!r} gives stages of strides {list(strides)}, not {output_stride}; {way_out}.")


def _gives_promised(stages: nn.Module, multiple: int, more: int) -> bool:
    """Whether images of ``multiple + more`` by three times that give features of the promised widths and sizes."""
    information = cast(Any, stages).feature_info
    height, width = multiple, 3 * multiple
    with torch.no_grad():
        images = torch.empty(1, 3, height + more, width + more, device="meta")
        features = channels_first(stages, stages.eval()(images))
    expected = [
        (channels, height // stride + more, width // stride + more)
        for channels, stride in zip(information.channels(), information.reduction(), strict=True)
    ]
    return [tuple(feature.shape[1:]) for feature in features] == expected


def _takes_one_more(stages: nn.Module, multiple: int) -> bool:
    try:
        return _gives_promised(stages, multiple, 1)
    except REFUSALS:
        return False
