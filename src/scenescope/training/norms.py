"""Batch norm in training: per process, synchronised, or frozen."""

from __future__ import annotations

from typing import Literal

import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

from scenescope.backbones.build import norm_layers
from scenescope.device import traits
from scenescope.errors import TrainingError


def freeze_norms(network: nn.Module) -> None:
    """Use the running statistics in training, and neither update them nor learn scales and shifts."""
    for layer in norm_layers(network):
        layer.eval()
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad_(False)


def prepare_norms(
    network: nn.Module, norm: Literal["batch", "sync", "frozen"], device: torch.device, world_size: int
) -> str | None:
    """Give the network's norms the behaviour asked for; return a note for the user if that cannot be had."""
    if norm == "frozen":
        freeze_norms(network)
    if norm == "sync" and world_size > 1:
        if not traits(device).synchronised_norm:
            name = device.type.upper()
            return f"Synchronised batch norm does not exist on {name}; every process normalises its own pictures."
        for name, child in network.named_children():
            setattr(network, name, convert_sync_batchnorm(child))
    return None


def one_value_error(pictures: int, height: int, width: int) -> TrainingError:
    """Say that a batch norm cannot normalise the one value that it has in so many pictures of a size."""
    return TrainingError(
        f"A batch norm sees one value per channel ({pictures} picture of {width} x {height}); train with larger "
        "batches or crops, or train.norm=frozen."
    )
