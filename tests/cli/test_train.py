"""scenescope train from the command line: a run, its resume, a dry run, and what is refused."""

import errno
import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from scenescope.checkpoints.model_directory import read_tensors
from scenescope.cli.main import app, main
from scenescope.data.loading import Batch
from scenescope.files import damaged_file, sha256
from scenescope.lab.scenes import ScenesDataset
from scenescope.training import checkpoint
from scenescope.training.loop import TrainingResult
from scenescope.training.step import Stepper
from scenescope.training.validation import Validation
from scenescope.workflows import train as workflow

runner = CliRunner()

QUICK = [
    "folder/danet-lite0",
    "data.root=few",
    "model.backbone=resnet10t",
    "model.pretrained=false",
    "model.output_stride=32",
    "augment.crop=[64,96]",
    "train.steps=4",
    "train.batch_size=2",
    "train.warmup_steps=0",
    "train.validate_every=100",
    "train.checkpoint_every=2",
    "train.log_every=1",
    "train.num_workers=0",
    "train.precision=float32",
]


@pytest.fixture(scope="module", autouse=True)
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Work in a folder that holds ``few``: four generated scenes to train on and two to score, as files."""
    directory = tmp_path_factory.mktemp("work")
    for split, count in (("train", 4), ("val", 2)):
        scenes = ScenesDataset("", split)
        for kind in ("images", "masks"):
            (directory / "few" / kind / split).mkdir(parents=True)
        for index in range(count):
            scene = scenes[index]
            Image.fromarray(scene.image).save(directory / "few" / "images" / split / f"{scene.name}.png")
            Image.fromarray(scene.labels).save(directory / "few" / "masks" / split / f"{scene.name}.png")
    (directory / "few" / "classes.yaml").write_text(f"names: [{', '.join(scenes.classes.names)}]\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "first"
    result = runner.invoke(app, ["train", *QUICK, "--output", str(directory), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    return directory


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Run the command as a shell does, check exit code 2 and one line, and return the line."""
    monkeypatch.setattr("sys.argv", ["scenescope", "train", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_run_leaves_recipe_log_curves_and_models(run: Path) -> None:
    assert sorted(entry.name for entry in run.iterdir()) == [
        ".run", "best", "checkpoints", "curves.png", "last", "log.jsonl", "recipe.yaml",
    ]  # fmt: skip
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    assert recipe["train"]["steps"] == 4
    assert recipe["model"]["backbone"] == "resnet10t"
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]


def test_resume_with_more_steps_goes_on_and_a_changed_recipe_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    line = refused(capsys, monkeypatch, *QUICK, "--output", str(copy))
    assert "holds a training already; go on with it by --resume" in line
    line = refused(
        capsys,
        monkeypatch,
        *QUICK,
        "train.lr=0.1",
        "loss.ohem_fraction=0.5",
        "--output",
        str(copy),
        "--resume",
    )
    assert "The recipe has changed" in line
    assert "in loss.ohem_fraction, train.lr;" in line
    before = sha256(copy / "checkpoints" / "step-00000004" / "tensors.safetensors")
    result = runner.invoke(
        app, ["train", *QUICK, "train.steps=5", "train.num_workers=1", "--output", str(copy), "--resume"]
    )
    assert result.exit_code == 0, result.output
    assert sorted(entry.name for entry in (copy / "checkpoints").iterdir()) == ["step-00000004", "step-00000005"]
    assert sha256(copy / "checkpoints" / "step-00000004" / "tensors.safetensors") == before


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Path("few").resolve()
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["train", *QUICK, f"data.root={few}", "--dry-run"])
    assert result.exit_code == 0, result.output
    recipe, _, rest = result.output.partition("Data:")
    assert yaml.safe_load(recipe)["train"]["steps"] == 4
    assert "4 scenes to train on, 2 to score, 8 classes" in rest
    assert "4 of 2 scenes" in rest
    assert re.search(r"Memory: at least \d+ MiB", rest)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scenes/danet-dema"], "There is no recipe 'scenes/danet-dema'"),
        (["scenes/danet-demo", "train.stepz=3"], "Did you mean 'train.steps'"),
        (["scenes/danet-demo", "train.steps=many"], "train.steps"),
        (["scenes/danet-demo", "data.kind=camvid", "data.root=nowhere"], "nowhere"),
        (["scenes/danet-demo", "model.name=fnc"], "Did you mean 'fcn'"),
        (["scenes/danet-demo", "model.options={channel_from: paper}"], "Did you mean 'model.options.channel_form'"),
        (["scenes/danet-demo", "loss.class_weights=[1,2]"], "loss.class_weights has 2 numbers and the data 8"),
        (
            ["scenes/danet-demo", "model.options={dropout: 7}"],
            "model.options.dropout is 7, but it should be less than",
        ),
        (["scenes/danet-demo", "model.options={backbone: resnet18}"], "set model.backbone in its place"),
        (["scenes/danet-demo", "train.grad_accum_steps=3"], "train.batch_size=8 cannot be shared"),
        (["scenes/danet-demo", "loss.weights={positions: 1}"], "loss.weights.positions is given"),
        (["scenes/danet-demo", "train.init_from=./missing"], "There is no model at missing"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for ending in (["--dry-run"], ["--output", "out"]):
        line = refused(capsys, monkeypatch, *arguments, *ending)
        assert message in line
        assert list(tmp_path.iterdir()) == []


def test_a_run_that_failed_before_its_first_checkpoint_is_not_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = shutil.copytree("few", tmp_path / "broken")
    Image.new("L", (192, 128), 77).save(next((broken / "masks" / "train").iterdir()))
    output = tmp_path / "run"
    line = refused(
        capsys, monkeypatch, *QUICK, "train.batch_size=4", f"data.root={broken}", "loss.class_weights=none",
        "--output", str(output),
    )  # fmt: skip
    assert "77" in line
    assert not output.exists()


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take = Stepper.take

    def interrupted(stepper: Stepper, parts: list[Batch], normalizer: torch.Tensor, step: int, lr: float) -> None:
        take(stepper, parts, normalizer, step, lr)
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Stepper, "take", interrupted)
    result = runner.invoke(app, ["train", *QUICK, "--output", str(tmp_path / "run")])
    assert result.exit_code == 130
    assert "Interrupted and saved after step 2" in result.output
    assert f"--output {tmp_path / 'run'} --resume" in result.output
    resumed = runner.invoke(app, ["train", *QUICK, "--output", str(tmp_path / "run"), "--resume"])
    assert resumed.exit_code == 0, resumed.output
    assert sorted(entry.name for entry in (tmp_path / "run" / "checkpoints").iterdir())[-1] == "step-00000004"


