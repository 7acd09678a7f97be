"""The catalog of networks: a name, a head. Its options stand in ``options.py`` under the same name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from scenescope.backbones.build import Backbone, create_backbone
from scenescope.errors import ModelError, nearest
from scenescope.models.danet import DANetHead
from scenescope.models.deeplab import DeepLabV3Head, DeepLabV3PlusHead
from scenescope.models.dranet import DRANetHead
from scenescope.models.encnet import EncNetHead
from scenescope.models.fcn import FCNHead, auxiliary_fcn_head
from scenescope.models.fcn_se import FCNSEHead
from scenescope.models.network import Head, SegmentationNetwork
from scenescope.models.options import PRESETS, HeadOptions, read_options
from scenescope.models.pspnet import PSPNetHead
from scenescope.models.refinement import Refinement
from scenescope.models.sanet import SANetHead

MODELS: dict[str, Callable[..., Head]] = {
    "danet": DANetHead,
    "sanet": SANetHead,
    "fcn": FCNHead,
    "fcn_se": FCNSEHead,
    "pspnet": PSPNetHead,
    "deeplabv3": DeepLabV3Head,
    "deeplabv3plus": DeepLabV3PlusHead,
    "encnet": EncNetHead,
    "dranet": DRANetHead,
}


def create_model(
    name: str, *, num_classes: int, preset: str | None = None, pretrained: bool = False, **options: Any
) -> SegmentationNetwork:
    """Build a network of the catalog by name.

    Args:
        name: a key of ``MODELS``, such as ``danet`` or ``sanet``.
        num_classes: K, at least 1.
        preset: a published form of the network, such as ``official`` or ``mmseg``, see ``PRESETS``; single options
            replace its own.
        pretrained: start the backbone from ImageNet weights.
        options: such as ``backbone="resnet101"``, ``output_stride=8``, ``channel_form="paper"``: those of
            ``NetworkOptions``, which all networks have, and the network's own, such as ``DANetOptions``.

    Returns:
        The network in training mode; its ``config`` holds what builds it again.

    Raises:
        ModelError: an unknown name, preset, option or backbone, a class count below 1, or a value that is not possible.

    Example:
        >>> network = create_model("danet", backbone="resnet101", num_classes=19)
    """
    if preset is not None:
        presets = PRESETS.get(name, {})
        if preset not in presets:
            known = f"Known: {', '.join(presets)}." if presets else "It has none."
            raise ModelError(f"{name} has no preset {preset!r}.{nearest(preset, presets)} {known}")
        options = presets[preset] | options
    return build_network(read_options(name, options), num_classes, pretrained=pretrained)


def build_network(options: HeadOptions, num_classes: int, *, pretrained: bool = False) -> SegmentationNetwork:
    """Build the network of some options; see ``create_model``."""
    if num_classes < 1:
        raise ModelError(f"num_classes={num_classes} is not possible; give the number of classes, at least 1.")
    try:
        backbone = create_backbone(
            options.backbone,
            output_stride=options.output_stride,
            multi_grid=options.multi_grid,
            pretrained=pretrained,
            in_channels=options.in_channels,
        )
        head = MODELS[options.name](backbone.channels, num_classes, options)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{options.name} cannot be built with {options}: {error}") from error
    loss_weights, auxiliary_head = dict(head.loss_weights), None
    if getattr(options, "auxiliary_head", False):
        auxiliary_head = auxiliary_fcn_head(backbone.channels[2], num_classes, options.dropout)
        loss_weights["stage3"] = head.stage3_weight
    network = SegmentationNetwork(
        backbone,
        head,
        num_classes=num_classes,
        align_corners=options.align_corners,
        auxiliary_head=auxiliary_head,
        loss_weights=loss_weights,
    )
    network.smallest = max(head.smallest * options.output_stride, 1)
    network.input_scale = options.input_scale
    network.remainder = _possible(options.remainder, backbone)
    if options.refinement_channels:
        network.refinement = Refinement(
            num_classes,
            options.refinement_channels,
            align_corners=options.align_corners,
            in_channels=options.in_channels,
        )
    network.config = {"name": options.name, "num_classes": num_classes, **asdict(options)}
    return network


def _possible(remainder: tuple[int, int], backbone: Backbone) -> tuple[int, int]:
    most = 0 if backbone.only_multiples else backbone.strides[-1] - 1
    if not all(0 <= each <= most for each in remainder):
        raise ModelError(f"remainder={remainder!r} is not possible; give two numbers from 0 to {most}.")
    return remainder
