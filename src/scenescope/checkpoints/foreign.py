"""Reading checkpoints that torch wrote, without running anything that they ask for.

A checkpoint is a pickle, and a pickle can name any function to be called. torch reads it with ``weights_only``: tensors
and plain containers, and of everything else only what it is told to allow. What trainings store beside weights (numpy's
numbers and arrays, mmengine's curves) is allowed under its name, but what is built is a stand-in that does nothing.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from scenescope.errors import CheckpointError

STAND_INS = (
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",
)
"""What may stand in a checkpoint beside what torch allows; numpy 1 and 2 have different names for the same. Curves of
mmengine carry their own methods, which a pickle writes as ``getattr(HistoryBuffer, name)``; here that gets nothing."""
WEIGHTS = ("state_dict", "model", "model_state_dict")
"""Where in a checkpoint the weights may be."""


class _StandIn:
    """Takes whatever the pickle hands over and forgets it."""

    def __new__(cls, *_: object, **__: object) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of ``torch.save``, with weights at its top or under one of ``WEIGHTS``.

    Returns:
        The weights by key, without the ``module.`` that parallel training puts in front, and what else is in the file.

    Raises:
        CheckpointError: no such file, not a checkpoint of torch, cut short, no weights in it, or it asks for a class
            or function that reading weights does not need; names that.
    """
    content = _load(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__} and no weights by key; give a checkpoint.")
    place = next((name for name in WEIGHTS if isinstance(content.get(name), Mapping)), None)
    weights = content if place is None else content[place]
    for key, value in weights.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
        if not _is_name(key) or not plain or value.is_quantized or value.is_complex():
            raise CheckpointError(
                f"{path} holds {str(key)[:60]!r}, which is no plain tensor, where its weights should be"
                f" (under {' or '.join(WEIGHTS)}, or at its top); give a checkpoint of weights."
            )
    if not weights:
        raise CheckpointError(f"{path} holds no weights; give a checkpoint of a trained network.")
    others = [] if place is None else [name for name in content if name != place]
    beside = {name if _is_name(name) else repr(name)[:60]: content[name] for name in others}
    parallel = all(key.startswith("module.") for key in weights)
    return {key.removeprefix("module.") if parallel else key: value for key, value in weights.items()}, beside


def _is_name(key: object) -> TypeGuard[str]:
    """Whether a key is text that a terminal can show."""
    return isinstance(key, str) and key.isprintable() and len(key) < 200


def _load(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        what = "a directory" if path.is_dir() else (error.strerror or str(error))
        raise CheckpointError(f"Cannot read {path}: {what}; give a checkpoint file, such as model.pth.") from error
    if not start:
        raise CheckpointError(f"{path} is empty; copy it again.")
    if start[8:10] == b'{"':
        raise CheckpointError(f"{path} is a safetensors file; what is converted are checkpoints of torch.save (.pth).")
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals([(_StandIn, name) for name in STAND_INS]),
        ):
            # Files from before torch 1.6 are no archives, and only archives can be mapped.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=start.startswith(b"PK\x03\x04"))
    except Exception as error:  # torch.load has a dozen kinds of errors for two causes.
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused is not None:
            raise CheckpointError(
                f"{path} asks for {refused[1][:80]!r}, which weights do not need and which could run code; it was not"
                " loaded. Ask its author for the state_dict alone."
            ) from error
        raise CheckpointError(
            f"{path} is cut short or no checkpoint of torch ({type(error).__name__}); copy it again, and give the"
            " file that torch.save wrote."
        ) from error
