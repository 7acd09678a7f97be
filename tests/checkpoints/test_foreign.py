"""Reading a checkpoint runs nothing that it asks for."""

from __future__ import annotations

import argparse
import builtins
import datetime
import os
import subprocess
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scenescope.checkpoints.foreign import read_checkpoint
from scenescope.errors import CheckpointError

WEIGHTS = {"conv.weight": torch.ones(2, 3)}


class Calls:
    """Pickles as a call of a function, as hostile files do."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def written(content: object, tmp_path: Path, **how: bool) -> Path:
    torch.save(content, tmp_path / "peer.pth", **how)
    return tmp_path / "peer.pth"


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("place", "function", "told"),  # as pickles write these names
    [
        ("beside", os.system, "posix.system|nt.system"),
        ("beside", builtins.eval, "eval"),
        ("optimizer", subprocess.check_output, "commands.check_output"),
        ("weights", builtins.exec, "exec"),
    ],
)
def test_a_call_in_a_checkpoint_is_refused_by_name_and_not_run(
    legacy: bool, place: str, function: Callable[..., object], told: str, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    run = f"touch {canary}" if function is os.system else f"open({str(canary)!r}, 'w')"
    call = Calls(function, ["touch", str(canary)] if function is subprocess.check_output else run)
    content = {
        "beside": {"state_dict": WEIGHTS, "note": call},
        "optimizer": {"state_dict": WEIGHTS, "optimizer": {"state": [{"deep": [call]}]}},
        "weights": {"state_dict": {**WEIGHTS, "more": call}},
    }[place]
    path = written(content, tmp_path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=f"asks for '({told})'.*was not loaded"):
        read_checkpoint(path)
    assert not canary.exists()


def test_getattr_gets_nothing(tmp_path: Path) -> None:
    """It is allowed, since curves of mmengine need it; what it returns is a stand-in that nobody can call."""
    method = "".join  # pickled as getattr("", "join")
    _, rest = read_checkpoint(written({"state_dict": WEIGHTS, "x": method}, tmp_path))
    assert not callable(rest["x"])
    with pytest.raises(CheckpointError, match="no checkpoint of torch"):
        read_checkpoint(written({"state_dict": WEIGHTS, "x": Calls(method, ["a", "b"])}, tmp_path))


def test_numpy_that_unpickles_objects_does_not(tmp_path: Path) -> None:
    """An array of objects is a pickle in a pickle; the stand-in forgets the inner one, or its function is refused."""
    canary = tmp_path / "canary"
    array = np.array([Calls(os.system, f"touch {canary}")], dtype=object)
    with pytest.raises(CheckpointError, match="asks for"):
        read_checkpoint(written({"state_dict": WEIGHTS, "array": array}, tmp_path))
    assert not canary.exists()


@pytest.mark.parametrize("module", ["numpy._core.multiarray", "numpy.core.multiarray"])
def test_numpy_beside_the_weights_is_read_as_stand_ins(module: str, tmp_path: Path) -> None:
    beside = {"best_pred": np.float64(0.7), "curve": np.arange(3), "kind": np.dtype("float32")}
    path = written({"state_dict": WEIGHTS, **beside}, tmp_path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for known in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        content = content.replace(b"c" + known + b"\n", b"c" + module.encode() + b"\n")
    path.write_bytes(content)
    weights, rest = read_checkpoint(path)
    assert torch.equal(weights["conv.weight"], WEIGHTS["conv.weight"])
    assert rest.keys() == beside.keys()
    assert not any(type(value).__module__.startswith("numpy") for value in rest.values())


def test_curves_of_mmengine_are_read_as_stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def __init__(self) -> None:
            self._log_history, self.statistics_methods = np.arange(4.0), {"mean": HistoryBuffer.mean}

        def mean(self) -> float:
            return float(self._log_history.mean())

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = module.__name__, "HistoryBuffer"
    module.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    for name in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    HistoryBuffer.mean.__module__, HistoryBuffer.mean.__qualname__ = module.__name__, "HistoryBuffer.mean"
    content = {"state_dict": WEIGHTS, "message_hub": {"log_scalars": {"train/loss": HistoryBuffer()}}}
    path = written(content, tmp_path)
    for name in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.delitem(sys.modules, name)
    weights, rest = read_checkpoint(path)
    assert list(weights) == ["conv.weight"]
    assert list(rest) == ["message_hub"]


@pytest.mark.parametrize(
    ("prefix", "steps"),
    [
        ("module.", None),
        ("_orig_mod.", None),
        ("module._orig_mod.", None),
        ("_orig_mod.module.", None),
        ("model.", None),
        ("model.net.", None),
        ("module.", "steps"),
        ("module.", "n_averaged"),
    ],
)
def test_wrappers_leave_no_trace(prefix: str, steps: str | None, tmp_path: Path) -> None:
    state = {f"{prefix}{key}": torch.ones(1) for key in ("stem.weight", "model.bias")}
    weights, rest = read_checkpoint(written(state | ({} if steps is None else {steps: torch.tensor(5)}), tmp_path))
    assert list(weights) == ["stem.weight", "model.bias"]
    assert rest == {}


def test_a_part_that_was_compiled_alone_leaves_no_trace(tmp_path: Path) -> None:
    state = {"backbone._orig_mod.stem.weight": torch.ones(1), "head.weight": torch.ones(1)}
    assert list(read_checkpoint(written(state, tmp_path))[0]) == ["backbone.stem.weight", "head.weight"]


def test_averaged_weights_are_taken_where_there_are_no_others(tmp_path: Path) -> None:
    averaged = {"module.conv.weight": torch.full((2, 3), 7.0), "steps": torch.tensor(5)}
    alone, _ = read_checkpoint(written({"state_dict_ema": averaged, "epoch": 3}, tmp_path))
    assert torch.equal(alone["conv.weight"], averaged["module.conv.weight"])
    beside, rest = read_checkpoint(written({"ema_state_dict": averaged, "state_dict": WEIGHTS}, tmp_path))
    assert torch.equal(beside["conv.weight"], WEIGHTS["conv.weight"])
    assert list(rest) == ["ema_state_dict"]


def test_buffers_of_an_average_are_left_out_and_told(tmp_path: Path) -> None:
    state = {"a.conv.weight": torch.ones(2), "ema_a_conv_weight": torch.zeros(2), "ema_b.weight": torch.ones(1)}
    weights, rest = read_checkpoint(written({"state_dict": state}, tmp_path))
    assert list(weights) == ["a.conv.weight", "ema_b.weight"]
    assert list(rest) == ["1 buffers ema_*"]


def test_what_a_command_was_given_is_read_as_a_stand_in(tmp_path: Path) -> None:
    given = {"args": argparse.Namespace(lr=0.1), "more": types.SimpleNamespace(x=1), "out": Path("runs"),
             "when": datetime.datetime(2024, 1, 2)}  # fmt: skip
    weights, rest = read_checkpoint(written({"state_dict": WEIGHTS, **given}, tmp_path))
    assert list(weights) == ["conv.weight"]
    assert rest.keys() == given.keys()
    assert not any(isinstance(value, argparse.Namespace | Path) for value in rest.values())


def test_weights_in_safetensors_are_read(tmp_path: Path) -> None:
    save_file({f"model.{key}": value for key, value in WEIGHTS.items()}, tmp_path / "model.safetensors")
    weights, _ = read_checkpoint(tmp_path / "model.safetensors")
    assert torch.equal(weights["conv.weight"], WEIGHTS["conv.weight"])
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        read_checkpoint(tmp_path / "model.safetensors")


def test_one_number_that_is_repeated_is_no_weight(tmp_path: Path) -> None:
    repeated = {"conv.weight": torch.ones(1).expand(30_000, 30_000)}
    with pytest.raises(CheckpointError, match="larger than the file"):
        read_checkpoint(written({"state_dict": repeated}, tmp_path))


def test_a_compressed_archive_is_not_unpacked(tmp_path: Path) -> None:
    path = written({"state_dict": WEIGHTS}, tmp_path)
    with zipfile.ZipFile(path) as whole:
        entries = {entry.filename: whole.read(entry) for entry in whole.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries.items():
            packed.writestr(name, content + bytes(10**7 if name.endswith("data.pkl") else 0))
    with pytest.raises(CheckpointError, match="is compressed"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1, 2], "holds a list and no weights by key"),
        ({}, "holds no weights"),
        ({"state_dict": {}}, "holds no weights"),
        ({"state_dict": {"conv.weight": 3}}, r"holds 'conv\.weight', which is no plain tensor"),
        ({"epoch": 3, "parts": WEIGHTS}, "holds 'epoch', which is no plain tensor"),
        ({"state_dict": {1: torch.ones(1)}}, "holds '1', which is no plain tensor"),
        ({"state_dict": {"a\nb": torch.ones(1)}}, r"holds 'a\\nb'"),
        ({"state_dict": {"a": torch.ones(2).to_sparse()}}, "holds 'a', which is no plain tensor"),
        ({"state_dict": {"a": torch.ones(2, dtype=torch.complex64)}}, "holds 'a', which is no plain tensor"),
    ],
)
def test_what_holds_no_weights_is_refused(content: object, told: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(written(content, tmp_path))


def test_files_that_are_no_checkpoints_say_what_they_are(tmp_path: Path) -> None:
    whole = written({"state_dict": {"a": torch.ones(5000)}}, tmp_path).read_bytes()
    files = {
        "empty": (b"", "is empty"),
        "text": (b"a photograph of a street", "is cut short or no checkpoint of torch"),
        "cut": (whole[: len(whole) // 2], "is cut short or no checkpoint of torch"),
        "torn": (whole[:200] + bytes(300) + whole[500:], "is cut short or no checkpoint of torch"),
    }
    for name, (content, told) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=told):
            read_checkpoint(tmp_path / name)
    with pytest.raises(CheckpointError, match="a directory; give a checkpoint file"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"Cannot read .*absent\.pth: No such file"):
        read_checkpoint(tmp_path / "absent.pth")
