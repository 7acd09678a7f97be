"""One rank of a tiny training, started by torchrun: python ranks.py DIRECTORY SETTINGS, where SETTINGS is JSON."""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from scenescope.checkpoints.model_directory import load_model
from scenescope.errors import ImageError
from scenescope.evaluation.evaluator import evaluate
from scenescope.training.checkpoint import find_checkpoint
from tests.reliability.runs import Call
from tests.training.tiny import Few, tiny_training

EXACT = {"steps": 6, "optimizer": "sgd", "lr": 0.01, "norm": "frozen", "dropout": 0.0, "checkpoint_every": 2}
"""Settings with which several processes equal one: nothing of a step depends on which process sees an image."""


class Broken(Few):
    """Its scenes cannot be read."""

    def __getitem__(self, index):
        raise ImageError("Cannot read photos/broken-17.png: the image is damaged; copy it again.")


def main(directory: Path, settings: dict) -> None:
    torch.set_num_threads(1)
    rank, first_start = int(os.environ.get("RANK", "0")), os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"

    def die() -> None:
        if rank == settings.get("rank") and first_start:
            os.kill(os.getpid(), signal.SIGKILL)

    training = tiny_training(
        directory,
        progress=Call(settings.get("die_after", -1), die),
        device=settings.get("device", "cpu"),
        **(EXACT | settings.get("train", {})),
    )
    if settings.get("broken") and rank == settings["rank"]:
        training.train_set = Broken("", "train")
    found, _ = find_checkpoint(directory / "checkpoints")
    if found is not None:
        training.resume(found)
    training.run()
    training.processes.wait()  # the first saves the model
    world_size = training.processes.world_size
    matrix = evaluate(load_model(directory / "last").network, Few("", "val"), rank=rank, world_size=world_size)
    if rank == 0:
        (directory / "matrix.json").write_text(json.dumps(matrix.counts().tolist()))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
