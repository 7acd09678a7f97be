"""What users of other tools lost in trainings, tried with this one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from scenescope.cli.main import main
from scenescope.files import sha256
from scenescope.training import validation
from scenescope.training.checkpoint import TENSORS
from scenescope.training.log import read_log

RECIPE = """\
# My own recipe: do not lose this line.
model: {name: fcn, backbone: test_resnet, pretrained: false, output_stride: 32}
data: {kind: folder, root: data}
augment: {crop: [32, 32]}
train:
  {steps: 4, batch_size: 2, warmup_steps: 0, log_every: 1, validate_every: 2, checkpoint_every: 1,
   num_workers: 0, seed: 3}
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data of six images, a recipe, and the run ``whole`` of it."""
    work = tmp_path_factory.mktemp("work")
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in ("images", "masks"):
            (work / "data" / kind / split).mkdir(parents=True)
        for name in range(count):
            mask = np.kron(random.integers(0, 3, (2, 2), dtype=np.uint8), np.ones((20, 24), dtype=np.uint8))
            Image.fromarray(mask).save(work / "data" / "masks" / split / f"{split}-{name}.png")
            image = np.stack([mask * 80] * 3, axis=2) + random.integers(0, 40, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(image).save(work / "data" / "images" / split / f"{split}-{name}.png")
    (work / "data" / "classes.yaml").write_text("names: [road, sky, car]\nignore: 255\n")
    (work / "mine.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        assert scenescope("train", "mine.yaml", "--output", "whole", "--device", "cpu") == 0
    return work


@pytest.fixture
def here(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a copy of that folder, with the run as a kill after step 3 leaves it, as ``run``."""
    here = shutil.copytree(work, tmp_path / "work")
    run = shutil.copytree(here / "whole", here / "run")
    shutil.rmtree(run / "checkpoints" / "step-00000004")
    shutil.rmtree(run / "last")
    monkeypatch.chdir(here)
    return here


def scenescope(*arguments: str) -> int:
    """Call the command line and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["scenescope", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
    return int(left.value.code or 0)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line with which a command refuses, its folder being left as it was."""
    before = state()
    capsys.readouterr()
    assert scenescope(*arguments) == 2
    assert state() == before
    (line,) = capsys.readouterr().err.splitlines()
    return line


def state() -> dict[str, str]:
    """Return all files below the current folder with their checksums; a lock that nobody holds says nothing."""
    return {str(path): sha256(path) for path in sorted(Path().rglob("*")) if path.is_file()}


def resume(*overrides: str) -> tuple[str, ...]:
    return ("train", "mine.yaml", *overrides, "--output", "run", "--resume", "--device", "cpu")


def weights(run: str) -> str:
    return sha256(Path(run) / "checkpoints" / "step-00000004" / TENSORS)


def untimed(run: str) -> list[dict[str, object]]:
    return [
        {key: value for key, value in row.items() if not key.startswith("seconds")}
        for row in read_log(Path(run) / "log.jsonl")
    ]


def test_a_training_into_a_folder_with_files_of_ones_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """tensorflow/models#61, jakeret/tf_unet#34: the folder for results was emptied first."""
    for place, text in (("checkpoints/mine.pth", "w"), ("tensorboard/events.mine", "e"), ("log.jsonl", "l")):
        (here / "project" / place).parent.mkdir(parents=True, exist_ok=True)
        (here / "project" / place).write_text(text)
    shutil.copy("mine.yaml", "project/recipe.yaml")
    for ending in ([], ["--resume"]):
        line = refused(capsys, "train", "project/recipe.yaml", "--output", "project", *ending)
        assert "project holds other files than those of a training (checkpoints); choose a new --output." in line
    # An image that cannot be read ends a training at its first step.
    for image in (here / "data" / "images" / "train").iterdir():
        image.write_bytes(image.read_bytes()[:60])
    assert "Cannot read data/images/train" in refused(capsys, "train", "mine.yaml", "--output", "new")
    assert not (here / "new").exists()


