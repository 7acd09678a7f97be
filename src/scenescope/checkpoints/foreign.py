"""Reading checkpoints of other code, without running anything that they ask for.

A checkpoint of torch is a pickle, and a pickle can name any function to be called. torch reads it with
``weights_only``: tensors and plain containers, and of everything else only what it is told to allow. What trainings
store beside weights (numpy's numbers and arrays, mmengine's curves, the command's arguments) is allowed under its name,
but what is built is a stand-in that does nothing.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from scenescope.checkpoints.model_directory import read_tensors
from scenescope.errors import CheckpointError

PLACEHOLDERS = (
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",
    "argparse.Namespace",
    "types.SimpleNamespace",
    "datetime.datetime",
    "datetime.timedelta",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
)
"""What may stand in a checkpoint beside what torch allows; numpy 1 and 2 have different names for the same. Curves of
mmengine carry their own methods, which a pickle writes as ``getattr(HistoryBuffer, name)``; here that gets nothing."""
PLAIN_DICTIONARIES = (
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "yacs.config.CfgNode",
    "easydict.EasyDict",
)
"""Kinds of dictionaries, which become one of Python's own."""
WEIGHTS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights", "module")
"""Where in a checkpoint the weights may be."""
AVERAGED = ("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "ema")
"""Where their moving average may be; it is taken where there is nothing else."""
WRAPPERS = ("module", "_orig_mod", "model", "net", "network")
"""Words that training in parallel, torch.compile, Lightning and averaging put in front of every key."""
COUNTERS = ("steps", "n_averaged")
"""What averaging counts beside the weights."""


class _Placeholder:
    """Takes whatever the pickle hands over and forgets it."""

    def __new__(cls, *_: object, **__: object) -> _Placeholder:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of ``torch.save`` or safetensors, with weights at its top or in one of ``WEIGHTS`` or ``AVERAGED``.

    Returns:
        The weights by key, without what wrappers put in front, and what else is in the file.

    Raises:
        CheckpointError: no such file, no checkpoint, cut short, no weights in it, larger than it is long, or it asks
            for a class or function that reading weights does not need; names that.
    """
    content = _load(path)
    beside: dict[str, Any] = {}
    while (place := _place(content)) is not None:
        beside |= {_told(name): value for name, value in content.items() if name != place}
        content = content[place]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__} and no weights by key; give a checkpoint.")
    for key, value in content.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
        if not _is_name(key) or not plain or value.is_quantized or value.is_complex():
            raise CheckpointError(
                f"{path} holds {str(key)[:60]!r}, which is no plain tensor, where its weights should be"
                f" (under {' or '.join(WEIGHTS)}, or at its top); give a checkpoint of weights."
            )
    if not content:
        raise CheckpointError(f"{path} holds no weights; give a checkpoint of a trained network.")
    weights = _unwrapped(content)
    # mmcv's average of a.b is the buffer ema_a_b; in what is saved, the average is in the place of the weights.
    averages = weights.keys() & {f"ema_{key.replace('.', '_')}" for key in weights}
    if averages:
        beside[f"{len(averages)} buffers ema_*"] = None
    weights = {key: value for key, value in weights.items() if key not in averages}
    if sum(value.nbytes for value in weights.values()) > 2 * path.stat().st_size:
        raise CheckpointError(f"{path} holds weights that are larger than the file; give one that holds every number.")
    return weights, beside


def _place(content: object) -> str | None:
    """Return where in a file the weights are, None if they are at its top or it has none."""
    if not isinstance(content, Mapping):
        return None
    return next((name for name in (*WEIGHTS, *AVERAGED) if isinstance(content.get(name), Mapping)), None)


def _unwrapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take away the words that wrappers have put in front of all keys."""
    keys = {key: [word for word in key.split(".") if word != "_orig_mod"] for key in weights if key not in COUNTERS}
    for wrapper in WRAPPERS * 2:  # one may be around the other
        if all(words[:1] == [wrapper] and len(words) > 1 for words in keys.values()):
            keys = {key: words[1:] for key, words in keys.items()}
    return {".".join(words): weights[key] for key, words in keys.items()}


def _told(name: object) -> str:
    return name if _is_name(name) else repr(name)[:60]


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
        return read_tensors(path)
    archive = start.startswith(b"PK\x03\x04")
    if archive and _announces_more(path):
        raise CheckpointError(f"{path} is compressed, which torch.save never does; unpack it, or save it again.")
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals(
                [
                    *((_Placeholder, name) for name in PLACEHOLDERS),
                    *((OrderedDict, name) for name in PLAIN_DICTIONARIES),
                ]
            ),
        ):
            # Files from before torch 1.6 are no archives, and only archives can be mapped.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
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


def _announces_more(path: Path) -> bool:
    """Whether the files in an archive are larger than it is: compressed, or one in the place of another."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return False  # torch tells what is wrong with it
