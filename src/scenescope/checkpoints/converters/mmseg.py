"""The key names of mmsegmentation, versions 0.x and 1.x, and what its files tell besides.

github.com/open-mmlab/mmsegmentation, folder ``mmseg/models``: ``backbones/resnet.py`` and, of ``decode_heads``,
``da_head.py``, ``fcn_head.py``, ``psp_head.py``, ``aspp_head.py`` and ``sep_aspp_head.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from scenescope.checkpoints.converters.format import BACKBONE, CheckpointFormat
from scenescope.errors import CheckpointError, DataError
from scenescope.labels import Classes

LAYERS = {"conv": "0", "bn": "1", "depthwise_conv": "0", "pointwise_conv": "1"}
COMMON = {
    "backbone": BACKBONE,
    "backbone.stem": f"{BACKBONE}.conv1",
    "backbone.stem.7": f"{BACKBONE}.bn1",
    "decode_head.conv_seg": "head.classifier.1",
    "auxiliary_head.convs.0": "auxiliary_head.0",
    "auxiliary_head.conv_seg": "auxiliary_head.1.1",
}
PYRAMID = {
    "decode_head.aspp_modules": "head.pyramid.branches",
    "decode_head.image_pool.1": "head.pyramid.image_pool",
    "decode_head.bottleneck": "head.pyramid.project.0",
}


def _source(
    title: str,
    model: str,
    required_prefixes: tuple[str, ...],
    modules: Mapping[str, str],
    sizes: Mapping[str, str] | None = None,
) -> CheckpointFormat:
    return CheckpointFormat(
        title=f"{title} of mmsegmentation",
        model=model,
        preset="mmseg",
        required_prefixes=("backbone.", *required_prefixes),
        modules={**COMMON, **modules},
        layers=LAYERS,
        sizes={"num_classes": "decode_head.conv_seg.weight", **(sizes or {})},
        adapted={"head.pyramid.project.0.0.weight": _image_pool_last},
    )


def _image_pool_last(weight: Tensor) -> Tensor:
    """Put the inputs of the view of the whole image, there the first, behind those of the other views."""
    return weight.roll(-weight.shape[0], dims=1)


SOURCES = (
    _source(
        "DANet",
        "danet",
        ("decode_head.pam.",),
        {
            "decode_head.pam_in_conv": "head.position_in",
            "decode_head.pam.query_project": "head.position.query",
            "decode_head.pam.key_project": "head.position.key",
            "decode_head.pam.value_project": "head.position.value",
            "decode_head.pam.gamma.scale": "head.position.alpha",
            "decode_head.pam_out_conv": "head.position_out",
            "decode_head.pam_conv_seg": "head.position_classifier.1",
            "decode_head.cam_in_conv": "head.channel_in",
            "decode_head.cam.gamma.scale": "head.channel.beta",
            "decode_head.cam_out_conv": "head.channel_out",
            "decode_head.cam_conv_seg": "head.channel_classifier.1",
        },
    ),
    _source(
        "PSPNet",
        "pspnet",
        ("decode_head.psp_modules.",),
        {
            **{f"decode_head.psp_modules.{level}.1": f"head.levels.{level}" for level in range(4)},
            "decode_head.bottleneck": "head.conv",
        },
    ),
    _source(
        "DeepLabV3+",
        "deeplabv3plus",
        ("decode_head.sep_bottleneck.",),
        PYRAMID | {"decode_head.c1_bottleneck": "head.low_level", "decode_head.sep_bottleneck": "head.conv"},
        {
            "width": "decode_head.bottleneck.conv.weight",
            "low_level_channels": "decode_head.c1_bottleneck.conv.weight",
        },
    ),
    _source(
        "DeepLabV3",
        "deeplabv3",
        ("decode_head.aspp_modules.",),
        PYRAMID,
        {"width": "decode_head.bottleneck.conv.weight"},
    ),
    _source(
        "FCN",
        "fcn",
        ("decode_head.convs.", "decode_head.conv_cat."),
        {"decode_head.convs": "head.conv", "decode_head.conv_cat": "head.join"},
    ),
)


def told_options(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of the network that the text of the configuration in a file tells; it is searched, not run."""
    text = meta.get("cfg", meta.get("config"))
    if not isinstance(text, str):
        return {}
    told: dict[str, Any] = {}
    aligned = set(re.findall(r"\balign_corners=(True|False)\b", text))
    if len(aligned) == 1:
        told["align_corners"] = aligned == {"True"}
        if told["align_corners"]:
            told["remainder"] = (1, 1)  # its crops are 769 x 769 then
    strides = re.search(r"\bstrides=\((\d+(?:, ?\d+){3})\)", text)
    if strides is not None:
        told["output_stride"] = 4 * math.prod(int(stride) for stride in strides[1].split(","))
    dilations = re.search(r"\bmulti_grid=\((\d+(?:, ?\d+)*)\)", text)
    if dilations is not None:
        told["multi_grid"] = tuple(int(dilation) for dilation in dilations[1].split(","))
    return told


def told_classes(meta: Mapping[str, Any]) -> Classes | None:
    """Return the classes that a file names, with its palette if that can be used; None if it names none."""
    of_1x = meta.get("dataset_meta")
    kept = of_1x if isinstance(of_1x, Mapping) else meta
    names, palette = (kept.get(key, kept.get(key.upper())) for key in ("classes", "palette"))
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name.isprintable() for name in names):
        return None
    for colors in (palette, None):
        try:
            return Classes.named(names, colors)
        except (DataError, TypeError, ValueError, OverflowError):  # anything may have been written there
            continue
    return None


def refuse_other_dilation(config: Mapping[str, Any], path: object) -> None:
    """Refuse the dilated ResNet-18 and 34: mmsegmentation dilates one convolution of a block, and here it is two.

    Raises:
        CheckpointError: the network is one of these.
    """
    if config["backbone"] in ("resnet18", "resnet34") and config["output_stride"] != 32:
        raise CheckpointError(
            f"{path} has a {config['backbone']}, which mmsegmentation dilates otherwise than this library; only an"
            " undilated one can be converted: --set output_stride=32 if yours is."
        )
