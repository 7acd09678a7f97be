"""The training loop."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scenescope.checkpoints.model_directory import save_model
from scenescope.config import Config, TrainSettings
from scenescope.data.dataset import SegmentationDataset
from scenescope.data.loading import Batch, load_batches
from scenescope.data.transforms import TrainDataset
from scenescope.device import deterministic_operations, supports_bfloat16
from scenescope.errors import ScenescopeError, TrainingError
from scenescope.inference.guards import memory_errors
from scenescope.losses import SegmentationLoss
from scenescope.models.network import SegmentationNetwork
from scenescope.training.checkpoint import (
    generator_states,
    read_state,
    restore_checkpoint,
    save_checkpoint,
    set_generator_states,
)
from scenescope.training.distributed import (
    Processes,
    gather_objects,
    share_from_first,
    share_object,
    sum_over_processes,
)
from scenescope.training.interruption import Interruption
from scenescope.training.log import Log, Row
from scenescope.training.norms import prepare_norms
from scenescope.training.optimizer import ATTENTION_SCALES
from scenescope.training.progress import Progress
from scenescope.training.sampler import StepSampler
from scenescope.training.schedule import learning_rate
from scenescope.training.step import Stepper
from scenescope.training.validation import Validation

CHECKPOINTS = "checkpoints"
STEP_REMEDY = "lower train.batch_size or augment.crop, or cut the batch into parts with train.grad_accum_steps"


@dataclass
class TrainingResult:
    """How a training ended.

    Attributes:
        step: optimizer steps done.
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
        loss: what to minimize.
        train_set: scenes to learn from.
        val_set: scenes to score.
        config: the resolved recipe, kept in checkpoints and models.
        directory: the run directory.
        data: the fingerprint of the data, kept in checkpoints.
        processes: those that train together.
        progress: is told what happens.
    """

    network: SegmentationNetwork
    loss: SegmentationLoss
    train_set: SegmentationDataset
    val_set: SegmentationDataset
    config: Config
    directory: Path
    processes: Processes
    progress: Progress
    data: dict[str, Any] | None = None
    step: int = 0
    _generators: list[dict[str, Any]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.settings = settings = self.config.train
        device = self.processes.device
        require_divisible(settings, self.processes.world_size)
        note = prepare_norms(self.network, settings.norm, device, self.processes.world_size)
        if note:
            self.progress.note(note)
        self.stepper = Stepper(self.network, self.loss, settings, self.processes)
        if self.stepper.precision == "bfloat16" and not supports_bfloat16(device):
            self.progress.note(f"{device} has no bfloat16 arithmetic; train.precision=float32 is faster.")
        self.interruption = Interruption()
        self.validation = Validation(self.val_set, settings, self.processes)

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            TrainingError: it was written by another number of processes.
            CheckpointError: it is of another network.
        """
        state = read_state(checkpoint)
        if len(state["generators"]) != self.processes.world_size:
            raise TrainingError(
                f"{checkpoint} was written by {len(state['generators'])} processes and this run has"
                f" {self.processes.world_size}; an exact resume needs the same number."
            )
        stepper = self.stepper
        restore_checkpoint(checkpoint, network=self.network, optimizer=stepper.optimizer, ema=stepper.ema)
        if torch.get_num_threads() != state["threads"]:
            self.progress.note(
                f"{checkpoint} was computed with {state['threads']} threads and this machine has"
                f" {torch.get_num_threads()}: the bits will differ from those of a run never interrupted."
            )
        self.step = state["step"]
        self.validation.best, self.validation.last = state["best"], state["last"]
        if state["precision"] != stepper.precision:
            stepper.use_precision(state["precision"])
        stepper.scaler.load_state_dict(state.get("scaler") or {})
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
            if self.processes.is_first
            else None
        )
        try:
            with deterministic_operations(self.processes.device, settings.deterministic), _no_deterministic_form():
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
            torch.manual_seed(settings.seed + self.processes.rank)
        else:
            set_generator_states(self._generators[self.processes.rank])
        batches = self._batches()
        saved = logged = self.step
        faulty, fault = False, None
        spent = waited = 0.0
        with self.interruption.watched():
            # The scores of this very step are younger than its checkpoint.
            validation.take(share_object(log.validation(self.step) if log is not None else None))
            self._validate_if_due(log)
            while self.step < settings.steps:
                started = time.perf_counter()
                lr = learning_rate(self.step, settings)
                parts, fault = self._next_parts(batches)
                waited += time.perf_counter() - started
                normalizer, stopped, faulty = self._summed(parts, fault)
                if stopped or faulty:
                    break
                terms = None
                with memory_errors(TrainingError, "A training step", STEP_REMEDY):
                    self.stepper.take(parts, normalizer, self.step + 1, lr)
                    if (self.step + 1) % settings.log_every == 0:
                        terms = self.stepper.look()
                self.step += 1
                spent += time.perf_counter() - started
                if terms is not None:
                    # Of a queue only the mean is known: steps that are not logged are not waited for.
                    count, logged = self.step - logged, self.step
                    if log is not None:
                        log.write(self._row(terms, lr, spent / count, waited / count))
                    spent = waited = 0.0
                self.progress.stepped(self.step, terms["total"] if terms is not None else None, lr)
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
        return TrainingResult(self.step, validation.best, validation.last, None if complete else self._signal())

    def _batches(self) -> Iterator[Batch]:
        settings = self.settings
        sampler = StepSampler(
            start=self.step,
            steps=settings.steps,
            batch_size=settings.batch_size,
            parts=settings.grad_accum_steps,
            num_scenes=len(self.train_set),
            seed=settings.seed,
            rank=self.processes.rank,
            world_size=self.processes.world_size,
        )
        view = TrainDataset(self.train_set, self.config.augment, settings.seed)
        return load_batches(view, sampler, self.validation.num_workers, stop=self.interruption.asked)

    def _next_parts(self, batches: Iterator[Batch]) -> tuple[list[Batch], ScenescopeError | None]:
        """Read the parts of a step. Return a fault of the data in place of raising it: first the steps done are saved.

        There are fewer parts where there is a fault, or a signal has come.
        """
        try:
            with memory_errors(TrainingError, "A training step", STEP_REMEDY):
                return list(itertools.islice(batches, self.settings.grad_accum_steps)), None
        except ScenescopeError as fault:
            return [], fault

    def _summed(self, parts: list[Batch], fault: ScenescopeError | None) -> tuple[Tensor, bool, bool]:
        """Return the normalizer of the loss, whether a signal has come and whether data are faulty, in any process.

        One sum of five numbers in the host's memory: no queue of a GPU is waited for.
        """
        own = torch.zeros(5, dtype=torch.float64)
        for _, labels, _ in parts:
            own[:3] += self.stepper.loss.normalizer(labels)
        own[3], own[4] = self.interruption.asked(), fault is not None
        over_all = sum_over_processes(own)
        return over_all[:3], bool(over_all[3]), bool(over_all[4])

    def _share_statistics(self) -> None:
        """Give all processes one network: each has running statistics of its own, and so has its average."""
        share_from_first(self.network.buffers())
        if self.stepper.ema is not None:
            share_from_first(self.stepper.ema.state.values())

    def _validate_if_due(self, log: Log | None) -> None:
        """Score the network and keep it if it is the best so far; a signal cuts it short, and nothing is kept."""
        if not self.validation.is_due(self.step):
            return
        with self._evaluated_weights():
            matrix, attention = self.validation.count(self.network, stop=self.interruption.asked)
        if self._signal():
            return
        row = self.validation.row(matrix, attention, self.step)
        if self.validation.take(row):
            self._save_model("best", row)
        # Last: what the log holds need not be done again.
        if log is not None:
            log.write(row)
        self.progress.validated(row)

    def _checkpoint(self) -> None:
        self.stepper.look()  # before anything is kept
        self._share_statistics()
        generators = gather_objects(generator_states())
        if self.processes.is_first:
            save_checkpoint(
                self.directory / CHECKPOINTS,
                step=self.step,
                network=self.network,
                optimizer=self.stepper.optimizer,
                ema=self.stepper.ema,
                generators=generators,
                extra={
                    "recipe": self.config.to_dict(),
                    "data": self.data,
                    "precision": self.stepper.precision,
                    "scaler": self.stepper.scaler.state_dict(),
                    "best": self.validation.best,
                    "last": self.validation.last,
                },
                keep=self.settings.keep_checkpoints,
            )
        self.processes.wait()

    def _save_model(self, name: str, scores: Row | None) -> None:
        if self.processes.is_first:
            save_model(
                self.network,
                self.val_set.classes,
                self.directory / name,
                training={"recipe": self.config.to_dict(), "step": self.step, "scores": scores},
                weights=self.stepper.ema.state if self.stepper.ema is not None else None,
            )

    def _row(self, terms: dict[str, float], lr: float, seconds: float, waited: float) -> Row:
        row: Row = {"step": self.step, "loss": terms["total"], "lr": lr}
        row |= {f"loss/{name}": value for name, value in terms.items() if name != "total" and len(terms) > 2}
        for name, parameter in self.network.named_parameters():
            if name.endswith(ATTENTION_SCALES):
                row[name.rsplit(".", 1)[1]] = parameter.item()
        return row | {"seconds": round(seconds, 4), "seconds_waiting": round(waited, 4)}

    def _signal(self) -> int | None:
        """Return the number of the signal that any process has received."""
        return max(gather_objects(self.interruption.signal or 0)) or None

    def _evaluated_weights(self) -> AbstractContextManager[None]:
        ema = self.stepper.ema
        return ema.applied_to(self.network) if ema is not None else nullcontext()


@contextlib.contextmanager
def _no_deterministic_form() -> Iterator[None]:
    """Say which setting it was that torch refuses."""
    try:
        yield
    except RuntimeError as error:
        if "deterministic implementation" not in str(error):
            raise
        raise TrainingError(
            f"train.deterministic=true, but torch says that {str(error).split(',')[0]} on this device; leave it out, or"
            " train another network or on --device cpu."
        ) from error


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
