"""The options of each network and its published forms, without torch: a recipe is read by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from scenescope.attention.options import ChannelForm, SqueezeOptions
from scenescope.config import Count, CountOrNone, ModelSettings, NetworkOptions, Share
from scenescope.errors import ModelError, RecipeError, nearest
from scenescope.settings_reader import read_settings


@dataclass(frozen=True)
class HeadOptions(NetworkOptions):
    """What every head can be told."""

    dropout: Share = 0.1
    """Probability of dropping a channel before every classifier."""


@dataclass(frozen=True)
class DANetOptions(HeadOptions):
    """Options of DANet, see DANetHead."""

    position: bool = True
    """Have the position branch."""
    channel: bool = True
    """Have the channel branch."""
    channel_form: ChannelForm = "official"
    """Which channel energies, see ChannelAttention."""
    low_level_channels: CountOrNone = 0
    """Channels of stage 1 that enter a refinement of the sum; 0 leaves it out."""
    auxiliary_head: bool = False
    """Have an FCN head on stage 3, as mmsegmentation."""


@dataclass(frozen=True)
class SANetOptions(SqueezeOptions, HeadOptions):
    """Options of SANet; each is a choice that the paper leaves open."""

    name: str = "sanet"
    backbone: str = "resnet50s.gluon_in1k"
    """The default has the stem that the counts of Table 6 show."""
    fusion: Literal["logits", "features", "sum"] = "logits"
    """What makes the mask: the four "logits" or the four "features" concatenated, then a 1 x 1 convolution; or the
    "sum" of the logits."""
    dense: bool = True
    """Have the dense head; without it the mask is the prediction (the ablation of Table 1)."""
    categorical: Literal["dense", "features", "pooled", "none"] = "dense"
    """What makes y_cat: the spatial mean of "dense" logits and a linear layer, that of the four "features" and a
    linear layer, the mean of the dense logits as they are ("pooled"), or "none"."""
    prediction: Literal["dense+sa4", "dense", "mask"] = "dense+sa4"
    """Which logits are the answer."""
    dense_loss: Literal["dense+sa4", "dense"] = "dense+sa4"
    """Which logits the dense loss sees. With "dense" and a fusion that mixes classes, nothing makes channel k of Y_SA4
    mean class k, though it is added to the answer."""

    def __post_init__(self) -> None:
        if not self.dense and (self.categorical in ("dense", "pooled") or self.prediction != "mask"):
            raise ValueError(
                "dense=false leaves no dense logits; give prediction=mask and categorical=features or none."
            )
        if self.fusion == "features" and self.dense_loss == "dense" and self.prediction == "dense+sa4":
            raise ValueError("fusion=features with dense_loss=dense trains no Y_SA4; give prediction=dense or mask.")


@dataclass(frozen=True)
class FCNOptions(HeadOptions):
    """Options of the dilated FCN."""

    name: str = "fcn"
    auxiliary_head: bool = False
    """Have an FCN head on stage 3."""
    concat_input: bool = False
    """Two convolutions, and a third that sees stage 4 and what they give side by side, as in mmsegmentation."""


@dataclass(frozen=True)
class FCNSEOptions(HeadOptions):
    """Options of FCN-SE."""

    name: str = "fcn_se"
    hidden_channels: Count = 4
    """Channels of the hidden layer of squeeze-and-excitation."""


@dataclass(frozen=True)
class PSPNetOptions(HeadOptions):
    """Options of PSPNet."""

    name: str = "pspnet"
    auxiliary_head: bool = True
    """Have an FCN head on stage 3."""


@dataclass(frozen=True)
class DeepLabV3Options(HeadOptions):
    """Options of DeepLabV3, see AtrousPyramid."""

    name: str = "deeplabv3"
    auxiliary_head: bool = True
    """Have an FCN head on stage 3."""
    width: Count = 256
    """Channels of each view and of the output of the pyramid."""
    wide_join: bool = False
    """Join the views by a 3 x 3 convolution as mmsegmentation does, not by a 1 x 1 one and dropout."""


@dataclass(frozen=True)
class DeepLabV3PlusOptions(DeepLabV3Options):
    """Options of DeepLabV3+."""

    name: str = "deeplabv3plus"
    auxiliary_head: bool = False
    separable: bool = False
    """Depthwise-separable 3 x 3 convolutions in pyramid and decoder."""
    low_level_channels: Count = 48
    """Channels of stage 1 that enter the decoder."""


@dataclass(frozen=True)
class EncNetOptions(HeadOptions):
    """Options of EncNet."""

    name: str = "encnet"
    auxiliary_head: bool = True
    """Have an FCN head on stage 3."""
    num_codewords: Count = 32
    """M, see Encoding."""


@dataclass(frozen=True)
class DRANetOptions(HeadOptions):
    """Options of DRANet."""

    name: str = "dranet"
    auxiliary_head: bool = True
    """Have an FCN head on stage 3."""


OPTIONS: dict[str, type[HeadOptions]] = {
    "danet": DANetOptions,
    "sanet": SANetOptions,
    "fcn": FCNOptions,
    "fcn_se": FCNSEOptions,
    "pspnet": PSPNetOptions,
    "deeplabv3": DeepLabV3Options,
    "deeplabv3plus": DeepLabV3PlusOptions,
    "encnet": EncNetOptions,
    "dranet": DRANetOptions,
}

_MMSEG = {"backbone": "resnet101c.gluon_in1k", "align_corners": False}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "danet": {
        "official": {"backbone": "resnet101s.gluon_in1k", "multi_grid": (4, 8, 16)},
        "official-2018": {"backbone": "resnet101", "multi_grid": (4, 8, 16)},
        "mmseg": {**_MMSEG, "auxiliary_head": True},
        "tramac": {"backbone": "resnet50s.gluon_in1k"},
        "paper": {"backbone": "resnet101", "multi_grid": (4, 8, 16), "channel_form": "paper"},
    },
    "fcn": {"mmseg": {**_MMSEG, "auxiliary_head": True, "concat_input": True}},
    "pspnet": {"mmseg": _MMSEG},
    "deeplabv3": {"mmseg": {**_MMSEG, "width": 512, "wide_join": True}},
    "deeplabv3plus": {"mmseg": {**_MMSEG, "width": 512, "wide_join": True, "auxiliary_head": True, "separable": True}},
    "dranet": {"official": {"backbone": "resnet101s.gluon_in1k", "multi_grid": (4, 8, 16)}},
}
"""In what the published forms differ. DANet's code of 2020 has the deep stem, that of 2018, which trained the released
network, the 7 x 7 one; "mmseg" is the form of mmsegmentation's 512 x 1024 recipes (those with 769 x 769 crops align
corners); "tramac" is awesome-semantic-segmentation-pytorch; "paper" has the channel energies as the paper writes
them."""


def read_options(name: str, values: Mapping[str, object]) -> HeadOptions:
    """Make the options of a network of the catalog of plain values.

    Raises:
        ModelError: an unknown network or option, or a value that is not possible.
    """
    if name not in OPTIONS:
        raise ModelError(_unknown_network(name))
    return read_settings(OPTIONS[name], {**values, "name": name}, name, error=ModelError)


def recipe_options(model: ModelSettings, source: str, given: Mapping[str, object] | None = None) -> HeadOptions:
    """Make the options of the network that a recipe asks for.

    Args:
        source: where the recipe came from, for messages.
        given: ``model.options`` as the file has them, with lines.

    Raises:
        RecipeError: an unknown network or option, or a value that is not possible.
    """
    if model.name not in OPTIONS:
        raise RecipeError(f"{source}: {_unknown_network(model.name)}")
    kind = OPTIONS[model.name]
    common = {each.name: getattr(model, each.name) for each in fields(NetworkOptions)}
    taken = sorted(model.options.keys() & {*common, "pretrained"})
    if taken:
        raise RecipeError(
            f"{source}: model.options.{taken[0]} is not an option of the head; set model.{taken[0]} in its place."
        )
    within = "model.options."
    known = [f"{within}{each.name}" for each in fields(kind) if each.name not in common]
    own = read_settings(kind, model.options if given is None else given, source, within=within, known=known)
    return replace(own, **common)


def _unknown_network(name: str) -> str:
    return f"There is no network {name!r}.{nearest(name, OPTIONS)} Known: {', '.join(OPTIONS)}."
