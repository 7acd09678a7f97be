"""Settings by the names that they had: recipes, overrides, model directories, checkpoints and logs of then are read."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from scenescope.errors import RecipeError
from scenescope.yaml_reader import Key

T = TypeVar("T")

OLD_NAMES: dict[str, str | None] = {
    "model.magnify": "input_scale",
    "model.refine": "refinement_channels",
    "model.options.skip": "low_level_channels",
    "model.options.low_level_width": "low_level_channels",
    "data.cache": None,
    "data.cache_gigabytes": None,
    "loss.hard_fraction": "ohem_fraction",
    "loss.picture_target": "image_label_target",
    "train.accumulation": "grad_accum_steps",
    "train.optimiser": "optimizer",
    "train.learning_rate": "lr",
    "train.head_factor": "head_lr_mult",
    "train.attention_factor": "attention_lr_mult",
    "train.decay_norms": "weight_decay_on_norms_and_biases",
    "train.schedule_power": "poly_power",
    "train.minimum_rate": "min_lr",
    "train.gradient_clip": "grad_clip_norm",
    "train.average_decay": "ema_decay",
    "train.workers": "num_workers",
    "train.start_from": "init_from",
}
"""The dotted key that was, and the last word of the one that is; None for a setting that is gone."""

OLD_LOG_KEYS: dict[str, str] = {"rate": "lr"}
"""Keys in the rows of a run's log."""

OLD_CLASS_KEYS: dict[str, str] = {"colours": "colors"}
"""Keys of classes.yaml."""

OLD_TENSORS: dict[str, str] = {
    r"^optimiser\.": "optimizer.",
    r"^average\.": "ema.",
    r"^average_updates$": "ema_updates",
    r"\bhead\.pyramid\.views\.": "head.pyramid.branches.",
    r"\bhead\.pyramid\.picture\.": "head.pyramid.image_pool.",
}
"""Patterns of the names of tensors, and of what stands beside them, in checkpoints and model directories."""


def renamed(values: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Return nested settings with the names that they have now; each old name is told once, on the standard error.

    Args:
        values: settings by name.
        within: the dotted key that they stand behind, with a dot at its end.

    Raises:
        RecipeError: a setting under both its names.
    """
    made: dict[str, Any] = {}
    for key, value in values.items():
        new = new_name(f"{within}{key}")
        if new is None:
            continue
        last = new.removeprefix(within)
        if last != key and (last in values or last in made):
            raise RecipeError(f"{within}{key} is the old name of {new}, and both are given; keep {new}.")
        inner = renamed(value, f"{within}{key}.") if isinstance(value, Mapping) else value
        made[key if last == key else Key(last, getattr(key, "line", None))] = inner
    return made


def new_name(key: str, *, tell: bool = True) -> str | None:
    """Return what a setting is called now, by its dotted key; None if it is gone."""
    if key not in OLD_NAMES:
        return key
    last = OLD_NAMES[key]
    new = None if last is None else f"{key.rpartition('.')[0]}.{last}"
    if tell:
        _tell(key, new)
    return new


def renamed_model(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what describes a network in a model directory, its options among the rest, with the names of now."""
    last = {old.rpartition(".")[2]: new for old, new in OLD_NAMES.items() if old.startswith("model.")}
    for old in described.keys() & last.keys():
        _tell(old, last[old])
    names = {key: last.get(key, key) for key in described}
    return {new: described[key] for key, new in names.items() if new is not None}


def renamed_class_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``classes.yaml`` holds with the keys that it has now; each old one is told once."""
    for old in content.keys() & OLD_CLASS_KEYS.keys():
        _tell(old, OLD_CLASS_KEYS[old])
    return {OLD_CLASS_KEYS.get(key, key): value for key, value in content.items()}


def renamed_tensors(tensors: Mapping[str, T]) -> dict[str, T]:
    """Return what is kept under the names of tensors with the names that they have now."""

    def new(key: str) -> str:
        return functools.reduce(lambda name, old: re.sub(old, OLD_TENSORS[old], name), OLD_TENSORS, key)

    return {new(key): tensor for key, tensor in tensors.items()}


@functools.cache
def _tell(old: str, new: str | None) -> None:
    told = "gone and has no effect" if new is None else f"now called {new}; the old name is still read"
    print(f"{old} is {told}.", file=sys.stderr)
