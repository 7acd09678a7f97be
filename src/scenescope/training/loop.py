"""The training loop."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from scenescope.checkpoints.model_directory import save_model
from scenescope.config import Config, TrainSettings
from scenescope.data.dataset import SceneDataset
from scenescope.data.loading import Batch, load_batches
from scenescope.data.transforms import TrainingView
from scenescope.errors import ScenescopeError, TrainingError
from scenescope.inference.memory import memory_errors
from scenescope.inference.precision import multiplies_bfloat16, resolve_precision
from scenescope.losses import SegmentationLoss
from scenescope.models.network import SegmentationNetwork
from scenescope.training.average import AveragedWeights
from scenescope.training.checkpoint import (
    generator_states,
    read_state,
    restore_checkpoint,
    save_checkpoint,
    set_generator_states,
)
from scenescope.training.depthwise import FastDepthwiseGradients
from scenescope.training.interruption import Interruption
from scenescope.training.log import Log, Row
from scenescope.training.norms import freeze_norms, one_value_error, prepare_norms
from scenescope.training.optimiser import ATTENTION_SCALES, create_optimiser, set_rate
from scenescope.training.processes import (
    gather_objects,
    share_from_first,
    share_object,
    sum_over_processes,
)
from scenescope.training.progress import Progress
from scenescope.training.sampler import StepSampler
from scenescope.training.schedule import learning_rate
from scenescope.training.validation import Validation

CHECKPOINTS = "checkpoints"
STEP_REMEDY = "lower train.batch_size or augment.crop, or cut the batch into parts with train.grad_accum_steps"


@dataclass
class TrainingResult:
    """How a training ended.

    Attributes:
        step: optimiser steps done.
        best: scores of the best validation, if there was one.
        last: scores of the last validation, if there was one.
        signal: number of the signal that interrupted the training, or None when it is complete.
    """

    step: int
    best: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    signal: int | None = None


@dataclass
class Training:
    """One training: its parts, and the steps that join them.

    Args:
        network: the network, on the CPU.
        loss: what to minimise.
        train_set: scenes to learn from.
        val_set: scenes to score.
        config: the resolved recipe, kept in checkpoints and models.
        directory: the run directory.
        data: the fingerprint of the data, kept in checkpoints.
        accelerator: of accelerate; it prepares network and optimiser, no more.
        progress: is told what happens.
    """

    network: SegmentationNetwork
    loss: SegmentationLoss
    train_set: SceneDataset
    val_set: SceneDataset
    config: Config
    directory: Path
    accelerator: Accelerator
    progress: Progress
    data: dict[str, Any] | None = None
    step: int = 0
    _generators: list[dict[str, Any]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        settings, accelerator = self.config.train, self.accelerator
        self.settings = settings
        require_divisible(settings, accelerator.num_processes)
        note = prepare_norms(self.network, settings.norm, accelerator.device, accelerator.num_processes)
        if note:
            self.progress.note(note)
        self.precision = resolve_precision(settings.precision, accelerator.device)
        if self.precision == "bfloat16" and not multiplies_bfloat16(accelerator.device):
            self.progress.note(f"{accelerator.device} has no bfloat16 arithmetic; train.precision=float32 is faster.")
        if settings.channels_last:
            self.network.to(memory_format=torch.channels_last)
        self.model, self.optimiser = accelerator.prepare(self.network, create_optimiser(self.network, settings))
        self.average = AveragedWeights(self.network, settings.ema_decay) if settings.ema_decay else None
        self.interruption = Interruption()
        self.validation = Validation(self.val_set, settings, accelerator)

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            TrainingError: it was written by another number of processes.
            CheckpointError: it is of another network.
        """
        state = read_state(checkpoint)
        if len(state["generators"]) != self.accelerator.num_processes:
            raise TrainingError(
                f"{checkpoint} was written by {len(state['generators'])} processes and this run has"
                f" {self.accelerator.num_processes}; an exact resume needs the same number."
            )
        restore_checkpoint(checkpoint, network=self.network, optimiser=self._plain_optimiser, average=self.average)
        if torch.get_num_threads() != state["threads"]:
            self.progress.note(
                f"{checkpoint} was computed with {state['threads']} threads and this machine has"
                f" {torch.get_num_threads()}: the bits will differ from those of a run never interrupted."
            )
        self.step = state["step"]
        self.validation.best, self.validation.last = state["best"], state["last"]
        self.precision = state["precision"]
        self._generators = state["generators"]

    def run(self) -> TrainingResult:
        """Train to the last step, or until a signal; the model of the last step is saved either way.

        Raises:
            TrainingError: the loss is not finite, or a norm layer sees one value.
            DataError, ImageError, LabelError: a scene cannot be read; the steps done are saved first.
            StorageError: a checkpoint or model cannot be written.
        """
        settings = self.settings
        log = (
            Log(self.directory, after_step=self.step, tensorboard=settings.tensorboard)
            if self.accelerator.is_main_process
            else None
        )
        try:
            return self._run(log)
        finally:
            if log is not None:
                log.close()

    def _run(self, log: Log | None) -> TrainingResult:
        settings, validation = self.settings, self.validation
        self.progress.started(self.step, settings.steps)
        if self.step == 0:
            validation.require_readable()
        if self._generators is None:
            torch.manual_seed(settings.seed + self.accelerator.process_index)
        else:
            set_generator_states(self._generators[self.accelerator.process_index])
        batches = self._batches()
        saved = self.step
        faulty, fault = False, None
        with self.interruption.watched():
            # The scores of this very step are younger than its checkpoint.
            validation.take(share_object(log.validation(self.step) if log is not None else None))
            self._validate_if_due(log)
            while self.step < settings.steps:
                started = time.perf_counter()
                rate = learning_rate(self.step, settings)
                parts, fault = self._next_parts(batches)
                waited = time.perf_counter() - started
                signal, faulty = self._agree(fault)
                if signal or faulty:
                    break
                with memory_errors(TrainingError, "A training step", STEP_REMEDY):
                    terms = self._optimise(parts, rate)
                self.step += 1
                logged = self.step % settings.log_every == 0
                if logged and log is not None:
                    log.write(self._row(terms, rate, time.perf_counter() - started, waited))
                self.progress.stepped(self.step, terms["total"] if logged else None, rate)
                # Before the validation: it may fail, or be cut, and is done again after a resume.
                if validation.is_due(self.step) or self.step % settings.checkpoint_every == 0:
                    self._checkpoint()
                    saved = self.step
                self._validate_if_due(log)
            if saved != self.step:
                self._checkpoint()
            if faulty:
                raise fault or TrainingError("Another process could not read its part of the data; see its message.")
            if self.step:
                self._save_model("last", validation.last)
        complete = validation.last is not None and validation.last["step"] == settings.steps
        return TrainingResult(self.step, validation.best, validation.last, None if complete else self._agree()[0])

    def _batches(self) -> Iterator[Batch]:
        settings = self.settings
        sampler = StepSampler(
            start=self.step,
            steps=settings.steps,
            batch_size=settings.batch_size,
            parts=settings.grad_accum_steps,
            num_scenes=len(self.train_set),
            seed=settings.seed,
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
        )
        view = TrainingView(self.train_set, self.config.augment, settings.seed)
        return load_batches(view, sampler, settings.num_workers, stop=self.interruption.asked)

    def _next_parts(self, batches: Iterator[Batch]) -> tuple[list[Batch], ScenescopeError | None]:
        """Read the parts of a step. Return a fault of the data in place of raising it: first the steps done are saved.

        There are fewer parts where there is a fault, or a signal has come.
        """
        try:
            with memory_errors(TrainingError, "A training step", STEP_REMEDY):
                return list(itertools.islice(batches, self.settings.grad_accum_steps)), None
        except ScenescopeError as fault:
            return [], fault

    def _optimise(self, parts: list[Batch], rate: float) -> dict[str, float]:
        """Take one optimiser step over the whole global batch and return its loss terms."""
        accelerator, settings = self.accelerator, self.settings
        self._train_mode()
        set_rate(self.optimiser, rate)
        normaliser = torch.stack([self.loss.normaliser(labels) for _, labels, _ in parts]).sum(dim=0)
        # Not every accelerator knows float64.
        normaliser = sum_over_processes(normaliser.float().to(accelerator.device))
        sums: dict[str, Tensor] = {}
        for number, (images, labels, _) in enumerate(parts):
            if number < len(parts) - 1:
                with accelerator.no_sync(self.model):
                    terms = self._backward(images, labels, normaliser)
            else:
                terms = self._backward(images, labels, normaliser)
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
        totals = sum_over_processes(torch.stack(list(sums.values())))
        result = dict(zip(sums, totals.tolist(), strict=True))
        largest = settings.grad_clip_norm or math.inf
        gradient = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), largest))
        for what, size in (("loss", result["total"]), ("gradient", gradient)):
            # Before the weights take it in, so that no checkpoint ever holds it.
            if not math.isfinite(size):
                names = ", ".join(name for _, _, group in parts for name in group)
                raise TrainingError(
                    f"The {what} of step {self.step + 1} is {size} (seed {settings.seed}; pictures: {names})."
                    " The last checkpoint is untouched; lower train.lr or set train.grad_clip_norm=1."
                )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.network)
        return result

    def _backward(self, images: Tensor, labels: Tensor, normaliser: Tensor) -> dict[str, Tensor]:
        device = self.accelerator.device
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        prepared = self.network.prepare(images)
        if self.settings.channels_last:
            prepared = prepared.contiguous(memory_format=torch.channels_last)
        mixed = self.precision == "bfloat16"
        try:
            # A GPU and float32 gain nothing from it.
            fast = FastDepthwiseGradients() if mixed and device.type == "cpu" else nullcontext()
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed), fast:
                output = self.model(prepared)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise one_value_error(len(images), *images.shape[-2:]) from error
        terms = self.loss(output, labels, normaliser)
        # Processes average their gradients; the loss is already divided by the whole batch, so undo that.
        self.accelerator.backward(terms["total"] * self.accelerator.num_processes)
        return terms

    def _share_statistics(self) -> None:
        """Give all processes one network: each has running statistics of its own, and so has its average."""
        share_from_first(self.network.buffers())
        if self.average is not None:
            share_from_first(self.average.state.values())

    def _validate_if_due(self, log: Log | None) -> None:
        """Score the network and keep it if it is the best so far; a signal cuts it short, and nothing is kept."""
        if not self.validation.is_due(self.step):
            return
        with self._evaluated_weights():
            matrix = self.validation.count(self.network, stop=self.interruption.asked)
        if self._agree()[0]:
            return
        row = self.validation.row(matrix, self.step)
        if self.validation.take(row):
            self._save_model("best", row)
        # Last: what the log holds need not be done again.
        if log is not None:
            log.write(row)
        self.progress.validated(row)

    def _checkpoint(self) -> None:
        self._share_statistics()
        generators = gather_objects(generator_states())
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.directory / CHECKPOINTS,
                step=self.step,
                network=self.network,
                optimiser=self._plain_optimiser,
                average=self.average,
                generators=generators,
                extra={
                    "recipe": self.config.to_dict(),
                    "data": self.data,
                    "precision": self.precision,
                    "best": self.validation.best,
                    "last": self.validation.last,
                },
                keep=self.settings.keep_checkpoints,
            )
        self.accelerator.wait_for_everyone()

    def _save_model(self, name: str, scores: Row | None) -> None:
        if self.accelerator.is_main_process:
            save_model(
                self.network,
                self.val_set.classes,
                self.directory / name,
                training={"recipe": self.config.to_dict(), "step": self.step, "scores": scores},
                weights=self.average.state if self.average is not None else None,
            )

    def _row(self, terms: dict[str, float], rate: float, seconds: float, waited: float) -> Row:
        row: Row = {"step": self.step, "loss": terms["total"], "lr": rate}
        row |= {f"loss/{name}": value for name, value in terms.items() if name != "total" and len(terms) > 2}
        for name, parameter in self.network.named_parameters():
            if name.endswith(ATTENTION_SCALES):
                row[name.rsplit(".", 1)[1]] = parameter.item()
        return row | {"seconds": round(seconds, 4), "seconds_waiting": round(waited, 4)}

    def _agree(self, fault: ScenescopeError | None = None) -> tuple[int | None, bool]:
        """Return the number of the signal that any process has received, and whether any has met a fault."""
        answers = gather_objects((self.interruption.signal or 0, fault is not None))
        return max(number for number, _ in answers) or None, any(faulty for _, faulty in answers)

    def _train_mode(self) -> None:
        self.model.train()
        if self.settings.norm == "frozen":
            freeze_norms(self.network)

    def _evaluated_weights(self) -> AbstractContextManager[None]:
        return self.average.applied_to(self.network) if self.average is not None else nullcontext()

    @property
    def _plain_optimiser(self) -> torch.optim.Optimizer:
        """The optimiser inside accelerate's wrapper."""
        optimiser: torch.optim.Optimizer = getattr(self.optimiser, "optimizer", self.optimiser)
        return optimiser


def require_divisible(settings: TrainSettings, num_processes: int) -> None:
    """Refuse a batch that processes and parts cannot share evenly.

    Raises:
        TrainingError: naming a batch size that would do.
    """
    share = num_processes * settings.grad_accum_steps
    if settings.batch_size % share:
        raise TrainingError(
            f"train.batch_size={settings.batch_size} cannot be shared by {num_processes} processes in"
            f" {settings.grad_accum_steps} parts each; give a multiple of {share}."
        )
