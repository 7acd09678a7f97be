"""The loop: how a batch is cut changes nothing, faults stop it by name, a signal saves."""

import json
import math
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from scenescope.checkpoints.model_directory import load_model, read_tensors
from scenescope.data import loading
from scenescope.errors import LabelError, TrainingError
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.scores import Scores
from scenescope.labels import IGNORE
from scenescope.losses import SegmentationLoss
from scenescope.training.checkpoint import TENSORS
from scenescope.training.log import read_log
from scenescope.training.loop import Training
from scenescope.training.step import Stepper
from tests.silent import Silent
from tests.training.test_distributed import Notes

Build = Callable[..., Training]


def weights(training: Training) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in training.network.state_dict().items()}


def test_accumulation_changes_nothing(tiny: Build, tmp_path: Path) -> None:
    """Norms are frozen as their statistics are those of a part; half of one image is ignored."""
    results = []
    for accumulation in (1, 4):
        training = tiny(
            tmp_path / str(accumulation),
            grad_accum_steps=accumulation,
            norm="frozen",
            dropout=0.0,
            steps=3,
            optimizer="sgd",
        )
        network = training.network
        training.stepper.loss = SegmentationLoss(
            weights=network.loss_weights, dice=1.0, lovasz=1.0, attention=1.0, grid=network.grid
        )
        read = training.train_set.__getitem__
        training.train_set = Ignoring(training.train_set, read)  # type: ignore[assignment]
        training.run()
        results.append(
            (
                weights(training),
                [row["loss"] for row in read_log(tmp_path / str(accumulation) / "log.jsonl") if "loss" in row],
            )
        )
    (whole, whole_losses), (parts, part_losses) = results
    assert part_losses == pytest.approx(whole_losses, rel=1e-5)
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=1e-4, atol=1e-6)


class Ignoring:
    """Scenes of which the first is mostly ignored, so that parts of a batch differ in scored pixels."""

    def __init__(self, scenes: Any, read: Any) -> None:
        self.classes, self.split, self.root, self.scenes, self.read = scenes.classes, scenes.split, "", scenes, read

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Any:
        scene = self.read(index)
        labels = scene.labels.copy()
        labels[:, 20 if index % 2 else 192 :] = IGNORE
        return replace(scene, labels=labels)


def test_the_log_and_the_models(tiny: Build, tmp_path: Path) -> None:
    training = tiny(tmp_path)
    result = training.run()
    rows = read_log(tmp_path / "log.jsonl")
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert {"loss/main", "loss/position", "loss/channel", "alpha", "beta", "lr", "seconds"} <= steps[0].keys()
    assert steps[0]["loss"] == pytest.approx(
        sum(steps[0][f"loss/{name}"] for name in ("main", "position", "channel")) + 0.3 * steps[0]["loss/attention"],
        rel=1e-5,
    )
    validations = [row for row in rows if "val/miou" in row]
    assert [row["step"] for row in validations] == [3, 6]
    assert result.best == max(validations, key=lambda row: row["val/miou"])
    assert result.last == validations[-1]
    loaded = load_model(tmp_path / "last")
    assert loaded.training["step"] == 6
    # The score in the log is the score of the model on disk, by the same evaluator.
    matrix = evaluate(loaded.network, training.val_set)
    assert Scores.from_matrix(matrix, loaded.classes.names).mean_iou == result.last["val/miou"]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_before_it_reaches_the_weights(tiny: Build, tmp_path: Path, what: str) -> None:
    training = tiny(tmp_path, seed=5, checkpoint_every=1)
    if what == "loss":
        normalizer = training.loss.normalizer
        training.loss.normalizer = lambda labels: normalizer(labels) * (math.nan if training.step == 2 else 1)  # type: ignore[method-assign]
    else:
        bias = training.network.head.classifier[1].bias
        bias.register_hook(lambda gradient: gradient * (math.nan if training.step == 2 else 1))
    with pytest.raises(TrainingError, match=rf"The {what} of step 3 is nan \(seed 5; images: train-.*\)"):
        training.run()
    checkpoints = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in checkpoints] == ["step-00000001", "step-00000002"]
    assert all(value.isfinite().all() for value in read_tensors(checkpoints[-1] / TENSORS).values())


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_label_outside_the_classes_is_a_python_error(tiny: Build, tmp_path: Path, num_workers: int) -> None:
    training = tiny(tmp_path, num_workers=num_workers)
    training.train_set = Refusing(training.train_set)  # type: ignore[assignment]
    with pytest.raises(LabelError, match=r"^scene-3: value 77$"):
        training.run()


class Refusing:
    """Scenes of which one has an impossible label."""

    def __init__(self, scenes: Any) -> None:
        self.classes, self.split, self.root, self.scenes = scenes.classes, scenes.split, "", scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Any:
        if index == 3:
            raise LabelError("scene-3: value 77")
        return self.scenes[index]


