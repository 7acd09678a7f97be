"""A model directory: ``config.json``, ``model.safetensors`` and their checksums. Nothing in it can execute code."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from scenescope.bands import rule_for, rule_of
from scenescope.checkpoints.find import find_model
from scenescope.errors import CheckpointError, ModelError, first_line
from scenescope.files import CHECKSUMS, damaged_file, sha256, write_directory
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.models.network import SegmentationNetwork
from scenescope.old_names import renamed_model, renamed_tensors

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
FORMAT = 1
LONGEST_CONFIG = 2**24
"""Bytes of a config.json; ours have some thousand."""
LONGEST_DESCRIPTION = 4096
"""Characters of what describes the network in it; ours have some hundred."""


class _CountsClasses(Protocol):
    @property
    def num_classes(self) -> int: ...


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode with what its classes mean.

    Attributes:
        network: the network, on the device asked for.
        classes: names and colors of its K classes.
        training: what is known of its training (recipe, step, scores); may be empty.
        directory: where it was loaded from.
        digest: what is the same only for the same files.
    """

    network: SegmentationNetwork
    classes: Classes
    training: dict[str, Any]
    directory: Path
    digest: str


def save_model(
    network: SegmentationNetwork,
    classes: Classes | Sequence[str],
    directory: str | Path,
    *,
    training: dict[str, Any] | None = None,
    weights: dict[str, Tensor] | None = None,
) -> None:
    """Write a model directory in one step; an older one of that name is replaced.

    Args:
        network: one of ``create_model``, wherever and however it was trained.
        classes: its K classes, or their names in order.
        directory: what ``load_model``, ``Segmenter.load`` and the command line take then.
        weights: state to write in place of the network's own, such as averaged weights.
        training: anything JSON holds that tells how the model came to be.

    Raises:
        ModelError: the network is none of ``create_model``, was changed since, or has another number of classes.
        StorageError: the place cannot be written; nothing half-written remains.

    Example:
        >>> save_model(network, ["road", "car"], "runs/own-loop")
    """
    classes = classes if isinstance(classes, Classes) else Classes.named(classes)
    _require_loadable(network, weights or network.state_dict(), classes)
    state = {key: value.detach().cpu().contiguous() for key, value in (weights or network.state_dict()).items()}
    config = {
        "format": FORMAT,
        "scenescope": version("scenescope"),
        "model": network.config,
        "input": None if network.band_rule is None else network.band_rule.to_dict(),
        "classes": {"names": classes.names, "palette": classes.palette},
        "training": training or {},
    }

    def write(place: Path) -> None:
        (place / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        write_tensors(state, place / WEIGHTS)

    write_directory(Path(directory), write, sum(value.nbytes for value in state.values()))


def _require_loadable(network: nn.Module, state: dict[str, Tensor], classes: Classes) -> None:
    """Refuse what could not be loaded again."""
    config = getattr(network, "config", None)
    if not isinstance(network, SegmentationNetwork) or not config:
        raise ModelError(
            f"A {type(network).__name__} is not a network of scenescope.create_model; give one, and of a wrapper what"
            " it wraps, such as network.module."
        )
    if network.num_classes != len(classes):
        raise ModelError(f"The network has {network.num_classes} classes, and {len(classes)} are named; name as many.")
    with torch.device("meta"):
        differences = state_differences(create_model(**network.config), state)
    if differences:
        raise ModelError(
            f"The network is not as create_model built it, and could not be loaded again: {'; '.join(differences)}."
            " Save it before it is optimized or changed."
        )


def load_model(name: str | Path | None = None, *, device: str | torch.device = "cpu") -> LoadedModel:
    """Load a model: a bare word (in the box), ``hub:org/name``, or a path to a model directory.

    Raises:
        CheckpointError: nothing is there, a file is damaged or cut short, or the weights are of another network.
    """
    directory = find_model(name)
    config, state = read_model_directory(directory)
    classes = described_classes(config, directory)
    with _description(directory):
        # A model on disk brings its own weights: whatever its file says, nothing is fetched.
        described = config["model"] | {"pretrained": False}
        if len(json.dumps(described)) > LONGEST_DESCRIPTION:
            raise ModelError("its description is too long for a network")
        with torch.device("meta"):  # no memory is taken before the weights are known to be of that size
            expected = create_model(**described)
        band_rule = rule_of(config.get("input")) or rule_for(expected.in_channels)
        if expected.in_channels != (3 if band_rule is None else band_rule.in_channels):
            raise ModelError(f"a network of {expected.in_channels} bands for {band_rule or '8-bit RGB'}")
    differences = state_differences(expected, state)
    if differences:
        raise CheckpointError(
            f"The weights in {directory / WEIGHTS} are not those of the {expected.config['name']} in its {CONFIG}:"
            f" {'; '.join(differences)}."
        )
    network = create_model(**described)
    network.load_state_dict(state)
    network.band_rule = band_rule
    training = config.get("training", {})
    return LoadedModel(network.to(device).eval(), classes, training, directory, _digest(directory))


def _digest(directory: Path) -> str:
    """What identifies a model: its checksums, which were compared, or what they would be."""
    if (directory / CHECKSUMS).is_file():
        return sha256(directory / CHECKSUMS)
    return "".join(sha256(directory / name) for name in (CONFIG, WEIGHTS))


def described_classes(config: dict[str, Any], directory: Path) -> Classes:
    """Return the classes in the config of a model directory, as many as its network has.

    Raises:
        CheckpointError: it was written by a newer scenescope, or does not describe a model.
    """
    with _description(directory):
        if config["format"] > FORMAT:
            raise CheckpointError(f"{directory} was written by a newer scenescope; upgrade this one.")
        classes = Classes.named(config["classes"]["names"], config["classes"]["palette"])
        if config["model"]["num_classes"] != len(classes):
            raise ModelError(f"{len(classes)} class names for a network of {config['model']['num_classes']} classes")
    return classes


@contextlib.contextmanager
def _description(directory: Path) -> Iterator[None]:
    """Tell of whatever goes wrong with the values of a config in one line."""
    try:
        yield
    except CheckpointError:
        raise
    except KeyError as error:
        raise CheckpointError(f"{directory / CONFIG} lacks {error}; copy the model again.") from error
    except Exception as error:  # Anything may stand in a file: numbers for names, lists for numbers, ...
        raise CheckpointError(
            f"{directory / CONFIG} does not describe a model of scenescope ({first_line(error)}); copy the model again."
        ) from error


def read_model_directory(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read and verify the two files of a model directory; weights are returned in float32 as far as they are floats.

    Raises:
        CheckpointError: a file is missing, damaged or cut short.
    """
    if not directory.is_dir():
        raise CheckpointError(f"{directory} is not a model directory ({CONFIG} and {WEIGHTS}); give such a directory.")
    for name in (CONFIG, WEIGHTS):
        if not (directory / name).is_file():
            raise CheckpointError(f"{directory} has no {name}; a model directory holds {CONFIG} and {WEIGHTS}.")
    if (directory / CONFIG).stat().st_size > LONGEST_CONFIG:
        raise CheckpointError(f"{directory / CONFIG} is too long to describe a model; copy the model again.")
    damaged = damaged_file(directory, CONFIG, WEIGHTS)
    if damaged is not None:
        raise CheckpointError(
            f"{directory / damaged} is damaged: it does not match its SHA-256. Copy or train the model again."
        )
    try:
        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{directory / CONFIG} is not readable JSON ({error}). Copy the model again.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{directory / CONFIG} does not hold an object; it is not of a scenescope model.")
    if isinstance(config.get("model"), dict):
        config["model"] = renamed_model(config["model"])
    state = read_tensors(directory / WEIGHTS)
    return config, {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def write_tensors(state: dict[str, Tensor], path: Path) -> None:
    """Write named tensors as safetensors."""
    # Serialized first and written by us, so that a full disk is an ordinary OSError.
    path.write_bytes(safetensors.torch.save(state))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a safetensors file.

    Raises:
        CheckpointError: the file is no safetensors file or is cut short.
    """
    try:
        return renamed_tensors(safetensors.torch.load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}). Copy it again; scenescope loads no pickled weights."
        ) from error


