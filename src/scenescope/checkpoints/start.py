"""Fine-tuning: a network starts from the weights of a model, whatever classes either of them has.

Weights whose shape depends on the number of classes K are found by building the network for two such numbers and
comparing shapes. In such a dimension the classes come first, in one or more blocks of K (the logits of several heads
put together), and what is not of a class comes last. Each class takes what its namesake has learnt, and a new one keeps
its fresh weights, in every such dimension.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from timm.models import adapt_input_conv
from torch import Tensor

from scenescope.checkpoints.find import find_model
from scenescope.checkpoints.model_directory import described_classes, read_model_directory, state_differences
from scenescope.config import NetworkOptions
from scenescope.errors import CheckpointError, ModelError
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.models.network import SegmentationNetwork

Take = Literal["network", "backbone"]
BACKBONE = "backbone."
COMMON = {field.name for field in fields(NetworkOptions)}


@dataclass(frozen=True)
class Namesakes:
    """Which class of a network is which class of a model.

    Attributes:
        ours: numbers of classes that both have, in the network.
        theirs: their numbers in the model, in the same order.
        num_ours: number of classes of the network.
        num_theirs: likewise of the model.
    """

    ours: tuple[int, ...]
    theirs: tuple[int, ...]
    num_ours: int
    num_theirs: int


@dataclass(frozen=True)
class Start:
    """What a network takes from a model.

    Attributes:
        learnt: weights of the model by key.
        per_class: how many numbers of each dimension a class has, by key, where there are any.
        namesakes: the classes that both have.
        notes: a line on what is taken and which classes are new, one on bands; none if the model is for the same.
    """

    learnt: dict[str, Tensor]
    per_class: dict[str, list[int]]
    namesakes: Namesakes
    notes: list[str]


def init_from(network: SegmentationNetwork, name: str | Path, classes: Classes, take: Take = "network") -> list[str]:
    """Copy the weights of a model into a network as far as they mean the same; see ``compare_start``.

    Returns:
        A line on what was taken and which classes are new; none if the model is for the same classes.
    """
    start = compare_start(network, name, classes, take)
    fresh = network.state_dict()
    filled = {
        key: by_name(fresh[key], start.learnt[key], start.namesakes, each) for key, each in start.per_class.items()
    }
    network.load_state_dict(fresh | start.learnt | filled)
    return start.notes


def compare_start(network: SegmentationNetwork, name: str | Path, classes: Classes, take: Take = "network") -> Start:
    """Compare a network with the model that it is to start from, and change nothing.

    Args:
        network: what is to learn, on any device (``meta`` will do); its ``config`` holds what builds it.
        name: the model, as ``find_model`` takes it.
        classes: what the network is to learn, K names.
        take: the whole "network", its classes by name, or its "backbone" alone, be it of another network.

    Raises:
        CheckpointError: the model cannot be read, or has another network or backbone.
    """
    directory = find_model(name)
    config, state = read_model_directory(directory)
    theirs = described_classes(config, directory)
    state, notes = _for_bands(network, config["model"], state)
    namesakes = find_namesakes(classes.names, theirs.names)
    if take == "backbone":
        learnt = _backbone(network, config["model"], state, directory)
        return Start(learnt, {}, namesakes, [f"Started from the backbone of {name} alone.", *notes])
    as_theirs = _with_classes(network, len(theirs))
    differences = state_differences(as_theirs, state)
    if differences:
        raise CheckpointError(
            f"{directory} holds a {config['model'].get('name')} that this {network.config['name']} cannot start from:"
            f" {'; '.join(differences)}. {_way_out(as_theirs, config['model'])}"
        )
    if classes.names == theirs.names:
        return Start(state, {}, namesakes, notes)
    return Start(state, _per_class(network, as_theirs), namesakes, [_told(name, classes.names, namesakes), *notes])


def _for_bands(
    network: SegmentationNetwork, described: dict[str, Any], state: dict[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights of a model for as many bands as the network sees: as ImageNet weights are made for them."""
    ours, theirs = network.in_channels, described.get("in_channels", 3)
    if ours == theirs:
        return state, []
    with torch.device("meta"):
        other = create_model(**{**network.config, "in_channels": theirs}).state_dict()
    fresh = network.state_dict()
    learnt = {
        key: adapt_input_conv(ours, state[key], theirs)
        for key, value in other.items()
        if value.shape != fresh[key].shape and key in state and state[key].shape == value.shape
    }
    return state | learnt, [f"Its layers that see the image, made for {theirs} bands, were repeated for {ours}."]