def test_comments_written_into_the_recipe_of_a_run_stay(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """strands-labs/robots#3245: what a folder of a run holds is not all of the run."""
    recipe = here / "run" / "recipe.yaml"
    text = "# Worked well, see page 12.\n" + recipe.read_text().replace("seed: 3", "seed: 3  # the third")
    recipe.write_text(text)
    assert scenescope("train", "run/recipe.yaml", "--output", "run", "--resume") == 0
    assert recipe.read_text() == text
    assert "run/recipe.yaml is not as the run wrote it and stays so" in " ".join(capsys.readouterr().out.split())
    assert weights("run") == weights("whole")


def test_a_finished_run_whose_checkpoints_were_deleted_to_save_space(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(here / "run" / "checkpoints")
    line = refused(capsys, *resume("train.steps=9"))
    assert "run holds the models of a training and no checkpoint to go on from; put checkpoints/ back, or" in line
    assert "train.init_from=run/last" in line
    (here / "run" / ".run").unlink()  # by an older version
    assert "run holds other files than those of a training" in refused(capsys, *resume())


def test_a_copy_of_a_checkpoint_that_is_kept_under_another_name(here: Path) -> None:
    checkpoints = here / "run" / "checkpoints"
    shutil.copytree(checkpoints / "step-00000003", checkpoints / "step-00000003-good")
    assert scenescope(*resume("train.keep_checkpoints=1")) == 0
    assert sorted(entry.name for entry in checkpoints.iterdir()) == ["step-00000003-good", "step-00000004"]


def test_models_that_are_links_to_another_disk(here: Path) -> None:
    disk = here / "disk"
    disk.mkdir()
    (here / "run" / "best").rename(disk / "best")
    (here / "run" / "best").symlink_to(disk / "best")
    steps = ("train.steps=8", "train.validate_every=1")
    assert scenescope(*resume(*steps)) == 0
    assert (here / "run" / "best").is_symlink()
    best = json.loads((disk / "best" / "config.json").read_text())["training"]["scores"]
    validated = [row for row in read_log(here / "run" / "log.jsonl") if "val/miou" in row]
    assert best["val/miou"] == max(row["val/miou"] for row in validated)
    assert scenescope(*resume(*steps)) == 0
    assert [entry.name for entry in disk.iterdir()] == ["best"]


def test_data_that_were_moved_and_validated_more_often(here: Path) -> None:
    """lightly-ai/lightly-train#573: a run could go on only while its data lay where they were."""
    shutil.copytree(here / "data", here / "elsewhere", copy_function=shutil.copyfile)
    shutil.rmtree(here / "data")
    assert scenescope(*resume("data.root=elsewhere", "train.validate_every=1")) == 0
    assert weights("run") == weights("whole")
    assert yaml.safe_load((here / "run" / "recipe.yaml").read_text())["data"]["root"] == "elsewhere"
    assert [row["step"] for row in read_log(here / "run" / "log.jsonl") if "val/miou" in row] == [2, 3, 4]


def reorder(data: Path) -> None:
    (data / "classes.yaml").write_text("names: [sky, road, car]\nvalues: [1, 0, 2]\nignore: 255\n")


def revalue(data: Path) -> None:
    (data / "classes.yaml").write_text("names: [road, sky, car]\nvalues: [1, 0, 2]\nignore: 255\n")


def add_class(data: Path) -> None:
    (data / "classes.yaml").write_text("names: [road, sky, car, bus]\nignore: 255\n")


def add_image(data: Path) -> None:
    for kind in ("images", "masks"):
        shutil.copy(data / kind / "train" / "train-0.png", data / kind / "train" / "another.png")


def remove_image(data: Path) -> None:
    for kind in ("images", "masks"):
        (data / kind / "val" / "val-1.png").unlink()


def relabel(data: Path) -> None:
    mask = np.array(Image.open(data / "masks" / "train" / "train-2.png"))
    mask[0, 0] = (mask[0, 0] + 1) % 3
    Image.fromarray(mask).save(data / "masks" / "train" / "train-2.png")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (reorder, "the classes were road, sky, car and are sky, road, car"),
        (revalue, "values of the masks mean other classes than before"),
        (add_class, "the classes were road, sky, car and are road, sky, car, bus"),
        (add_image, "split train: 1 added (another)"),
        (remove_image, "split val: 1 removed (val-1)"),
        (relabel, "split train: 1 changed (train-2)"),
    ],
)
def test_data_that_changed_between_a_kill_and_the_resume(
    here: Path, capsys: pytest.CaptureFixture[str], change: object, told: str
) -> None:
    """lightly-ai/lightly-train#428: a resumed run fell from 0.70 to 0.03, and nothing was said."""
    change(here / "data")  # type: ignore[operator]
    line = refused(capsys, *resume())
    assert f"The data have changed since run/checkpoints/step-00000003: {told}; put them back, or train to" in line