def require_classes(model: _CountsClasses, classes: Classes, source: str) -> None:
    """Refuse a data set whose class count is not the network's.

    Raises:
        ModelError: the counts differ.
    """
    if model.num_classes != len(classes):
        raise ModelError(
            f"The model has {model.num_classes} classes and {source} has {len(classes)};"
            " use the data set that the model was trained for."
        )


def class_difference(model_names: Sequence[str], data_names: Sequence[str]) -> str | None:
    """Say which class is the first whose name in the model is not that in the data; None of other counts or no such.

    To be told and not refused, as spellings differ; but a class is matched by its number alone.
    """
    if len(model_names) != len(data_names):
        return None
    for number, (ours, theirs) in enumerate(zip(model_names, data_names, strict=True)):
        if ours != theirs:
            return f"class {number} is {ours!r} in the model and {theirs!r} in the data; check that they mean the same"
    return None


def state_differences(network: nn.Module, state: dict[str, Tensor]) -> list[str]:
    """Say in what weights by key are not those of a network: names and shapes, the first few of each kind."""
    own = network.state_dict()
    missing = sorted(own.keys() - state.keys())
    unknown = sorted(state.keys() - own.keys())
    shapes = [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(own[key].shape)}"
        for key in sorted(own.keys() & state.keys())
        if own[key].shape != state[key].shape
    ]
    return first_few("missing", missing) + first_few("unknown", unknown) + first_few("other shape", shapes)


def first_few(what: str, items: list[str]) -> list[str]:
    """Return the count of items and the first three in one text; nothing of none."""
    if not items:
        return []
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return [f"{len(items)} {what}: {', '.join(items[:3])}{more}"]
