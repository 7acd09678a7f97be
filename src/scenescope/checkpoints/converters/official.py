"""The key names of the official code: DANet of 2018 and 2020, and DRANet in both its spellings.

github.com/junfu1115/DANet, files ``encoding/models/sseg/{danet,dran}.py`` and their predecessors of 2018.
"""

from __future__ import annotations

from dataclasses import replace

from scenescope.checkpoints.converters.format import BACKBONE, CheckpointFormat

RESNET = {"pretrained": BACKBONE, "pretrained.fc": None}
"""The classifier of ImageNet is left in files of 2018."""

DANET_2020 = CheckpointFormat(
    title="DANet of the official code (2020)",
    model="danet",
    preset="official",
    required_prefixes=("head.sa.", "pretrained.conv1.0."),
    modules=RESNET
    | {
        "head.conv5a": "head.position_in",
        "head.sa.query_conv": "head.position.query",
        "head.sa.key_conv": "head.position.key",
        "head.sa.value_conv": "head.position.value",
        "head.sa.gamma": "head.position.alpha",
        "head.conv51": "head.position_out",
        "head.conv6": "head.position_classifier",
        "head.conv5c": "head.channel_in",
        "head.sc.gamma": "head.channel.beta",
        "head.conv52": "head.channel_out",
        "head.conv7": "head.channel_classifier",
        "head.conv8": "head.classifier",
    },
    sizes={"num_classes": "head.conv8.1.weight"},
)
DANET_2018 = replace(
    DANET_2020,
    title="DANet of the official code (2018)",
    preset="official-2018",
    required_prefixes=("head.sa.", "pretrained.conv1.weight"),
)

DRANET = CheckpointFormat(
    title="DRANet of the official code",
    model="dranet",
    preset="official",
    required_prefixes=("head.cpam_dec.",),
    modules=RESNET
    | {
        "head.conv_cpam_b": "head.compact_position.0",
        **{
            f"head.cpam_enc.conv{grid + 1}.{layer}": f"head.compact_position.1.grids.{grid}.{layer + 1}"
            for grid in range(4)
            for layer in range(2)
        },
        "head.cpam_dec.conv_query": "head.compact_position.1.query",
        "head.cpam_dec.conv_key": "head.compact_position.1.key",
        "head.cpam_dec.conv_value": "head.compact_position.1.value",
        "head.cpam_dec.scale": "head.compact_position.1.alpha",
        "head.conv_cpam_e": "head.compact_position.2",
        "head.conv_ccam_b": "head.compact_channel.0",
        "head.ccam_enc": "head.compact_channel.1.centers",
        "head.ccam_dec.scale": "head.compact_channel.1.beta",
        "head.conv_ccam_e": "head.compact_channel.2",
        "head.conv_cat": "head.join",
        "head.clgd.conv_low": "head.decoder.low",
        "head.clgd.conv_att.0": "head.decoder.gate",
        "head.clgd.gamma": "head.decoder.gamma",
        "head.clgd.conv_cat": "head.decoder.conv.0",
        "head.clgd.conv_out": "head.decoder.conv.1",
        "cls_seg": "head.classifier",
        "cls_aux.0": "auxiliary_head.0.0",
        "cls_aux.1": "auxiliary_head.0.1",
        "cls_aux.4": "auxiliary_head.1.1",
    },
    sizes={"num_classes": "cls_seg.1.weight"},
)

OLDER_NAMES = {
    "head.conv_cpam_b": "head.conv5_s",
    "head.cpam_enc": "head.en_s",
    "head.cpam_dec.conv_query": "head.de_s.query_conv2",
    "head.cpam_dec.conv_key": "head.de_s.key_conv2",
    "head.cpam_dec.conv_value": "head.de_s.value2",
    "head.cpam_dec": "head.de_s",
    "head.conv_cpam_e": "head.conv52",
    "head.conv_ccam_b": "head.conv5_c",
    "head.ccam_enc": "head.conv51_c",
    "head.ccam_dec": "head.de_c",
    "head.conv_ccam_e": "head.conv51",
    "head.conv_cat": "head.conv_f",
    "head.clgd.conv_low": "head.skipconv",
    "head.clgd.conv_cat": "head.fusion",
    "head.clgd.conv_out": "head.fusion2",
    "head.clgd.conv_att": "head.att",
    "head.clgd.gamma": "head.gamma",
    "cls_seg": "head.conv6",
    "cls_aux": "head.conv7",
}
"""DRANet's modules in files from before its release, by their released name."""


def _older(module: str) -> str:
    """Put the older name into the beginning of a released key, the longest one that is listed."""
    names = [name for name in OLDER_NAMES if f"{module}.".startswith(f"{name}.")]
    released = max(names, key=len, default="")
    return OLDER_NAMES[released] + module.removeprefix(released) if released else module


DRANET_OLDER = replace(
    DRANET,
    title="DRANet of the official code (names before its release)",
    required_prefixes=("head.de_s.",),
    modules={_older(module): here for module, here in DRANET.modules.items()} | {"auxlayer": None},
    sizes={option: _older(key) for option, key in DRANET.sizes.items()},
)

SOURCES = (DANET_2020, DANET_2018, DRANET, DRANET_OLDER)