def test_a_full_disk_ends_in_one_line_and_keeps_the_last_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoint.write_tensors

    def full_at_the_second(state: dict[str, torch.Tensor], path: Path) -> None:
        if (tmp_path / "run" / "checkpoints" / "step-00000002").exists():
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(state, path)

    monkeypatch.setattr(checkpoint, "write_tensors", full_at_the_second)
    line = refused(capsys, monkeypatch, *QUICK, "--output", str(tmp_path / "run"))
    assert re.search(r"Cannot write .*step-00000004 \([0-9,]+ bytes needed\): No space left on device; free some", line)
    assert [entry.name for entry in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    assert damaged_file(tmp_path / "run" / "checkpoints" / "step-00000002") is None


@pytest.mark.parametrize("tensorboard", ["false", "true"])
def test_a_run_that_failed_in_its_first_checkpoint_is_not_in_the_way(
    tensorboard: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(state: dict[str, torch.Tensor], path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_tensors", full)
        settings = [*QUICK, f"train.tensorboard={tensorboard}", "--output", str(tmp_path / "run")]
        assert "No space left on device" in refused(capsys, monkeypatch, *settings)
    assert not (tmp_path / "run").exists()
    result = runner.invoke(app, ["train", *settings])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "tensorboard").exists() == (tensorboard == "true")


def test_a_run_that_ended_in_its_first_validation_goes_on_from_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_at_once(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    settings = [*QUICK, "train.validate_every=1", "--output", str(tmp_path / "run")]
    with monkeypatch.context() as patch:
        patch.setattr(Validation, "count", end_at_once)
        assert runner.invoke(app, ["train", *settings]).exit_code == 130
    assert sorted(entry.name for entry in (tmp_path / "run").iterdir()) == [
        ".run", "checkpoints", "log.jsonl", "recipe.yaml",
    ]  # fmt: skip
    assert "holds a training already; go on with it by --resume" in refused(capsys, monkeypatch, *settings)
    result = runner.invoke(app, ["train", *settings, "--resume"])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [(row["step"], "loss" in row) for row in rows] == [
        (step, trained) for step in (1, 2, 3, 4) for trained in (True, False)
    ]


@pytest.mark.parametrize(
    "setting", ["loss.dice=-1", "loss.lovasz=much", "augment.rare_class_share=2", "augment.max_class_share=0"]
)
def test_losses_and_crops_out_of_range_are_one_line(
    setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = refused(capsys, monkeypatch, *QUICK, setting, "--output", str(tmp_path / "run"))
    assert setting.partition("=")[0] in line
    assert not (tmp_path / "run").exists()


def test_fewer_steps_than_done_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    line = refused(capsys, monkeypatch, *QUICK, "train.steps=3", "--output", str(copy), "--resume")
    assert f"{copy} has done 4 steps, more than train.steps=3" in line
    assert yaml.safe_load((copy / "recipe.yaml").read_text())["train"]["steps"] == 4


def test_a_setting_younger_than_the_run_does_not_stop_its_resume(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    newest = copy / "checkpoints" / "step-00000004"
    state = json.loads((newest / "state.json").read_text())
    for section, name in (("train", "grad_clip_norm"), ("loss", "dice"), ("augment", "rare_class_share")):
        del state["recipe"][section][name]
    before = sha256(newest / "state.json")
    (newest / "state.json").write_text(json.dumps(state))
    sums = (newest / "SHA256SUMS").read_text()
    (newest / "SHA256SUMS").write_text(sums.replace(before, sha256(newest / "state.json")))
    result = runner.invoke(app, ["train", *QUICK, "train.steps=5", "--output", str(copy), "--resume"])
    assert result.exit_code == 0, result.output


def test_a_folder_of_other_files_is_no_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(Path("few/images/val").iterdir())
    for resume in ([], ["--resume"]):
        line = refused(capsys, monkeypatch, *QUICK, "--output", "few/images/val", *resume)
        assert "few/images/val holds other files than those of a training (val-000.png); choose a new --output" in line
    assert sorted(Path("few/images/val").iterdir()) == before


@pytest.mark.parametrize("workers", [0, 1])
def test_more_memory_than_there_is_is_one_line(
    workers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*QUICK, "augment.crop=[20000000,20000000]", f"train.num_workers={workers}"]
    line = refused(capsys, monkeypatch, *settings, "--output", str(tmp_path / "run"))
    assert "An image needs more memory than there is to read it" in line
    assert not (tmp_path / "run").exists()


def test_several_processes_are_told_to_start_by_the_same_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> TrainingResult:
        monkeypatch.setenv("WORLD_SIZE", "2")
        return TrainingResult(step=3, signal=signal.SIGTERM)

    monkeypatch.setattr(workflow, "run_training", interrupted)
    result = runner.invoke(app, ["train", *QUICK, "--output", str(tmp_path / "run")])
    assert result.exit_code == 143
    assert "by the same launcher with 2 processes: scenescope train" in result.output


def test_an_output_that_is_a_file_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_text("in the way")
    line = refused(capsys, monkeypatch, *QUICK, "--output", str(tmp_path / "out"))
    assert "in the way; move it or choose another --output" in line


def test_fine_tuning_names_the_classes_that_are_new(run: Path, tmp_path: Path) -> None:
    """The weights stay where they are put, as the rate is next to nothing; pretrained weights are not asked for."""
    two_classes = shutil.copytree("few", tmp_path / "two")
    (two_classes / "classes.yaml").write_text("names: [ground, rest]\nvalues: [[0, 1], [2, 3, 4, 5, 6, 7]]\n")
    settings = [*QUICK, "train.steps=1", "train.lr=1e-12", "train.ema_decay=null",
                "model.pretrained=true", f"train.init_from={run / 'last'}"]  # fmt: skip
    for root, others in (("few", False), (str(two_classes), True)):
        output = tmp_path / f"tuned-{others}"
        result = runner.invoke(app, ["train", *settings, f"data.root={root}", "--output", str(output)])
        assert result.exit_code == 0, result.output
        told = " ".join(result.output.split())
        assert ("0 of its 8 classes taken by name; new: ground, rest." in told) == others
        source, tuned = (read_tensors(place / "last" / "model.safetensors") for place in (run, output))
        for key in ("backbone.stages.conv1.0.weight", "head.position.query.weight"):
            torch.testing.assert_close(tuned[key], source[key], atol=1e-6, rtol=0)
        assert tuned["head.classifier.1.weight"].shape[0] == (2 if others else 8)
