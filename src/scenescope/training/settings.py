"""How to train and what to minimise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Interval

ClassWeighting = Literal["none", "median_frequency", "sqrt_median_frequency"]


@dataclass(frozen=True)
class LossSettings:
    """What to minimise."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    class_weights: ClassWeighting | tuple[Annotated[float, Ge(0)], ...] = "none"
    """Weights of the classes: computed from the training labels, or one number per class."""
    hard_fraction: Annotated[float, Interval(gt=0, le=1)] | None = None
    """Online hard example mining: score only this share of each picture's pixels, the hardest."""
    weights: dict[str, Annotated[float, Ge(0)]] = field(default_factory=dict)
    """Weight of the loss of each output by name, such as main; those not named keep the published weight."""
    picture_target: Literal["presence", "area"] = "presence"
    """What logits of whole pictures are to say of each class: that it is there, or its share of the pixels."""
    dice: Annotated[float, Ge(0)] = 0.0
    """Weight of the Dice loss of the prediction, beside its cross-entropy; class weights do not touch it."""
    lovasz: Annotated[float, Ge(0)] = 0.0
    """Weight of the Lovász-softmax loss (of the IoU) of the prediction, beside its cross-entropy; likewise."""


@dataclass(frozen=True)
class TrainSettings:
    """How to train."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    steps: Annotated[int, Gt(0)] = 10_000
    """Number of optimiser steps."""
    batch_size: Annotated[int, Gt(0)] = 8
    """Pictures per optimiser step, over all processes and accumulation steps together."""
    accumulation: Annotated[int, Gt(0)] = 1
    """Number of parts that a process's share of the batch is cut into, to save memory."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum, or AdamW."""
    learning_rate: Annotated[float, Gt(0)] = 0.003
    """Rate of the backbone at the start of the schedule."""
    head_factor: Annotated[float, Gt(0)] = 10.0
    """The heads' rate is this many times that of the backbone."""
    attention_factor: Annotated[float, Gt(0)] = 1.0
    """The rate of the scales of attention, alpha and beta, is this many times that of the heads."""
    momentum: Annotated[float, Interval(ge=0, lt=1)] = 0.9
    """Momentum of SGD."""
    weight_decay: Annotated[float, Ge(0)] = 1e-4
    """Weight decay."""
    decay_norms: bool = True
    """Whether norms, biases and the scales of attention decay too."""
    schedule_power: Annotated[float, Ge(0)] = 0.9
    """The rate falls as (1 - step / steps) ** power."""
    minimum_rate: Annotated[float, Ge(0)] = 0.0
    """The schedule never falls below this rate of the backbone; warm-up starts lower."""
    warmup_steps: Annotated[int, Ge(0)] = 0
    """Number of first steps over which the rate rises linearly to that of the schedule."""
    gradient_clip: Annotated[float, Gt(0)] | None = None
    """Largest norm of all gradients together."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Number format of the heavy operations (mixed precision); auto is what the device gains from, see device.py."""
    channels_last: bool | None = None
    """Memory layout with channels last; what device and network are faster with when not given."""
    deterministic: bool = False
    """Give the same bits each time on a GPU, too, where it costs time; a CPU does so anyway."""
    average_decay: Annotated[float, Interval(gt=0, lt=1)] | None = None
    """Keep an exponential moving average of the weights with this decay, and evaluate and save that."""
    norm: Literal["batch", "sync", "frozen"] = "batch"
    """Batch norm of each process, synchronised over GPUs, or frozen as it is (in a new head: mean 0, scale 1)."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of weights, order, augmentation and dropout."""
    workers: Annotated[int, Ge(0)] | None = None
    """Processes that read pictures; as many as device and cores ask for when not given."""
    start_from: str | None = None
    """A model whose weights to start from (fine-tuning); classes take what those of the same name have learnt."""
    take: Literal["network", "backbone"] = "network"
    """What to take of that model: all of it, or its backbone alone, as for another network."""
    log_every: Annotated[int, Gt(0)] = 10
    """Steps between rows of the log."""
    tensorboard: bool = False
    """Also log to TensorBoard (extra ``logs``)."""
    validate_every: Annotated[int, Gt(0)] = 500
    """Steps between validations."""
    checkpoint_every: Annotated[int, Gt(0)] = 500
    """Steps between checkpoints; there is one before each validation, too."""
    keep_checkpoints: Annotated[int, Gt(0)] = 2
    """Number of newest checkpoints to keep."""

    def __post_init__(self) -> None:
        if self.take != "network" and self.start_from is None:
            raise ValueError(f"take is {self.take}, but of which model? Give train.start_from=MODEL too.")


FREE_ON_RESUME = frozenset(
    {
        "train.steps",
        "train.workers",
        "train.log_every",
        "train.tensorboard",
        "train.validate_every",
        "train.checkpoint_every",
        "train.keep_checkpoints",
        "data.root",
    }
)
"""Settings that may change when a run is resumed; the data themselves may not, wherever they lie."""