def find_namesakes(ours: Sequence[str], theirs: Sequence[str]) -> Namesakes:
    """Match classes by name, exactly or else without regard to capitals."""
    exact = {name: number for number, name in enumerate(theirs)}
    folded = {name.casefold(): number for number, name in reversed(list(enumerate(theirs)))}
    matched = [(number, exact.get(name, folded.get(name.casefold()))) for number, name in enumerate(ours)]
    pairs = [(number, match) for number, match in matched if match is not None]
    return Namesakes(tuple(o for o, _ in pairs), tuple(t for _, t in pairs), len(ours), len(theirs))


def by_name(fresh: Tensor, learnt: Tensor, namesakes: Namesakes, per_class: Sequence[int]) -> Tensor:
    """Return a network's fresh weights with what a model has learnt in the place of what means the same.

    Args:
        fresh: of the network, any shape.
        learnt: of the model, as many dimensions.
        namesakes: the classes that both have.
        per_class: how many numbers of each dimension a class has, one for each block of K; 0 where it has none.
    """
    taken, places = learnt, []
    for dimension, blocks in enumerate(per_class):
        rest = fresh.shape[dimension] - blocks * namesakes.num_ours
        taken = taken.index_select(dimension, _places(namesakes.theirs, namesakes.num_theirs, blocks, rest))
        places.append(_places(namesakes.ours, namesakes.num_ours, blocks, rest))
    filled = fresh.clone()
    filled[torch.meshgrid(*places, indexing="ij")] = taken.to(filled)
    return filled


def _places(numbers: Sequence[int], num_classes: int, blocks: int, rest: int) -> Tensor:
    """Return the places of classes in a dimension of so many blocks of K, and those of the rest behind them."""
    of_classes = [block * num_classes + number for block in range(blocks) for number in numbers]
    return torch.tensor([*of_classes, *range(blocks * num_classes, blocks * num_classes + rest)], dtype=torch.int64)


def _per_class(network: SegmentationNetwork, as_theirs: SegmentationNetwork) -> dict[str, list[int]]:
    """Find the weights whose shape depends on K, and how many numbers of each dimension a class has."""
    # Two numbers of classes tell it; that of the model may be our own.
    ours, theirs = network.num_classes, as_theirs.num_classes
    other = as_theirs if ours != theirs else _with_classes(network, ours + 1)
    others = other.state_dict()
    per_class = {
        key: [
            (size - other_size) // (ours - other.num_classes)
            for size, other_size in zip(value.shape, others[key].shape, strict=True)
        ]
        for key, value in network.state_dict().items()
    }
    return {key: blocks for key, blocks in per_class.items() if any(blocks)}


def _backbone(
    network: SegmentationNetwork, described: dict[str, Any], state: dict[str, Tensor], directory: Path
) -> dict[str, Tensor]:
    learnt = {key: value for key, value in state.items() if key.startswith(BACKBONE)}
    differences = state_differences(
        network.backbone, {key.removeprefix(BACKBONE): value for key, value in learnt.items()}
    )
    if differences:
        raise CheckpointError(
            f"The backbone in {directory} is not the {network.config['backbone']} of this network:"
            f" {'; '.join(differences)}. Set model.backbone={described.get('backbone')}."
        )
    return learnt


def _way_out(network: SegmentationNetwork, described: dict[str, Any]) -> str:
    """Say which settings make a network that of a model, or how to take less."""
    own = network.config
    alone = "To start from its backbone alone, add train.take=backbone."
    if described.get("backbone") != own["backbone"]:
        return f"Set model.backbone={described.get('backbone')}."
    if described.get("name") != own["name"]:
        return alone
    needed = [
        f"{'model' if key in COMMON else 'model.options'}.{key}={json.dumps(value)}"
        for key, value in described.items()
        if key in own and value != own[key] and key != "num_classes" and _makes_other_weights(network, key, value)
    ]
    return f"To start from all of it, add {' '.join(needed)}. {alone}" if needed else alone


def _makes_other_weights(network: SegmentationNetwork, key: str, value: Any) -> bool:
    try:
        with torch.device("meta"):
            changed = create_model(**{**network.config, key: value})
    except ModelError:  # not by itself
        return True
    return bool(state_differences(changed, network.state_dict()))


def _with_classes(network: SegmentationNetwork, num_classes: int) -> SegmentationNetwork:
    """Build the same network for another number of classes: names and shapes, no memory."""
    with torch.device("meta"):
        return create_model(**{**network.config, "num_classes": num_classes})


def _told(name: str | Path, ours: Sequence[str], namesakes: Namesakes) -> str:
    new = [each for number, each in enumerate(ours) if number not in namesakes.ours]
    listed = ", ".join(new[:8]) + (f" and {len(new) - 8} more" if len(new) > 8 else "")
    taken = f"{len(namesakes.ours)} of its {namesakes.num_theirs} classes taken by name"
    return f"Started from {name}: {taken}; {f'new: {listed}' if new else 'none is new'}."
