"""One optimizer step: losses and gradients of all parts of a batch, looked at, and then the weights changed."""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
from torch import Tensor

from scenescope.config import TrainSettings
from scenescope.data.loading import Batch
from scenescope.device import Mover, Precision, fast_arithmetic, memory_format, resolve_precision, traits
from scenescope.errors import TrainingError
from scenescope.losses import SegmentationLoss
from scenescope.models.network import SegmentationNetwork
from scenescope.training.depthwise import FastDepthwiseGradients
from scenescope.training.distributed import Processes, sum_over_processes
from scenescope.training.ema import ModelEma
from scenescope.training.norms import freeze_norms, one_value_error
from scenescope.training.optimizer import create_optimizer, set_lr


class Stepper:
    """Takes optimizer steps over the whole global batch.

    No step takes in what is not finite. Where work is queued nobody waits to see: such a step, and all after it, leave
    the weights as they are, and ``look`` tells of it. In float16 gradients overflow now and then; such a step is left
    out and the scale of the loss lowered.

    Attributes:
        network, optimizer, ema: what a step changes.
        precision: number format of the heavy operations.
        scaler: scales the loss, in float16 only.
    """

    def __init__(
        self, network: SegmentationNetwork, loss: SegmentationLoss, settings: TrainSettings, processes: Processes
    ) -> None:
        device = processes.device
        self.loss, self.settings, self.processes, self.device = loss, settings, processes, device
        self.network = network.to(device)
        self.use_precision(resolve_precision(settings.precision, device, scaled=True))
        self.optimizer = create_optimizer(network, settings, fused=traits(device).queued)
        self.model = processes.wrapped(network)
        self.ema = ModelEma(network, settings.ema_decay) if settings.ema_decay else None
        self.move = Mover(device)
        self._unseen: list[tuple[int, list[str], Tensor]] = []
        self._names: list[str] = []
        self._seen: dict[str, float] = {}
        self._faulty = torch.zeros((), device=device)

    def use_precision(self, precision: Precision) -> None:
        """Compute in a number format from now on."""
        self.precision = precision
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "float16")
        layout = memory_format(self.network, self.device, getattr(torch, precision))
        if self.settings.channels_last is not None:
            layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        self.layout = layout
        self.network.to(memory_format=layout)

    def take(self, parts: list[Batch], normalizer: Tensor, step: int, lr: float) -> None:
        """Take a step.

        Args:
            parts: this process's share of the batch, cut.
            normalizer: of the loss, over the whole global batch.
            step: its number, from 1.
            lr: learning rate of the backbone.

        Raises:
            TrainingError: loss or gradient is not finite, unless work is queued.
        """
        set_lr(self.optimizer, lr)
        self.model.train()
        if self.settings.norm == "frozen":
            freeze_norms(self.network)
        normalizer = normalizer.float().to(self.device, non_blocking=True)  # not every device has float64
        sums: dict[str, Tensor] = {}
        with fast_arithmetic(self.device):
            for number, (images, labels, _) in enumerate(parts, start=1):
                with self.processes.apart(self.model) if number < len(parts) else nullcontext():
                    terms = self._backward(images, labels, normalizer)
                for name, value in terms.items():
                    sums[name] = sums[name] + value.detach() if name in sums else value.detach()
            self._names = list(sums)
            self.scaler.unscale_(self.optimizer)
            totals = sum_over_processes(torch.stack(list(sums.values())))
            self._unseen.append((step, [name for _, _, names in parts for name in names], self._with_gradient(totals)))
            if traits(self.device).queued and not self.scaler.is_enabled():
                self._leave_out_what_is_not_finite()
            elif not traits(self.device).queued:
                self.look()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.network)

    def look(self) -> dict[str, float]:
        """Return the loss terms of the last step, over all processes; a GPU is waited for.

        Raises:
            TrainingError: loss or gradient of a step since the last look is not finite.
        """
        if self._unseen:
            seen = torch.stack([values for _, _, values in self._unseen]).tolist()
            for (step, names, _), values in zip(self._unseen, seen, strict=True):
                self._require_finite(step, names, "loss", values[-2])
                if not self.scaler.is_enabled():
                    self._require_finite(step, names, "gradient", values[-1])
            self._unseen.clear()
            self._seen = dict(zip(self._names, seen[-1][:-1], strict=True))
        return self._seen

    def _require_finite(self, step: int, names: list[str], what: str, size: float) -> None:
        if not math.isfinite(size):
            raise TrainingError(
                f"The {what} of step {step} is {size} (seed {self.settings.seed}; images: {', '.join(names)})."
                " The last checkpoint is untouched; lower train.lr or set train.grad_clip_norm=1."
            )

    def _with_gradient(self, totals: Tensor) -> Tensor:
        """Return the totals with the norm of all gradients, which are clipped if asked and else left as they are."""
        parameters = list(self.network.parameters())
        norm = torch.nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
        if self.settings.grad_clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.settings.grad_clip_norm, norm)
        return torch.cat([totals, norm.float().view(1)])

    def _leave_out_what_is_not_finite(self) -> None:
        """Tell the optimizer's kernel, which looks for itself, as ``GradScaler`` tells it in float16."""
        self._faulty = torch.maximum(self._faulty, (~self._unseen[-1][2].isfinite().all()).float())
        self.optimizer.grad_scale, self.optimizer.found_inf = None, self._faulty  # type: ignore[attr-defined]

    def _backward(self, images: Tensor, labels: Tensor, normalizer: Tensor) -> dict[str, Tensor]:
        images, labels = self.move(images, labels)
        prepared = self.network.prepare(images).contiguous(memory_format=self.layout)
        mixed, kind = self.precision != "float32", self.device.type
        fast = self.precision == "bfloat16" and traits(self.device).composed_depthwise
        try:
            with (
                torch.autocast(kind, getattr(torch, self.precision), enabled=mixed),
                FastDepthwiseGradients() if fast else nullcontext(),
            ):
                output = self.model(prepared)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise one_value_error(len(images), *images.shape[-2:]) from error
        terms = self.loss(output, labels, normalizer)
        # Processes average their gradients; the loss is already divided by the whole batch, so undo that.
        loss = terms["total"] * self.processes.world_size
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return terms
