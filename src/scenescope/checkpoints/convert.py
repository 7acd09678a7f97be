"""From a checkpoint of other code to a model directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scenescope.checkpoints.converters import mmseg, official, tramac
from scenescope.checkpoints.converters.format import CheckpointFormat, find_backbone
from scenescope.checkpoints.foreign import read_checkpoint
from scenescope.checkpoints.model_directory import first_few, save_model, state_differences
from scenescope.data.classes_yaml import read_class_file
from scenescope.data.known_classes import KNOWN, classes_by_count
from scenescope.errors import CheckpointError, DataError, ModelError, StorageError
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.models.network import SegmentationNetwork
from scenescope.models.options import PRESETS

SOURCES = (*official.SOURCES, *tramac.SOURCES, *mmseg.SOURCES)
UNDETERMINED = ("output_stride", "multi_grid", "align_corners", "channel_form")
"""Options that leave no trace in names and shapes of weights."""
INFERRED = ("name", "preset", "num_classes", "pretrained")
"""What is no option of a conversion."""


@dataclass(frozen=True)
class Conversion:
    """What was found in a checkpoint and done with it.

    Attributes:
        source: whose code wrote it, and of which network.
        model: what builds the network again: its name and all options.
        parameters: number of learned parameters.
        preset: the preset that options which the file does not tell were taken from.
        assumed: these options.
        classes: names and colors.
        classes_from: where these come from.
        left_out: what of the file is not in the model.
        filled_in: what of the model was not in the file.
    """

    source: str
    model: dict[str, Any]
    parameters: int
    preset: str
    assumed: dict[str, Any]
    classes: Classes
    classes_from: str
    left_out: tuple[str, ...]
    filled_in: tuple[str, ...]


def convert(
    file: str | Path,
    directory: str | Path,
    *,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    classes: str | None = None,
) -> Conversion:
    """Make a model directory of a checkpoint of the official DANet or DRANet, mmsegmentation or Tramac's DANet.

    Source, depth, stem and number of classes are found in the file, and nothing in it is executed.

    Args:
        file: what ``torch.save`` wrote there, with or without optimizer.
        directory: the model directory to write; must not exist.
        preset: where options that the file does not tell come from, in place of the preset of its source.
        options: options of the network to replace single options, such as ``align_corners=True``.
        classes: a kind of data set such as ``cityscapes`` or the path of a ``classes.yaml``; if not given, the names in
            the file, else those of the data set with as many classes.

    Raises:
        CheckpointError: the file cannot be read, is of no known source, asks for code, or has other weights.
        ModelError: an unknown preset or option.
        DataError: classes that are not to be had or are not as many.
        StorageError: the directory exists or cannot be written.
    """
    path, place = Path(file), Path(directory)
    if place.exists():
        raise StorageError(f"{place} exists already; choose another name for the model or remove it.")
    state, beside = read_checkpoint(path)
    source = _source(state, path)
    translated, unused, left_out = _translate(source, state)
    meta = beside.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    told = mmseg.told_options(meta)
    chosen = preset or source.preset
    if chosen not in PRESETS[source.model]:
        raise ModelError(f"{source.model} has no preset {chosen!r}; known: {', '.join(PRESETS[source.model])}.")
    own: dict[str, Any] = {
        "backbone": find_backbone(translated, path),
        "auxiliary_head": any(key.startswith("auxiliary_head.") for key in translated),
        **source.found_sizes(state, path),
    }
    given = options or {}
    for name in given.keys() & set(INFERRED):
        raise ModelError(f"{name} cannot be set in a conversion; leave it out.")
    settings = {**PRESETS[source.model][chosen], **told, **own, **given}
    with torch.device("meta"):  # names and shapes, no memory
        network = create_model(source.model, **settings)
    if network.auxiliary_head is None and own["auxiliary_head"]:
        translated = {key: value for key, value in translated.items() if not key.startswith("auxiliary_head.")}
        left_out.append("auxiliary head")
    filled_in = _fill(network, source, translated)
    differences = first_few("unused", unused) + state_differences(network, translated)
    if differences:
        raise CheckpointError(
            f"{path} looks like {source.title}, but its weights are not those of {source.model} with backbone"
            f" {network.config['backbone']}: {'; '.join(differences)}."
        )
    if source in mmseg.SOURCES:
        mmseg.refuse_other_dilation(network.config, path)
    meaning, classes_from = _classes(classes, meta, network.num_classes)
    weights = {
        key: source.adapted.get(key, Tensor.clone)(translated[key]).to(value.dtype)
        for key, value in network.state_dict().items()
    }
    origin = {"file": path.name, "source": source.title, "preset": chosen}
    save_model(network, meaning, place, training={"converted": origin}, weights=weights)
    return Conversion(
        source=source.title,
        model=network.config,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        preset=chosen,
        assumed={
            key: network.config[key]
            for key in UNDETERMINED
            if key in network.config.keys() - told.keys() - given.keys()
        },
        classes=meaning,
        classes_from=classes_from,
        left_out=(*beside, *dict.fromkeys(left_out)),
        filled_in=tuple(filled_in),
    )


def _source(state: Mapping[str, Tensor], path: Path) -> CheckpointFormat:
    source = next((source for source in SOURCES if source.fits(state)), None)
    if source is None:
        keys = ", ".join(list(state)[:3])
        raise CheckpointError(
            f"{path} is of no known source ({len(state)} weights: {keys}, ...). Known are"
            f" {'; '.join(source.title for source in SOURCES)}."
        )
    return source


def _translate(source: CheckpointFormat, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """The weights by our keys, the keys that are not known, and what is not needed."""
    translated, unused, dropped = {}, [], []
    for foreign, value in state.items():
        try:
            key = source.key(foreign)
        except KeyError:
            unused.append(foreign)
            continue
        if key is None:
            dropped.append(foreign.rpartition(".")[0])
        else:
            # The learned scales are a list of one number there and a number here.
            scale = key.endswith((".alpha", ".beta", ".gamma")) and value.numel() == 1
            translated[key] = value.reshape(()) if scale else value
    return translated, unused, dropped


def _fill(network: SegmentationNetwork, source: CheckpointFormat, translated: dict[str, Tensor]) -> list[str]:
    """Add what a file may lack, and say so."""
    own = network.state_dict()
    missing = [key for key in own if key not in translated]
    counters = [key for key in missing if key.endswith(".num_batches_tracked")]
    training = [key for key in missing if key.startswith(source.in_training_only or (" ",))]
    translated |= {key: torch.zeros(own[key].shape, dtype=own[key].dtype) for key in (*counters, *training)}
    told = [f"{len(counters)} num_batches_tracked as 0"] if counters else []
    return told + ([f"{', '.join(training)} as 0, used in training only"] if training else [])


def _classes(given: str | None, meta: Mapping[str, Any], num_classes: int) -> tuple[Classes, str]:
    if given in KNOWN:
        fitting = [classes for classes in KNOWN[given] if len(classes) == num_classes]
        if not fitting:
            counts = " or ".join(str(len(classes)) for classes in KNOWN[given])
            raise DataError(f"The checkpoint has {num_classes} classes, and {given} {counts}; name other classes.")
        return fitting[0], f"named as in {given}"
    if given is not None:
        classes, _ = read_class_file(Path(given))
        if len(classes) != num_classes:
            raise DataError(f"The checkpoint has {num_classes} classes, and {given} {len(classes)}; name as many.")
        return classes, f"named as in {given}"
    told = mmseg.told_classes(meta)
    if told is not None and len(told) == num_classes:
        return told, "named in the file"
    known = classes_by_count(num_classes)
    if known is not None:
        return known[1], f"named as in {known[0]}, which has as many"
    return Classes.named([f"class {number}" for number in range(num_classes)]), "without names; give --classes"
