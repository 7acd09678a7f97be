"""Two processes with one global batch equal one process."""

import json
import os
import socket
from pathlib import Path

import pytest
import torch

from scenescope.checkpoints.model_directory import load_model
from scenescope.errors import DeviceError
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.scores import Scores
from scenescope.training.distributed import join_processes
from scenescope.training.log import read_log
from tests.silent import Silent
from tests.training.tiny import Few, tiny_training

SETTINGS = {"steps": 4, "optimizer": "sgd", "lr": 0.01, "norm": "frozen", "dropout": 0.0, "seed": 1}


class Notes(Silent):
    """Keeps notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep a note."""
        self.notes.append(text)


def run_rank(rank: int, port: int, directory: str, signalled: bool, changes: dict[str, object]) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    progress = Notes()
    training = tiny_training(Path(directory), progress=progress, **(SETTINGS | changes))  # type: ignore[arg-type]
    if signalled:
        training.interruption.signal = 15 if rank == 1 else None
    result = training.run()
    told = {"step": result.step, "signal": result.signal, "notes": progress.notes}
    (Path(directory) / f"rank-{rank}.json").write_text(json.dumps(told))
    torch.distributed.destroy_process_group()


def run_two(directory: Path, signalled: bool = False, **changes: object) -> list[dict[str, object]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(run_rank, (port, str(directory), signalled, changes), nprocs=2)
    return [json.loads((directory / f"rank-{rank}.json").read_text()) for rank in range(2)]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Seven scenes are scored, so the shards are uneven and one scene counted twice would show."""
    one = tiny_training(tmp_path / "one", **SETTINGS)
    one.run()
    (tmp_path / "two").mkdir()
    run_two(tmp_path / "two")
    _scores_are_those_of_the_saved_model(tmp_path / "two")
    rows_of_one, rows_of_two = (read_log(tmp_path / name / "log.jsonl") for name in ("one", "two"))
    assert len(rows_of_one) == len(rows_of_two)
    for row, other in zip(rows_of_one, rows_of_two, strict=True):
        for key in ("loss", "val/pixel_accuracy"):
            assert (key in row) == (key in other)
            assert other.get(key, 0) == pytest.approx(row.get(key, 0), rel=1e-5)


def test_each_process_with_its_own_norms_scores_the_model_that_is_saved(tmp_path: Path) -> None:
    run_two(tmp_path, norm="batch", lr=0.1)
    _scores_are_those_of_the_saved_model(tmp_path)


def _scores_are_those_of_the_saved_model(directory: Path) -> None:
    matrix = evaluate(load_model(directory / "last").network, Few("", "val"))
    scores = Scores.from_matrix(matrix, Few.classes.names)
    logged = read_log(directory / "log.jsonl")[-1]
    assert logged["val/pixel_accuracy"] == pytest.approx(scores.pixel_accuracy, rel=1e-5)
    assert logged["val/miou"] == pytest.approx(scores.mean_iou, rel=1e-4)


def test_a_signal_to_one_process_ends_all_of_them(tmp_path: Path) -> None:
    ranks = run_two(tmp_path, signalled=True, norm="sync")
    assert [(rank["step"], rank["signal"]) for rank in ranks] == [(0, 15), (0, 15)]
    assert all("does not exist on CPU" in str(rank["notes"]) for rank in ranks)


def test_more_processes_than_gpus_are_refused_before_they_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DeviceError, match=r"2 processes were started .* it has 1 GPU and each needs its own"):
        join_processes(torch.device("cuda", 0))
