"""Batch norm in training: per process, synchronized, or frozen."""

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
    """Give the network's norms the behavior asked for; return a note for the user if that cannot be had."""
    if norm == "frozen":
        freeze_norms(network)
    if norm == "sync" and world_size > 1:
        if not traits(device).synchronized_norm:
            name = device.type.upper()
            return f"Synchronized batch norm does not exist on {name}; every process normalizes its own images."
        for name, child in network.named_children():
            setattr(network, name, convert_sync_batchnorm(child))
    return None


def one_value_error(images: int, height: int, width: int) -> TrainingError:
    """Say that a batch norm cannot normalize the one value that it has in so many images of a size."""
    return TrainingError(
        f"A batch norm sees one value per channel ({images} image of {width} x {height}); train with larger "
        "batches or crops, or train.norm=frozen."
    )
