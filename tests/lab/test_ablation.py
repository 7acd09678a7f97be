"""Ablations: every run once, those of other tables shared, and on where it stopped."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from scenescope.errors import ModelError, TrainingError
from scenescope.lab import ablation as workflow
from scenescope.lab.ablation import Ablation, Outcome, run_ablation
from scenescope.lab.ablation_file import load_ablation
from scenescope.training.loop import TrainingResult
from tests.silent import Silent

TEXT = """\
title: t
recipe: scenes/danet-demo
settings: {train.steps: 2, train.workers: 0}
seeds: [0, 1]
rows:
  - {name: FCN, settings: {model.name: fcn}}
  - {name: "P/A M", settings: {model.options.channel: false}}
"""
CPU = torch.device("cpu")


def planned(tmp_path: Path, text: str = TEXT, *overrides: str) -> Ablation:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_ablation(str(path), overrides)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, bool]]:
    """Replace the training by one that writes down network, seed and whether it resumes."""
    calls: list[tuple[str, int, bool]] = []

    def train(settings, directory, *, resume, **rest) -> TrainingResult:  # type: ignore[no-untyped-def]
        calls.append((settings.model.name, settings.train.seed, resume))
        (directory / "checkpoints").mkdir(parents=True, exist_ok=True)
        (directory / "log.jsonl").write_text('{"step": 1, "alpha": 0.5}\n{"step": 2, "alpha": 0.25, "beta": 2}\n')
        miou = 0.5 + 0.1 * settings.train.seed + (0.2 if settings.model.name == "danet" else 0)
        return TrainingResult(2, last={"step": 2, "val/miou": miou, "val/pixel_accuracy": 0.9, "val/iou": {}})

    monkeypatch.setattr(workflow, "run_training", train)
    return calls


def run(ablation: Ablation, directory: Path) -> Outcome:
    return run_ablation(ablation, directory, device=CPU, progress=Silent())


def test_every_row_is_trained_once_for_each_seed_and_seeds_come_last(
    tmp_path: Path, trained: list[tuple[str, int, bool]]
) -> None:
    outcome = run(planned(tmp_path), tmp_path / "out")
    assert trained == [("fcn", 0, False), ("danet", 0, False), ("fcn", 1, False), ("danet", 1, False)]
    assert {name: {seed: score["miou"] for seed, score in by.items()} for name, by in outcome.scores.items()} == {
        "FCN": {0: 0.5, 1: 0.6},
        "P/A M": {0: 0.7, 1: pytest.approx(0.8)},
    }
    assert outcome.scores["FCN"][0] | {"miou": 0} == {
        "step": 2, "miou": 0, "pixel_accuracy": 0.9, "iou": {}, "alpha": 0.25, "beta": 2,
    }  # fmt: skip
    # A second call, and another table with a row in common, train nothing again.
    assert run(planned(tmp_path), tmp_path / "out") == outcome
    other = TEXT.replace("name: FCN", "name: baseline").replace("train.workers: 0", "train.workers: 1")
    run(planned(tmp_path, other), tmp_path / "out")
    assert len(trained) == 4
    # Other settings are other runs.
    run(planned(tmp_path, TEXT, "train.batch_size=2"), tmp_path / "out")
    assert len(trained) == 8


def test_runs_stay_inside_the_output_whatever_a_row_is_called(
    tmp_path: Path, trained: list[tuple[str, int, bool]]
) -> None:
    run(planned(tmp_path, TEXT.replace("P/A M", "../../up")), tmp_path / "out")
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"mine.yaml", "out"}


def test_a_signal_ends_it_and_the_next_call_resumes_that_run(
    tmp_path: Path, trained: list[tuple[str, int, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = workflow.run_training

    def interrupted(settings, directory, **rest):  # type: ignore[no-untyped-def]
        result = whole(settings, directory, **rest)
        if settings.model.name == "danet":
            result.signal = signal.SIGTERM
        return result

    with monkeypatch.context() as patch:
        patch.setattr(workflow, "run_training", interrupted)
        outcome = run(planned(tmp_path), tmp_path / "out")
    assert outcome.signal == signal.SIGTERM
    assert {name: list(by) for name, by in outcome.scores.items()} == {"FCN": [0], "P/A M": []}
    del trained[:]
    outcome = run(planned(tmp_path), tmp_path / "out")
    assert trained == [("danet", 0, True), ("fcn", 1, False), ("danet", 1, False)]
    assert outcome.signal is None


def test_a_training_that_diverges_is_told_and_the_others_go_on(
    tmp_path: Path, trained: list[tuple[str, int, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = workflow.run_training

    def diverging(settings, directory, **rest):  # type: ignore[no-untyped-def]
        if (settings.model.name, settings.train.seed) == ("fcn", 0):
            raise TrainingError("The loss of step 2 is nan.")
        return whole(settings, directory, **rest)

    monkeypatch.setattr(workflow, "run_training", diverging)
    outcome = run(planned(tmp_path), tmp_path / "out")
    assert outcome.failures == ["FCN, seed 0: The loss of step 2 is nan."]
    assert {name: list(by) for name, by in outcome.scores.items()} == {"FCN": [1], "P/A M": [0, 1]}


def test_a_row_that_cannot_be_built_is_refused_before_anything_is_trained(
    tmp_path: Path, trained: list[tuple[str, int, bool]]
) -> None:
    wrong = TEXT.replace("model.options.channel: false", "model.options.chanel: false")
    with pytest.raises(ModelError, match="Did you mean 'channel'"):
        run(planned(tmp_path, wrong), tmp_path / "out")
    assert trained == []
    assert not (tmp_path / "out").exists()


def test_another_test_of_the_same_training_scores_its_model_and_trains_nothing(tmp_path: Path) -> None:
    text = """\
title: t
recipe: scenes/danet-demo
settings:
  train.steps: 3
  train.batch_size: 2
  train.workers: 0
  train.warmup_steps: 0
  train.average_decay: null
  augment.crop: [32, 32]
seeds: [2]
rows:
  - {name: one}
  - {name: mirrored, flip: true}
"""
    ablation = planned(tmp_path, text)
    outcome = run(ablation, tmp_path / "out")
    (place,) = (tmp_path / "out" / "runs").iterdir()
    one, mirrored = outcome.scores["one"][2], outcome.scores["mirrored"][2]
    assert one["miou"] != mirrored["miou"]
    # Without flip the evaluator gives what the validation of the training gave.
    network = workflow.load_model(str(place / "last")).network
    _, val_set = workflow.open_sets(ablation.rows[0].runs[0].settings.data)
    counts = workflow.evaluate(network, val_set)
    assert workflow.Scores.from_matrix(counts, val_set.classes.names).mean_iou == pytest.approx(one["miou"], abs=1e-6)
