"""Checkpoints of a run: everything that the next step depends on, written in one piece and verified when read.

A checkpoint is a directory ``step-00000100`` with ``tensors.safetensors``, ``state.json`` and their checksums.
What the next step depends on is: weights and buffers, the optimizer's moments, averaged weights, the state of
every random generator of every process, the number of threads (the order of sums), and the step. Order,
augmentation and rate are pure functions of seed and step.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scenescope.checkpoints.model_directory import read_tensors, state_differences, write_tensors
from scenescope.device import GPU_KINDS, gpu_generators, set_gpu_generators, usable_threads
from scenescope.errors import CheckpointError
from scenescope.files import CHECKSUMS, damaged_file, remove_partial, write_directory
from scenescope.models.network import SegmentationNetwork
from scenescope.old_names import renamed_tensors
from scenescope.training.ema import ModelEma

TENSORS = "tensors.safetensors"
STATE = "state.json"

Generators = dict[str, Any]


def save_checkpoint(
    directory: Path,
    *,
    step: int,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: ModelEma | None,
    generators: list[Generators],
    extra: dict[str, Any],
    keep: int,
) -> Path:
    """Write the checkpoint after ``step`` optimizer steps and remove all but the newest ``keep``.

    Args:
        directory: the ``checkpoints`` directory of the run.
        generators: ``generator_states()`` of every process.
        extra: anything else JSON holds (recipe, best score so far).

    Raises:
        StorageError: it cannot be written; earlier checkpoints are untouched.
    """
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    optimizer_state = optimizer.state_dict()["state"]
    for index, entries in optimizer_state.items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in entries.items() if value is not None}
    if ema is not None:
        tensors |= {f"ema.{key}": value for key, value in ema.state.items()}
    plain = {key: torch.as_tensor(value).detach().cpu().contiguous() for key, value in tensors.items()}
    state = {
        "step": step,
        "threads": torch.get_num_threads(),
        "ema_updates": ema.num_updates if ema is not None else None,
        "generators": generators,
        **extra,
    }

    def write(place: Path) -> None:
        (place / STATE).write_text(json.dumps(state), encoding="utf-8")
        write_tensors(plain, place / TENSORS)

    path = directory / f"step-{step:08d}"
    write_directory(path, write, sum(value.nbytes for value in plain.values()))
    # Later steps are of a run that went back to an earlier checkpoint because they were damaged.
    kept = [other for other in _checkpoints(directory) if other <= path][:keep]
    for other in _checkpoints(directory):
        if other not in kept:
            shutil.rmtree(other, ignore_errors=True)
    return path


def find_checkpoint(directory: Path) -> tuple[Path | None, list[str]]:
    """Return the newest whole checkpoint, and a note for each damaged one that was passed over.

    Strays of a killed process are removed.

    Raises:
        CheckpointError: there are checkpoints and all are damaged.
    """
    if not directory.is_dir():
        return None, []
    remove_partial(directory)
    notes: list[str] = []
    for path in _checkpoints(directory):
        missing = next((name for name in (CHECKSUMS, STATE, TENSORS) if not (path / name).is_file()), None)
        damaged = missing or damaged_file(path, STATE, TENSORS)
        if damaged is None:
            return path, notes
        notes.append(f"Checkpoint {path.name} is damaged ({damaged}); going back to the one before it.")
    if notes:
        raise CheckpointError(f"Every checkpoint in {directory} is damaged; start the training anew.")
    return None, []


def read_state(path: Path) -> dict[str, Any]:
    """Return the part of a checkpoint that is not tensors."""
    state: dict[str, Any] = renamed_tensors(json.loads((path / STATE).read_text(encoding="utf-8")))
    return state


def restore_checkpoint(
    path: Path,
    *,
    network: SegmentationNetwork,
    optimizer: torch.optim.Optimizer,
    ema: ModelEma | None,
) -> None:
    """Give network, optimizer and averaged weights the tensors of a checkpoint, and torch its number of threads.

    Raises:
        CheckpointError: it is of another network.
    """
    tensors = read_tensors(path / TENSORS)
    weights = _part(tensors, "network.")
    differences = state_differences(network, weights)
    if differences:
        raise CheckpointError(
            f"{path} is of another network or of other classes: {'; '.join(differences)}; train to another --output."
        )
    network.load_state_dict(weights)
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, "optimizer.").items():
        index, name = key.split(".", 1)
        entries.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": entries, "param_groups": groups})
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if value.shape == parameter.shape:  # fused kernels want the layout of the weights
                kept[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    state = read_state(path)
    if ema is not None:
        ema.load(_part(tensors, "ema."), state["ema_updates"])
    torch.set_num_threads(usable_threads(state["threads"]))


def generator_states() -> Generators:
    """Return the states of Python's, NumPy's and torch's global generators, on all devices, as JSON can hold them."""
    version, words, next_gauss = random.getstate()
    _, keys, index, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), next_gauss],
        "numpy": [np.asarray(keys).tolist(), int(index), int(has_gauss), float(gauss)],
        "torch": _hexadecimal(torch.get_rng_state()),
        "gpus": {kind: [_hexadecimal(state) for state in states] for kind, states in gpu_generators().items()},
    }


def set_generator_states(states: Generators) -> None:
    """Set the global generators to what ``generator_states`` returned."""
    version, words, next_gauss = states["python"]
    random.setstate((version, tuple(words), next_gauss))
    keys, index, has_gauss, gauss = states["numpy"]
    np.random.set_state(("MT19937", np.asarray(keys, np.uint32), index, has_gauss, gauss))
    torch.set_rng_state(_bytes(states["torch"]))
    gpus = states.get("gpus", states)  # older checkpoints hold them beside the others
    set_gpu_generators({kind: [_bytes(text) for text in gpus[kind]] for kind in GPU_KINDS if kind in gpus})


def _hexadecimal(state: Tensor) -> str:
    return bytes(state.tolist()).hex()


def _bytes(text: str) -> Tensor:
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def is_checkpoint(path: Path) -> bool:
    """Tell whether a path is a checkpoint; a copy that a user keeps under a longer name is none."""
    return bool(_NAME.fullmatch(path.name)) and any((path / name).is_file() for name in (STATE, CHECKSUMS))


_NAME = re.compile(r"step-\d{8,}")


def _checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints, newest first."""
    return sorted(filter(is_checkpoint, directory.glob("step-*")), reverse=True)
