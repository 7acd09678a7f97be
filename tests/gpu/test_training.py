"""Trainings on a GPU: time and memory of a step, no look at numbers, exact resume, two processes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from scenescope.config import TrainSettings
from scenescope.files import sha256
from scenescope.losses import SegmentationLoss
from scenescope.models.catalog import create_model
from scenescope.training.checkpoint import TENSORS
from scenescope.training.distributed import Processes
from scenescope.training.log import read_log
from scenescope.training.step import Stepper
from tests.gpu.conftest import DEVICE, SMALL, measured
from tests.reliability.test_processes import torchrun
from tests.silent import Silent
from tests.training.tiny import tiny_training

BACKBONES = ("resnet10t",) if SMALL else ("resnet50", "resnet101")
SIZES = ((64, 96),) if SMALL else ((768, 768), (1024, 2048))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("backbone", "precision"),
    [(BACKBONES[0], "float32"), *((each, precision) for each in BACKBONES for precision in ("auto", "float16"))],
)
def test_a_step_of_danet(backbone: str, size: tuple[int, int], precision: str, table) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    network = create_model("danet", num_classes=19, backbone=backbone, pretrained=False, output_stride=8)
    settings = TrainSettings(precision=precision, ema_decay=0.99)  # type: ignore[arg-type]
    stepper = Stepper(network, SegmentationLoss(weights=network.loss_weights), settings, Processes(DEVICE))
    count = 2
    images = torch.randint(256, (count, *size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    labels = torch.randint(19, (count, *size), dtype=torch.uint8)
    batch, normalizer = (images, labels, ["a"] * count), stepper.loss.normalizer(labels)
    before = network.head.classifier[1].weight.detach().clone()
    steps = iter(range(1, 1000))

    def step() -> None:
        stepper.take([batch], normalizer, next(steps), 1e-3)

    step()
    if not SMALL:
        torch.cuda.set_sync_debug_mode("error")  # torch raises where the host waits for the GPU
    try:
        step()
    finally:
        if not SMALL:
            torch.cuda.set_sync_debug_mode("default")
    seconds, peak = measured(step, 3)
    terms = stepper.look()
    assert all(torch.tensor(value).isfinite() for value in terms.values())
    assert stepper.precision == "float16" or not torch.equal(network.head.classifier[1].weight, before)
    name = f"DANet, {backbone}, {count} x {size[0]} x {size[1]}, {precision} ({stepper.precision})"
    table(f"step of {name}", seconds, peak)


class Interrupt(Silent):
    """Asks a training to end after three steps."""

    def stepped(self, step: int, loss: float | None, rate: float) -> None:
        """Raise the signal."""
        if step == 3:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_a_deterministic_training_has_the_same_bits_interrupted_or_not(tmp_path: Path, precision: str) -> None:
    changes = {"device": str(DEVICE), "deterministic": True, "precision": precision}
    tiny_training(tmp_path / "whole", **changes).run()
    tiny_training(tmp_path / "cut", progress=Interrupt(), **changes).run()
    resumed = tiny_training(tmp_path / "cut", **changes)
    resumed.resume(tmp_path / "cut" / "checkpoints" / "step-00000003")
    resumed.run()
    whole, cut = (sha256(tmp_path / name / "checkpoints" / "step-00000006" / TENSORS) for name in ("whole", "cut"))
    assert whole == cut


@pytest.mark.skipif(not SMALL and torch.cuda.device_count() < 2, reason="there are no two GPUs")
def test_two_processes_equal_one(tmp_path: Path) -> None:
    kind = DEVICE.type
    for count in (1, 2):
        code, told, _ = torchrun(count, tmp_path / str(count), device=kind)
        assert code == 0, told
    one, two = (
        [row["loss"] for row in read_log(tmp_path / str(count) / "log.jsonl") if "loss" in row] for count in (1, 2)
    )
    assert two == pytest.approx(one, rel=1e-3)


@pytest.mark.skipif(SMALL, reason="a CPU is shared by any number of processes")
def test_more_processes_than_gpus_are_refused(tmp_path: Path) -> None:
    code, told, _ = torchrun(torch.cuda.device_count() + 1, tmp_path, device="cuda")
    assert code != 0
    assert "each needs its own; start at most" in told
