"""Parameter groups and the optimizer."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from scenescope.config import TrainSettings
from scenescope.models.network import SegmentationNetwork

ATTENTION_SCALES = (".alpha", ".beta")
"""They start at 0, and attention adds nothing until they have grown."""


def create_optimizer(
    network: SegmentationNetwork, settings: TrainSettings, *, fused: bool = False
) -> torch.optim.Optimizer:
    """Return SGD or AdamW over groups of parameters: backbone, heads and scales of attention, with and without decay.

    Each group carries ``lr_scale``, by which the step's rate is multiplied. Parameters with at most one
    dimension are norms, biases and the scales of attention. ``fused`` takes a step in a few kernels, which leave it out
    where they are told that it is not finite.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        factor = 1.0 if name.startswith("backbone.") else settings.head_lr_mult
        if name.endswith(ATTENTION_SCALES):
            factor *= settings.attention_lr_mult
        decays = settings.weight_decay_on_norms_and_biases or parameter.ndim > 1
        groups.setdefault((factor, settings.weight_decay if decays else 0.0), []).append(parameter)
    parameter_groups = [
        {"params": parameters, "lr_scale": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]
    # None leaves the choice to torch.
    kernel = True if fused else None
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameter_groups, lr=settings.lr, fused=kernel)
    sgd = torch.optim.SGD(parameter_groups, lr=settings.lr, momentum=settings.momentum, fused=kernel)
    if fused and settings.momentum:
        # torch's kernel would leave the momentum of a first step that is left out without content.
        for parameter in itertools.chain.from_iterable(groups.values()):
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return sgd


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the rate of every group to the step's rate times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
