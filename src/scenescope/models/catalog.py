"""The catalogue of networks: a name, a builder."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from scenescope.backbones.build import Backbone
from scenescope.errors import ModelError, nearest
from scenescope.models.danet import PRESETS as DANET_PRESETS
from scenescope.models.danet import danet
from scenescope.models.deeplab import V3_PRESETS, V3PLUS_PRESETS, deeplabv3, deeplabv3plus
from scenescope.models.dranet import PRESETS as DRANET_PRESETS
from scenescope.models.dranet import dranet
from scenescope.models.encnet import encnet
from scenescope.models.fcn import PRESETS as FCN_PRESETS
from scenescope.models.fcn import fcn
from scenescope.models.fcn_se import fcn_se
from scenescope.models.network import SegmentationNetwork
from scenescope.models.pspnet import PRESETS as PSPNET_PRESETS
from scenescope.models.pspnet import pspnet
from scenescope.models.refinement import Refinement
from scenescope.models.sanet import sanet
from scenescope.models.settings import MOST_MAGNIFIED

MODELS: dict[str, Callable[..., SegmentationNetwork]] = {
    "danet": danet,
    "sanet": sanet,
    "fcn": fcn,
    "fcn_se": fcn_se,
    "pspnet": pspnet,
    "deeplabv3": deeplabv3,
    "deeplabv3plus": deeplabv3plus,
    "encnet": encnet,
    "dranet": dranet,
}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "danet": DANET_PRESETS,
    "fcn": FCN_PRESETS,
    "pspnet": PSPNET_PRESETS,
    "deeplabv3": V3_PRESETS,
    "deeplabv3plus": V3PLUS_PRESETS,
    "dranet": DRANET_PRESETS,
}
"""Named options of a builder, by network."""


def create_model(
    name: str,
    *,
    num_classes: int,
    preset: str | None = None,
    magnify: float = 1.0,
    refine: int = 0,
    remainder: Sequence[int] | None = None,
    **options: Any,
) -> SegmentationNetwork:
    """Build a network of the catalogue by name.

    Args:
        name: a key of ``MODELS``, such as ``danet`` or ``sanet``.
        num_classes: K, at least 1.
        preset: a published form of the network, such as ``official`` or ``mmseg``, see ``PRESETS``; single options
            replace its own.
        magnify: enlarge pictures by this factor before the backbone sees them, in training and prediction alike; for
            pictures that are small beside what the backbone was trained on.
        refine: channels of a correction of the logits at half the size of the picture, see Refinement; 0 leaves it out.
        remainder: what height and width of an image leave, magnified and filled up, when they are divided by the output
            stride, see SegmentationNetwork; that of the crops which the network was trained on, (0, 0) unless given.
        options: arguments of the builder, such as ``backbone="resnet101"``, ``output_stride=8``,
            ``pretrained=True``, ``channel_form="paper"``; see the builder of that name.

    Returns:
        The network in training mode; its ``config`` holds what builds it again.

    Raises:
        ModelError: an unknown name, preset, option or backbone, a class count below 1, a factor that is not above 0, or
            a remainder as large as the output stride.

    Example:
        >>> network = create_model("danet", backbone="resnet101", num_classes=19)
    """
    if name not in MODELS:
        raise ModelError(f"There is no network {name!r}.{nearest(name, MODELS)} Known: {', '.join(MODELS)}.")
    if num_classes < 1:
        raise ModelError(f"num_classes={num_classes} is not possible; give the number of classes, at least 1.")
    if not 0 < magnify <= MOST_MAGNIFIED:
        raise ModelError(f"magnify={magnify} is not possible; give a factor above 0 and up to {MOST_MAGNIFIED}.")
    if refine < 0:
        raise ModelError(f"refine={refine} is not a number of channels; give 0 for no refinement, or such as 32.")
    if preset is not None:
        presets = PRESETS.get(name, {})
        if preset not in presets:
            known = f"Known: {', '.join(presets)}." if presets else "It has none."
            raise ModelError(f"{name} has no preset {preset!r}.{nearest(preset, presets)} {known}")
        options = presets[preset] | options
    signature = inspect.signature(MODELS[name])
    for option in options:
        if option not in signature.parameters:
            raise ModelError(
                f"{name} has no option {option!r}.{nearest(option, signature.parameters)}"
                f" Known: {', '.join(signature.parameters)}."
            )
    arguments = signature.bind(num_classes, **options)
    arguments.apply_defaults()
    try:
        network = MODELS[name](**arguments.arguments)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise ModelError(f"{name} cannot be built with {given}: {error}") from error
    network.config = {"name": name} | {key: value for key, value in arguments.arguments.items() if key != "pretrained"}
    if magnify != 1:
        network.magnify = float(magnify)
        network.config["magnify"] = network.magnify
    if remainder is not None:
        network.remainder = _two_remainders(remainder, network.backbone)
        network.config["remainder"] = list(network.remainder)
    if refine:
        network.refinement = Refinement(num_classes, refine, align_corners=network.align_corners)
        network.config["refine"] = refine
    return network


def _two_remainders(remainder: Sequence[int], backbone: Backbone) -> tuple[int, int]:
    most = 0 if backbone.only_multiples else backbone.strides[-1] - 1
    try:
        rows, columns = (int(each) for each in remainder)
    except (TypeError, ValueError):
        rows = columns = -1
    if not (0 <= rows <= most and 0 <= columns <= most):
        raise ModelError(f"remainder={remainder!r} is not possible; give two numbers from 0 to {most}.")
    return rows, columns
