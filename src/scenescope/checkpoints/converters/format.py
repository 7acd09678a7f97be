"""What converters are made of: a table of key names, and how a backbone is told from its weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import timm
from torch import Tensor

from scenescope.errors import CheckpointError

BACKBONE = "backbone.stages"
DEPTHS = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}
"""ResNets by kind of block (True: bottleneck) and number of blocks in each stage."""


@dataclass(frozen=True)
class CheckpointFormat:
    """One kind of checkpoint.

    Attributes:
        title: whose code writes it, and of which network.
        model: that network's name in the catalog.
        preset: what such a file leaves open, by name of a preset of the network.
        required_prefixes: beginnings of keys; a file with all of them is of this kind.
        modules: beginning of keys in the file to their beginning here, whole words between dots, the longest one
            counting; None for what is not needed.
        layers: what the words behind these beginnings are called here, where they differ.
        sizes: option of the network to the key whose weight has that many outputs.
        adapted: key here to what has to be done with its weight.
        in_training_only: beginnings of keys here that the file may lack; they are zero then.
    """

    title: str
    model: str
    preset: str
    required_prefixes: tuple[str, ...]
    modules: Mapping[str, str | None]
    sizes: Mapping[str, str]
    layers: Mapping[str, str] = field(default_factory=dict)
    adapted: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    in_training_only: tuple[str, ...] = ()

    def fits(self, state: Mapping[str, Tensor]) -> bool:
        """Tell whether weights by key are of this kind."""
        return all(any(key.startswith(mark) for key in state) for mark in self.required_prefixes)

    def key(self, foreign: str) -> str | None:
        """Return what a key of the file is called here, None if it is not needed.

        Raises:
            KeyError: it is of none of the modules.
        """
        words = foreign.split(".")
        for end in range(len(words), 0, -1):
            module = ".".join(words[:end])
            if module in self.modules:
                beginning = self.modules[module]
                rest = [self.layers.get(word, word) for word in words[end:]]
                return None if beginning is None else ".".join([beginning, *rest])
        raise KeyError(foreign)

    def found_sizes(self, state: Mapping[str, Tensor], path: object) -> dict[str, int]:
        """Return options of the network that the shapes of weights tell.

        Raises:
            CheckpointError: one of these weights is missing.
        """
        for key in self.sizes.values():
            if key not in state or state[key].ndim != 4:
                raise CheckpointError(f"{path} looks like {self.title}, but lacks the weight {key}; is it whole?")
        return {option: state[key].shape[0] for option, key in self.sizes.items()}


def find_backbone(state: Mapping[str, Tensor], path: object) -> str:
    """Return timm's name of the ResNet whose weights are in a state with our keys: its depth and its stem.

    Raises:
        CheckpointError: it is no ResNet of timm's with 18, 34, 50, 101 or 152 layers.
    """
    blocks = {matched.groups() for key in state if (matched := re.match(rf"{BACKBONE}\.layer(\d)\.(\d+)\.", key))}
    counts = tuple(sum(stage == number for stage, _ in blocks) for number in "1234")
    depth = DEPTHS.get((f"{BACKBONE}.layer1.0.conv3.weight" in state, counts))
    deep_stem = state.get(f"{BACKBONE}.conv1.0.weight")
    stem = ""  # one 7 x 7 convolution
    if deep_stem is not None:
        wide = deep_stem.shape[0] == 64
        average_pooled = f"{BACKBONE}.layer2.0.downsample.2.weight" in state
        stem = "d" if average_pooled else "s.gluon_in1k" if wide else "c.gluon_in1k"
    name = f"resnet{depth}{stem}"
    if depth is None or not timm.is_model(name):
        raise CheckpointError(
            f"The backbone in {path} is not known: stages of {counts} blocks"
            f"{f', which would be {name}' if depth else ''}. Known are ResNets of 18, 34, 50, 101 and 152 layers."
        )
    return name
