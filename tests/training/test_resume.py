"""Exact resume: killed at any step, the run ends with the bits of one never interrupted."""

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from scenescope.errors import CheckpointError
from scenescope.files import CHECKSUMS, sha256
from scenescope.training import checkpoint, validation
from scenescope.training.checkpoint import STATE, TENSORS, find_checkpoint, read_state
from tests.silent import Silent
from tests.training.test_distributed import Notes
from tests.training.tiny import tiny_training

THREADS = 1


def die() -> None:
    """End at once, as the kernel makes it when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


class KillAt(Silent):
    """Kills its own process after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, loss: float | None, rate: float) -> None:
        """Kill."""
        if step == self.step:
            die()


def train_and_die(directory: Path, num_workers: int, when: int | str) -> None:
    """Die after a step, halfway through the second checkpoint, or in the second validation."""
    torch.set_num_threads(THREADS)
    write, validate = checkpoint.write_tensors, validation.evaluate

    def write_half(state: dict[str, torch.Tensor], path: Path) -> None:
        if (directory / "checkpoints" / "step-00000002").exists():
            path.write_bytes(b"half")
            die()
        write(state, path)

    def validate_once(*arguments: Any, **options: Any) -> Any:
        if (directory / "best").exists():
            die()
        return validate(*arguments, **options)

    if when == "checkpoint":
        checkpoint.write_tensors = write_half
    if when == "validation":
        validation.evaluate = validate_once
    step = when if isinstance(when, int) else -1
    tiny_training(directory, progress=KillAt(step), num_workers=num_workers, steps=7).run()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("whole")
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    tiny_training(directory, steps=7).run()
    torch.set_num_threads(before)
    return sha256(directory / "checkpoints" / "step-00000007" / TENSORS)


@pytest.mark.parametrize(
    ("num_workers", "when", "resumed_at"),
    [(0, 5, 4), (1, 1, None), (4, 3, 2), (1, "checkpoint", 2), (0, "validation", 6)],
)
def test_killed_and_resumed_ends_bit_identical(
    whole: str, tmp_path: Path, num_workers: int, when: int | str, resumed_at: int | None
) -> None:
    child = multiprocessing.get_context("spawn").Process(target=train_and_die, args=(tmp_path, num_workers, when))
    child.start()
    child.join(timeout=240)
    assert child.exitcode == -signal.SIGKILL
    found, notes = find_checkpoint(tmp_path / "checkpoints")
    assert notes == []
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    resumed = tiny_training(tmp_path, num_workers=num_workers, steps=7)
    assert (found.name if found else None) == (f"step-{resumed_at:08d}" if resumed_at else None)
    if found is not None:
        resumed.resume(found)
    resumed.run()
    torch.set_num_threads(before)
    assert sha256(tmp_path / "checkpoints" / "step-00000007" / TENSORS) == whole


def test_damaged_checkpoints_are_passed_over(tmp_path: Path) -> None:
    tiny_training(tmp_path, steps=4, validate_every=4).run()
    checkpoints = tmp_path / "checkpoints"
    newest = checkpoints / "step-00000004"
    content = bytearray((newest / TENSORS).read_bytes())
    content[-10] ^= 1
    (newest / TENSORS).write_bytes(content)
    (checkpoints / ".partial-killed").mkdir()
    found, notes = find_checkpoint(checkpoints)
    assert found == checkpoints / "step-00000002"
    assert notes == [f"Checkpoint step-00000004 is damaged ({TENSORS}); going back to the one before it."]
    assert not (checkpoints / ".partial-killed").exists()
    # Going on from the earlier one must not lose what it writes to the damaged later one.
    assert found is not None
    resumed = tiny_training(tmp_path, steps=3, keep_checkpoints=1)
    resumed.resume(found)
    resumed.run()
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000003"]
    newest = checkpoints / "step-00000003"
    (newest / ".DS_Store").touch()
    assert find_checkpoint(checkpoints) == (newest, [])
    lines = (newest / CHECKSUMS).read_text().splitlines()
    for name in (STATE, TENSORS):
        (newest / CHECKSUMS).write_text("\n".join(line for line in lines if name not in line))
        with pytest.raises(CheckpointError, match=r"Every checkpoint in .* is damaged"):
            find_checkpoint(checkpoints)
    (newest / CHECKSUMS).unlink()
    with pytest.raises(CheckpointError, match=r"Every checkpoint in .* is damaged; start the training anew"):
        find_checkpoint(checkpoints)


def test_threads_and_generators_are_kept(tmp_path: Path) -> None:
    tiny_training(tmp_path, steps=2).run()
    state = read_state(tmp_path / "checkpoints" / "step-00000002")
    assert state["threads"] == torch.get_num_threads()
    assert state["generators"][0].keys() == {"python", "numpy", "torch", "gpus"}
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    tiny_training(tmp_path / "other", steps=2).resume(tmp_path / "checkpoints" / "step-00000002")
    assert torch.get_num_threads() == threads


def test_threads_of_a_larger_machine_are_not_imposed_and_that_is_told(tmp_path: Path) -> None:
    tiny_training(tmp_path, steps=2).run()
    newest = tmp_path / "checkpoints" / "step-00000002"
    state = json.loads((newest / STATE).read_text())
    (newest / STATE).write_text(json.dumps(state | {"threads": 4096}))
    threads, notes = torch.get_num_threads(), Notes()
    tiny_training(tmp_path, steps=2, progress=notes).resume(newest)
    assert torch.get_num_threads() == max(len(os.sched_getaffinity(0)), threads)
    torch.set_num_threads(threads)
    assert "was computed with 4096 threads and this machine has" in notes.notes[0]
    assert "the bits will differ" in notes.notes[0]


def test_a_checkpoint_of_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
    tiny_training(tmp_path, steps=2).run()
    other = tiny_training(tmp_path / "other", backbone="test_resnet")
    with pytest.raises(
        CheckpointError, match=r"^.*step-00000002 is of another network or of other classes: \d+ missing"
    ):
        other.resume(tmp_path / "checkpoints" / "step-00000002")


def test_generators_of_gpus_are_kept_as_far_as_there_are_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of two GPUs of CUDA and of MPS; on a machine with fewer, and from older checkpoints, what is known."""
    drawn: dict[str, torch.Tensor] = {}
    for kind in ("cuda", "backends.mps"):
        monkeypatch.setattr(f"torch.{kind}.is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [torch.tensor([1, 2], dtype=torch.uint8)])
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: torch.tensor([7, 255], dtype=torch.uint8))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, number: drawn.update({f"cuda:{number}": state}))
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state: drawn.update(mps=state))
    states = json.loads(json.dumps(checkpoint.generator_states()))
    states["gpus"]["cuda"].append("0304")  # of a GPU that is not here
    checkpoint.set_generator_states(states)
    assert {name: state.tolist() for name, state in drawn.items()} == {"cuda:0": [1, 2], "mps": [7, 255]}
    drawn.clear()
    checkpoint.set_generator_states({key: states[key] for key in ("python", "numpy", "torch")} | {"cuda": ["0506"]})
    assert {name: state.tolist() for name, state in drawn.items()} == {"cuda:0": [5, 6]}
