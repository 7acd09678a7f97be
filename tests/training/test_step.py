"""One step as a GPU takes it: without a look at a number, on fake tensors, and with its kernels on the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scenescope.checkpoints.model_directory import read_tensors
from scenescope.config import TrainSettings
from scenescope.device import traits
from scenescope.errors import TrainingError
from scenescope.losses import SegmentationLoss
from scenescope.models.catalog import create_model
from scenescope.training import step as module
from scenescope.training.checkpoint import TENSORS
from scenescope.training.distributed import Processes
from scenescope.training.loop import Training
from scenescope.training.step import Stepper
from tests.fake_cuda import Kernels, fake_cuda

__all__ = ["fake_cuda"]
Build = Callable[..., Training]


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU be treated as a device whose work is queued."""
    monkeypatch.setattr(module, "traits", lambda _: traits("cuda"))


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_on_a_gpu_looks_at_no_number(precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake tensor has no numbers, so a look at one would fail; averaged weights are a few kernels for all."""
    monkeypatch.setattr(module, "Mover", lambda device: lambda *tensors: [each.to(device) for each in tensors])
    network = create_model("danet", num_classes=5, backbone="resnet10t", pretrained=False, output_stride=16)
    asked: list[Any] = []
    # Fake weights cannot be moved, and are there already.
    monkeypatch.setattr(network, "to", lambda *place, **layout: asked.append(layout) or network)
    settings = TrainSettings(optimizer="adamw", ema_decay=0.9, precision=precision, grad_accum_steps=2)
    loss = SegmentationLoss(
        torch.ones(5, device="cpu"), weights=network.loss_weights, lovasz=1.0, attention=0.5, grid=network.grid
    )
    stepper = Stepper(network, loss, settings, Processes(torch.device("cuda", 0)))
    images = torch.zeros(2, 3, 64, 96, dtype=torch.uint8, device="cpu").contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(2, 64, 96, dtype=torch.uint8, device="cpu")
    assert asked[-1] == {"memory_format": torch.channels_last}
    normalizer = torch.ones(3, dtype=torch.float64, device="cpu")
    with Kernels() as kernels:
        stepper.take([(images, labels, ["a", "b"])] * 2, normalizer, 1, 0.1)
    started = kernels.started
    assert started["aten._fused_adamw_.default"] <= 4  # one for each group of parameters
    assert started["aten._foreach_lerp_.Scalar"] == 1
    assert "aten._local_scalar_dense.default" not in started
    assert "aten._foreach_mul_.Tensor" not in started  # nothing is clipped, so no gradient is rewritten
    assert started.total() < 3000, started.most_common(20)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_the_kernels_of_a_gpu_take_the_same_steps(
    tiny: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, ema_decay: float | None
) -> None:
    changes = {"optimizer": optimizer, "ema_decay": ema_decay, "dropout": 0.0, "steps": 3, "log_every": 2}
    ordinary = tiny(tmp_path / "cpu", **changes)
    ordinary.run()
    monkeypatch.setattr(module, "traits", lambda _: traits("cuda"))
    kernels = tiny(tmp_path / "queued", **changes)
    kernels.run()
    for key, value in ordinary.network.state_dict().items():
        if key.endswith("position.key.bias"):
            continue  # a softmax does not see it: its gradient is rounding, which AdamW divides by its own size
        torch.testing.assert_close(kernels.network.state_dict()[key], value, rtol=1e-2, atol=1e-4)


@pytest.mark.usefixtures("queued")
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_that_is_not_finite_changes_nothing_though_nobody_looks(
    tiny: Build, tmp_path: Path, optimizer: str
) -> None:
    """Step 3 is not finite, and is told of at step 5, before anything is kept."""
    changes = {
        "optimizer": optimizer,
        "seed": 5,
        "steps": 5,
        "log_every": 5,
        "checkpoint_every": 2,
        "validate_every": 5,
    }
    training = tiny(tmp_path, **changes)
    normalizer, before = training.loss.normalizer, {}

    def spoilt(labels: torch.Tensor) -> torch.Tensor:
        if training.step == 2:
            before.update({key: value.clone() for key, value in training.network.named_parameters()})
        return normalizer(labels) * (math.nan if training.step == 2 else 1)

    training.loss.normalizer = spoilt  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"The loss of step 3 is nan \(seed 5; images: train-.*\)"):
        training.run()
    assert training.step == 4  # its checkpoint is the first to look
    for key, value in training.network.named_parameters():
        assert torch.equal(value, before[key]), key
    checkpoints = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in checkpoints] == ["step-00000002"]
    assert all(value.isfinite().all() for value in read_tensors(checkpoints[-1] / TENSORS).values())


@pytest.mark.usefixtures("queued")
def test_a_first_step_that_is_left_out_leaves_no_momentum(tiny: Build, tmp_path: Path) -> None:
    """torch's kernel would take what memory held before for the momentum of the next step."""
    training = tiny(tmp_path, optimizer="sgd")
    stepper = training.stepper
    batch = (torch.zeros(4, 3, 64, 96, dtype=torch.uint8), torch.zeros(4, 64, 96, dtype=torch.uint8), ["a"] * 4)
    stepper.take([batch], torch.tensor([math.nan, 4.0, 1.0]), 1, 0.1)
    assert all(not state["momentum_buffer"].any() for state in stepper.optimizer.state.values())


def test_float16_leaves_out_steps_that_overflow_and_lowers_the_scale(tiny: Build, tmp_path: Path) -> None:
    training = tiny(tmp_path, precision="float16", steps=2, optimizer="sgd")
    scaler, network = training.stepper.scaler, training.network
    assert scaler.is_enabled()
    bias = network.head.classifier[1].bias
    bias.register_hook(lambda gradient: gradient * (math.inf if training.step == 0 else 1))
    before, scale = {key: value.clone() for key, value in network.named_parameters()}, scaler.get_scale()
    changed = []

    class Look:
        def started(self, step: int, steps: int) -> None: ...
        def validated(self, row: dict[str, Any]) -> None: ...
        def note(self, text: str) -> None: ...
        def stepped(self, step: int, loss: float | None, rate: float) -> None:
            now = dict(network.named_parameters())
            changed.append((any(not torch.equal(now[key], before[key]) for key in before), scaler.get_scale()))

    training.progress = Look()
    training.run()
    assert changed == [(False, scale / 2), (True, scale / 2)]
    resumed = tiny(tmp_path, precision="float16", steps=2, optimizer="sgd")
    resumed.resume(tmp_path / "checkpoints" / "step-00000002")
    assert resumed.stepper.scaler.get_scale() == scale / 2


@pytest.mark.usefixtures("queued")
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_is_resumed_has_the_layout_of_the_weights(tiny: Build, tmp_path: Path, optimizer: str) -> None:
    """Files hold no layout, and a fused kernel takes no two."""
    tiny(tmp_path, steps=2, channels_last=True, optimizer=optimizer).run()
    resumed = tiny(tmp_path, steps=3, channels_last=True, optimizer=optimizer)
    resumed.resume(tmp_path / "checkpoints" / "step-00000002")
    for parameter, state in resumed.stepper.optimizer.state.items():
        assert {value.stride() for value in state.values() if value.shape == parameter.shape} == {parameter.stride()}
    resumed.run()


def test_gradients_are_rewritten_only_where_they_are_clipped(tiny: Build, tmp_path: Path) -> None:
    for clip in (None, 0.01):
        stepper = tiny(tmp_path, grad_clip_norm=clip).stepper
        for parameter in stepper.network.parameters():
            parameter.grad = torch.ones_like(parameter)
        values = stepper._with_gradient(torch.zeros(1))
        count = sum(parameter.numel() for parameter in stepper.network.parameters())
        assert values[1].item() == pytest.approx(math.sqrt(count), rel=1e-5)
        left = {
            parameter.grad.unique().numel() for parameter in stepper.network.parameters() if parameter.grad is not None
        }
        assert left == {1}
        first = next(stepper.network.parameters()).grad
        assert first is not None
        assert first.flatten()[0].item() == (1 if clip is None else pytest.approx(0.01 / math.sqrt(count), rel=1e-3))


def test_what_has_no_deterministic_form_names_the_setting(tiny: Build, tmp_path: Path) -> None:
    training = tiny(tmp_path, deterministic=True)

    def refuse(*arguments: object) -> None:
        raise RuntimeError(
            "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set ..."
        )

    training.stepper._backward = refuse  # type: ignore[method-assign, assignment]
    told = r"^train.deterministic=true, but torch says that grid_sampler_2d_backward_cuda does not have a deterministic"
    with pytest.raises(TrainingError, match=told):
        training.run()
