"""Whose directory it is, and that all processes go on from one checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenescope.errors import TrainingError
from scenescope.files import CHECKSUMS
from scenescope.workflows import run_directory
from scenescope.workflows.run_directory import agreed_checkpoint, changed_settings, own_files
from tests.silent import Silent


def test_changed_settings_are_named_by_their_dotted_keys() -> None:
    old = {"train": {"steps": 5, "seed": 0}, "loss": {"weights": {"position": 1.0}}, "data": {"root": "a"}}
    new = {"train": {"steps": 6, "seed": 0}, "loss": {"weights": {"channel": 1.0}}, "data": {"root": "a"}}
    assert changed_settings(old, new) == ["loss.weights.channel", "loss.weights.position", "train.steps"]
    assert changed_settings(old, old) == []


@pytest.mark.parametrize("other", [None, "of another run"])
def test_a_process_without_the_checkpoint_of_the_first_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str | None
) -> None:
    """Two machines without a common disk: the second has no checkpoint, or an older one of that name."""
    checkpoint = tmp_path / "step-00000004"
    checkpoint.mkdir()
    (checkpoint / CHECKSUMS).write_text("sums")
    assert agreed_checkpoint(checkpoint) == checkpoint
    assert agreed_checkpoint(None) is None
    monkeypatch.setattr(run_directory, "gather_objects", lambda seal: [seal, seal, other])
    with pytest.raises(TrainingError, match=r"step-00000004, which process 2 does not have, .*on a common disk"):
        agreed_checkpoint(checkpoint)


def test_a_failed_start_takes_back_its_own_files_and_no_others(tmp_path: Path) -> None:
    (tmp_path / ".run").write_text("")
    (tmp_path / "log.jsonl").write_text("of an earlier start")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "mine.pth").write_text("weights")
    own = own_files(tmp_path, "train: {}", Silent())
    own.__enter__()
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events.out.tfevents.1").write_text("x")
    assert not own.__exit__(ValueError, ValueError("planted"), None)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        ".run", "checkpoints/mine.pth", "log.jsonl",
    ]  # fmt: skip
    assert not (tmp_path / "tensorboard").exists()


def test_a_recipe_that_somebody_has_edited_stays(tmp_path: Path) -> None:
    with own_files(tmp_path, "train: {steps: 1}", Silent()):
        pass
    with own_files(tmp_path, "train: {steps: 2}", Silent()):
        pass
    recipe = tmp_path / "recipe.yaml"
    assert recipe.read_text() == "train: {steps: 2}"
    recipe.write_text("train: {steps: 2}  # mine")
    for _ in range(2):
        with own_files(tmp_path, "train: {steps: 3}", Silent()):
            pass
        assert recipe.read_text() == "train: {steps: 2}  # mine"
