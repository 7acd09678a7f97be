"""A training small enough for tests: generated scenes, a small ResNet, a few steps."""

from pathlib import Path
from typing import Any

import torch

from scenescope.config import AugmentSettings, Config, DataSettings, TrainSettings
from scenescope.device import resolve_device
from scenescope.lab.scenes import ScenesDataset
from scenescope.losses import SegmentationLoss
from scenescope.models.catalog import create_model
from scenescope.training.distributed import join_processes
from scenescope.training.loop import Training
from scenescope.training.progress import Progress
from tests.silent import Silent

TINY: dict[str, Any] = {
    "steps": 6,
    "batch_size": 4,
    "optimizer": "adamw",
    "lr": 1e-3,
    "ema_decay": 0.9,
    "log_every": 1,
    "validate_every": 3,
    "checkpoint_every": 2,
    "num_workers": 0,
}


class Few(ScenesDataset):
    """The first seven scenes of a split."""

    def __len__(self) -> int:
        return 7


def tiny_training(
    directory: Path,
    progress: Progress | None = None,
    dropout: float = 0.1,
    backbone: str = "resnet10t",
    device: str = "cpu",
    **changes: Any,
) -> Training:
    """Build the training; ``changes`` replace settings."""
    config = Config(
        data=DataSettings("scenes"),
        augment=AugmentSettings(crop=(64, 96), scale=(0.8, 1.2), brightness=0.2),
        train=TrainSettings(**(TINY | changes)),
    )
    torch.manual_seed(config.train.seed)
    network = create_model("danet", num_classes=8, backbone=backbone, output_stride=32, dropout=dropout)
    return Training(
        network=network,
        loss=SegmentationLoss(weights=network.loss_weights, attention=0.3, grid=network.grid),
        train_set=Few("", "train"),
        val_set=Few("", "val"),
        config=config,
        directory=directory,
        processes=join_processes(resolve_device(device)),
        progress=progress or Silent(),
    )
