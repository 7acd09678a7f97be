"""Trainings in processes of their own, to be killed."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch

from scenescope.files import sha256
from scenescope.training.checkpoint import TENSORS, find_checkpoint
from tests.silent import Silent
from tests.training.tiny import tiny_training

STEPS = 7
SETTINGS: dict[str, Any] = {"steps": STEPS, "accumulation": 2, "validate_every": STEPS, "backbone": "test_resnet"}
"""Of a network so small that its checkpoints do not take most of the time."""


def processes() -> BaseContext:
    """Return a way to start processes that have torch already: forked from one that has never used it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.tiny"])
    return context


class Call(Silent):
    """Calls something after a step."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        self.step, self.action = step, action

    def stepped(self, step: int, loss: float | None, rate: float) -> None:
        """Call it."""
        if step == self.step:
            self.action()


def die() -> None:
    """End at once, as the kernel makes it when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def train(directory: Path, die_after: int = -1, **changes: Any) -> None:
    """Train, or go on with a training, to its end or its death."""
    torch.set_num_threads(1)
    training = tiny_training(directory, progress=Call(die_after, die), **(SETTINGS | changes))
    found, _ = find_checkpoint(directory / "checkpoints")
    if found is not None:
        training.resume(found)
    training.run()


def run(target: Callable[..., None], *arguments: Any, **named: Any) -> int | None:
    """Run a function in a process of its own and return its exit code; None if it had to be ended."""
    process = processes().Process(target=target, args=arguments, kwargs=named)
    process.start()
    process.join(timeout=240)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None
    return process.exitcode


def final_weights(directory: Path) -> str:
    """Return the checksum of the last checkpoint's tensors."""
    return sha256(directory / "checkpoints" / f"step-{STEPS:08d}" / TENSORS)


def strays(directory: Path) -> list[str]:
    """Return what a killed process may have left behind."""
    return [path.name for path in directory.rglob(".*") if path.name != ".lock"]