@pytest.mark.parametrize("fault", ["damaged", "ignored"])
def test_a_fault_of_what_is_scored_is_found_before_the_first_step(
    here: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    """facebookresearch/fairseq#2140: the first validation failed, and with it went all that was done before."""
    masks = list((here / "data" / "masks" / "val").iterdir())
    for mask in masks:
        if fault == "ignored":
            Image.new("L", (48, 40), 255).save(mask)
        else:
            mask.write_bytes(mask.read_bytes()[:40])
    line = refused(capsys, "train", "mine.yaml", "--output", "new")
    assert ("'val'" if fault == "ignored" else "masks/val/val-") in line


def test_a_validation_that_fails_costs_nothing_and_is_done_by_the_resume(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """open-mmlab/mmengine#1394: the resumed training skipped the validation that had failed."""

    def fail(*arguments: object, **options: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(validation, "evaluate", fail)
        assert scenescope("train", "mine.yaml", "--output", "cut") == 2
    assert (here / "cut" / "checkpoints" / "step-00000002").is_dir()
    assert scenescope("train", "mine.yaml", "--output", "cut", "--resume") == 0
    assert weights("cut") == weights("whole")
    assert untimed("cut") == untimed("whole")
    for model in ("best", "last"):
        for name in ("config.json", "model.safetensors"):
            assert sha256(here / "cut" / model / name) == sha256(here / "whole" / model / name)


def test_more_steps_change_the_learning_rate_and_that_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scenescope("train", "mine.yaml", "train.steps=8", "--output", "whole", "--resume") == 0
    # 0.003 * (1 - 3 / 4) ** 0.9, and 0.003 * (1 - 4 / 8) ** 0.9.
    told = "train.steps was 4 and is 8: the learning rate of step 4 was 0.000862, that of step 5 is 0.00161."
    assert told in " ".join(capsys.readouterr().out.split())


def test_a_finished_run_resumed_again_changes_nothing(here: Path) -> None:
    before = state()
    assert scenescope("train", "mine.yaml", "--output", "whole", "--resume") == 0
    assert {name: digest for name, digest in state().items() if not name.endswith(".png")} == {
        name: digest for name, digest in before.items() if not name.endswith(".png")
    }


def test_torn_lines_of_the_log_cost_themselves_only(here: Path) -> None:
    log = here / "run" / "log.jsonl"
    lines = log.read_text().splitlines()
    log.write_bytes("\n".join(['{"step": 1, "lo', "[]", *lines]).encode() + b"\n\xff\xfe\n7\n")
    assert scenescope(*resume()) == 0
    assert untimed("run") == untimed("whole")


def test_an_ablation_whose_data_changed_mixes_no_scores(here: Path) -> None:
    """A score of the old data stands in no table of the new."""
    (here / "grid.yaml").write_text(
        "title: t\nrecipe: mine.yaml\nseeds: [0]\nsettings: {train.steps: 1}\n"
        "rows:\n  - {name: one}\n  - {name: two, settings: {train.lr: 0.01}}\n"
    )
    assert scenescope("ablate", "grid.yaml", "--output", "grid", "--device", "cpu") == 0
    first = {entry.name for entry in (here / "grid" / "runs").iterdir()}
    relabel(here / "data")
    assert scenescope("ablate", "grid.yaml", "--output", "grid", "--device", "cpu") == 0
    second = {entry.name for entry in (here / "grid" / "runs").iterdir()} - first
    assert (len(first), len(second)) == (2, 2)
