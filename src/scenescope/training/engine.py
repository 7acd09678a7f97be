"""What the environment may ask of accelerate, which reads it: how many processes there are, and no other training."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

from scenescope.errors import TrainingError
from scenescope.training.processes import join_after_restart

OTHER_ENGINES = (
    "ACCELERATE_USE_DEEPSPEED",
    "ACCELERATE_USE_FSDP",
    "ACCELERATE_USE_MEGATRON_LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG",
    "ACCELERATE_DYNAMO_BACKEND",
    "ACCELERATE_TORCH_DEVICE",
)
"""Variables by which accelerate would shard, compile or move the network, whatever the recipe says."""


def refuse_other_engines() -> None:
    """Refuse an environment that asks accelerate for another way to train; the recipe alone says how.

    Raises:
        TrainingError: naming the variable.
    """
    for name in OTHER_ENGINES:
        value = os.environ.get(name, "")
        if value.lower() not in ("", "0", "no", "false"):
            raise TrainingError(
                f"The environment asks for {name}={value}, but the recipe alone says how a network is trained; unset it"
                " (accelerate config sets such variables)."
            )


def create_accelerator(device: torch.device) -> Accelerator:
    """Return accelerate's engine; the launcher's environment tells it of further processes."""
    refuse_other_engines()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    join_after_restart(device)
    # Mixed precision is one autocast of ours, and accumulation our own sum, whatever the launcher is told.
    accumulation = GradientAccumulationPlugin(num_steps=1)
    return Accelerator(cpu=device.type == "cpu", mixed_precision="no", gradient_accumulation_plugin=accumulation)
