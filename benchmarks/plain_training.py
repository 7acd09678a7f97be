"""Steps per second of a recipe against the same training written plainly, and write benchmarks/plain_training.md.

    pip install segmentation-models-pytorch albumentations
    python benchmarks/plain_training.py CAMVID [--rounds 5] [--steps 24]

Both train DANet on EfficientNet-lite0 at output stride 16, eight crops of 240 x 320 a step, three losses weighted by
class, AdamW with two rates, averaged weights, one process that reads. "plain" is what a user of
segmentation_models.pytorch writes: its encoder, the head with the N x N matrix of the official code, albumentations on
whole images and a loop in torch. The two take turns, each in a process of its own; the first third of its steps is
left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attention import Module, plain
from measure import machine, table
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from scenescope.attention.position import PositionAttention
from scenescope.data.camvid import open_camvid
from scenescope.models.danet import DANetHead
from scenescope.models.options import DANetOptions

RECIPE = "camvid/danet-lite0"
CROP = (240, 320)


class Crops(Dataset[Any]):
    """Training images as albumentations makes them."""

    def __init__(self, camvid: str) -> None:
        import albumentations  # type: ignore[import-not-found]

        self.pairs = open_camvid(camvid, "train").pairs
        self.transform = albumentations.Compose([
            albumentations.RandomScale((-0.4, 0.8), p=1),
            albumentations.PadIfNeeded(*CROP, fill_mask=255),
            albumentations.RandomCrop(*CROP),
            albumentations.HorizontalFlip(p=0.5),
            albumentations.ColorJitter(0.3, 0.3, 0.3, 0.02, p=1),
            albumentations.Normalize((0.5,) * 3, (0.5,) * 3),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = self.pairs[index]
        assert mask is not None
        ids = np.array(Image.open(mask))
        labels = np.where(ids == 11, 255, ids)  # void
        made = self.transform(image=np.array(Image.open(image).convert("RGB")), mask=labels)
        return torch.from_numpy(made["image"]).permute(2, 0, 1), torch.from_numpy(made["mask"]).long()


class PlainDANet(nn.Module):
    """The encoder of segmentation_models.pytorch and the head of the official code."""

    def __init__(self) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp  # type: ignore[import-not-found]

        self.encoder = smp.encoders.get_encoder("timm-tf_efficientnet_lite0", weights=None, output_stride=16)
        self.head = DANetHead(self.encoder.out_channels[2:], 11, DANetOptions())
        assert isinstance(self.head.position, PositionAttention)
        self.head.position = Module(self.head.position, plain)  # type: ignore[assignment]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the three logits at the size of the crop."""
        output = self.head(self.encoder(images)[2:])
        return [
            functional.interpolate(logits, CROP, mode="bilinear")
            for logits in (output.logits, *output.auxiliary.values())
        ]


def train_plainly(camvid: str, steps: int) -> Iterator[float]:
    """Yield the seconds of each step of the plain training."""
    network = PlainDANet().train()
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    optimizer = torch.optim.AdamW(
        [{"params": network.encoder.parameters(), "lr": 5e-4}, {"params": network.head.parameters(), "lr": 2e-3}],
        weight_decay=0.01,
    )
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, 0.9)
    criterion = nn.CrossEntropyLoss(torch.linspace(0.5, 2, 11), ignore_index=255)
    batches = DataLoader(Crops(camvid), batch_size=8, shuffle=True, num_workers=1, drop_last=True)
    start = time.perf_counter()
    for step, (images, labels) in enumerate(batches):
        if step == steps:
            break
        loss = torch.stack([criterion(logits, labels) for logits in network(images)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        loss.item()
        now = time.perf_counter()
        yield now - start
        start = now


def ours(camvid: str, steps: int, *changes: str) -> list[float]:
    """Return the seconds of each step of the recipe, some of its settings replaced."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [
            f"data.root={camvid}", "model.pretrained=false", "train.precision=float32", f"train.steps={steps}",
            "train.warmup_steps=1", "train.log_every=1", "train.validate_every=100000",
            *changes,
        ]  # fmt: skip
        command = [sys.executable, "-m", "scenescope", "train", RECIPE, *settings, "--output", f"{folder}/run"]
        subprocess.run(command, check=True, capture_output=True)
        rows = [json.loads(line) for line in Path(folder, "run", "log.jsonl").read_text().splitlines()]
    return [row["seconds"] for row in rows if "seconds" in row]


def plainly(camvid: str, steps: int) -> list[float]:
    """Return the seconds of each step of the plain training, in a process of its own."""
    command = [sys.executable, __file__, camvid, "--steps", str(steps), "--plain"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(line) for line in told.splitlines()]


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", help="folder with train/ and val/")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        for seconds in train_plainly(arguments.camvid, arguments.steps):
            print(seconds, flush=True)
        return
    forms = {
        "plain": plainly,
        RECIPE: ours,
        f"{RECIPE} in bfloat16": lambda camvid, steps: ours(camvid, steps, "train.precision=bfloat16"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for number in range(arguments.rounds):
        for name, run in forms.items():
            steps = run(arguments.camvid, arguments.steps)[arguments.steps // 3 :]
            seconds[name].append(statistics.median(steps))
            print(f"round {number + 1}: {name} {seconds[name][-1]:.2f} s a step", file=sys.stderr)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    rows = [
        [name, f"{taken:.2f}", f"{1 / taken:.2f}", f"{medians['plain'] / taken:.2f}"] for name, taken in medians.items()
    ]
    install, _, rest = (__doc__ or "").partition("\n\n")[2].partition("\n")
    command = f"    python benchmarks/plain_training.py CAMVID --rounds {arguments.rounds} --steps {arguments.steps}"
    explanation = f"{install}\n{command}\n\n{rest.partition(chr(10) * 2)[2]}"
    Path(__file__).with_suffix(".md").write_text(
        f"# A training step of the recipe and of one written plainly\n\n{explanation}\n{machine()}"
        f" {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads.\n\n"
        + table(["training", "s per step", "steps per second", "speed"], rows)
        + "\n"
    )


if __name__ == "__main__":
    main()