def test_one_value_per_norm_names_the_way_out(tiny: Build, tmp_path: Path) -> None:
    training = tiny(tmp_path / "batch", batch_size=1, steps=1)
    augment = replace(training.config.augment, crop=(32, 32))
    training.config = replace(training.config, augment=augment)
    with pytest.raises(TrainingError, match=r"one value per channel \(1 image of 32 x 32\).*train.norm=frozen"):
        training.run()
    frozen = tiny(tmp_path / "frozen", batch_size=1, steps=1, norm="frozen")
    frozen.config = replace(frozen.config, augment=augment)
    before = {key: value.clone() for key, value in weights(frozen).items() if "running" in key}
    frozen.run()
    after = weights(frozen)
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_a_signal_saves_and_the_resumed_run_is_the_same(tiny: Build, tmp_path: Path) -> None:
    class Interrupt(Silent):
        def stepped(self, step: int, loss: float | None, rate: float) -> None:
            if step == 3:
                signal.raise_signal(signal.SIGTERM)

    whole = tiny(tmp_path / "whole")
    whole.run()
    first = tiny(tmp_path / "cut", progress=Interrupt())
    result = first.run()
    assert (result.step, result.signal) == (3, signal.SIGTERM)
    second = tiny(tmp_path / "cut")
    second.resume(tmp_path / "cut" / "checkpoints" / "step-00000003")
    second.run()
    for key, value in weights(whole).items():
        assert torch.equal(second.network.state_dict()[key], value), key
    assert _timeless(tmp_path / "cut") == _timeless(tmp_path / "whole")


def _timeless(directory: Path) -> list[str]:
    return [
        json.dumps({key: value for key, value in row.items() if not key.startswith("seconds")})
        for row in read_log(directory / "log.jsonl")
    ]


def test_batch_that_cannot_be_shared_is_refused(tiny: Build, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"train.batch_size=4 cannot be shared by 1 processes in 3 parts"):
        tiny(tmp_path, grad_accum_steps=3)


@pytest.mark.parametrize(("owner", "function"), [(loading, "_collate"), (Stepper, "_backward")])
def test_more_memory_than_there_is_names_the_settings(
    tiny: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, function: str
) -> None:
    monkeypatch.setattr(owner, function, lambda *arguments: torch.empty(2**50))
    told = r"^A training step needs more memory than there is; lower train\.batch_size or .* train\.grad_accum_steps\.$"
    with pytest.raises(TrainingError, match=told):
        tiny(tmp_path).run()


def test_validation_takes_one_image_at_a_time(tiny: Build, tmp_path: Path) -> None:
    training = tiny(tmp_path, steps=1)
    images: list[int] = []

    def count(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if not network.training:
            images.append(len(inputs[0]))

    training.network.backbone.register_forward_pre_hook(count)
    training.run()
    assert images == [1] * len(training.val_set)


def test_tensorboard_shows_the_log_and_no_step_twice(tiny: Build, tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tiny(tmp_path, tensorboard=True, steps=4, checkpoint_every=2, validate_every=4).run()
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000004")
    resumed = tiny(tmp_path, tensorboard=True, steps=6, checkpoint_every=2)
    resumed.resume(tmp_path / "checkpoints" / "step-00000002")
    resumed.run()
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    logged = {row["step"]: row["loss"] for row in read_log(tmp_path / "log.jsonl") if "loss" in row}
    shown = events.Scalars("loss")
    assert [event.step for event in shown] == list(logged) == [1, 2, 3, 4, 5, 6]
    assert [event.value for event in shown] == pytest.approx(list(logged.values()))


def test_a_slow_format_is_told_and_obeyed(cpu_with: Callable[..., None], tiny: Build, tmp_path: Path) -> None:
    cpu_with("avx2")
    notes = Notes()
    assert tiny(tmp_path, progress=notes, precision="bfloat16").stepper.precision == "bfloat16"
    assert notes.notes == ["cpu has no bfloat16 arithmetic; train.precision=float32 is faster."]
    notes = Notes()
    assert tiny(tmp_path, progress=notes, precision="auto").stepper.precision == "float32"
    assert notes.notes == []


def test_a_resumed_run_keeps_its_format_on_another_processor(
    cpu_with: Callable[..., None], tiny: Build, tmp_path: Path
) -> None:
    cpu_with("avx512_bf16")
    tiny(tmp_path, steps=2, precision="auto").run()
    cpu_with("avx2")
    resumed = tiny(tmp_path, steps=2, precision="auto")
    resumed.resume(tmp_path / "checkpoints" / "step-00000002")
    assert resumed.stepper.precision == "bfloat16"
