"""Folders as people predict them: again, resumed, by another model, beside their own files and what telephones add."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.checkpoints.model_directory import save_model
from scenescope.export import export_onnx
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

NAMES = ["road", "sky", "car"]


def make_model(place: Path, seed: int, **options: object) -> Path:
    """Save a small network whose answers depend on the image, and much on the seed."""
    torch.manual_seed(seed)
    network = create_model("danet", backbone="test_resnet", num_classes=3, output_stride=16, **options)
    for name, weight in network.named_parameters():
        if "classifier" in name and weight.ndim > 1:
            torch.nn.init.normal_(weight)
    save_model(network, Classes.named(NAMES), place)
    return place


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("models")
    return make_model(place / "a", 0), make_model(place / "b", 1)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photograph(path: Path, seed: int, size: tuple[int, int] = (48, 64)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC).save(path)
    return path


def labels(path: Path) -> list[list[int]]:
    with Image.open(path) as image:
        found: list[list[int]] = np.asarray(image).tolist()
        return found


def expected(model: Path, image: Path) -> list[list[int]]:
    found: list[list[int]] = Segmenter.load(model, "cpu").predict(image).labels.tolist()
    return found


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_another_model_is_given_to_resume(scenescope, models, work):
    """Deepcell kiosk-console#458: old labels were taken for those of another model."""
    first, second = models
    image = photograph(work / "in" / "x.png", 0)
    assert expected(first, image) != expected(second, image)
    assert scenescope("predict", "in", "--model", first, "--output", "out").exit_code == 0
    assert scenescope("predict", "in", "--model", second, "--output", "out", "--resume").exit_code == 0
    assert labels(work / "out" / "x_labels.png") == expected(second, image)
    assert len(rows(work / "out")) == 1


def test_another_exported_file_is_given_to_resume(scenescope, models, work):
    """Deepcell kiosk-console#458, with weights that no ``state_dict`` holds."""
    pytest.importorskip("onnxruntime")
    image = photograph(work / "in" / "x.png", 0)
    for model in models:
        loaded = Segmenter.load(model, "cpu")
        (work / f"{model.name}.onnx").write_bytes(export_onnx(loaded))
    for name in ("a", "b"):
        assert scenescope("predict", "in", "--model", f"{name}.onnx", "--output", "out", "--resume").exit_code == 0
    assert labels(work / "out" / "x_labels.png") == expected(work / "b.onnx", image)


def test_the_same_weights_in_another_form_are_given_to_resume(scenescope, models, work):
    """Deepcell kiosk-console#458: align_corners and the form of channel attention are no weights."""
    image = photograph(work / "in" / "x.png", 0, (50, 70))
    other = work / "other"
    shutil.copytree(models[0], other)
    (other / "SHA256SUMS").unlink()
    config = json.loads((other / "config.json").read_text())
    config["model"] |= {"align_corners": not config["model"].get("align_corners", True), "channel_form": "paper"}
    (other / "config.json").write_text(json.dumps(config))
    for model in (models[0], other):
        assert scenescope("predict", "in", "--model", model, "--output", "out", "--resume").exit_code == 0
    assert labels(work / "out" / "x_labels.png") == expected(other, image)


def test_a_photograph_was_replaced_by_another_of_its_size_and_date(scenescope, models, work):
    """Deepcell kiosk-console#458: an image is what its file holds, not its name."""
    image = photograph(work / "in" / "x.bmp", 0)
    before, status = expected(models[0], image), image.stat()
    scenescope("predict", "in", "--model", models[0], "--output", "out")
    photograph(image, 1)
    assert image.stat().st_size == status.st_size
    assert scenescope("predict", "in", "--model", models[0], "--output", "out", "--resume").exit_code == 0
    found = labels(work / "out" / "x_labels.png")
    assert found == expected(models[0], image)
    assert found != before


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_the_next_day_has_files_of_the_same_names(scenescope, models, work, resume):
    """Deepcell kiosk-console#458: day1's labels stood under day2's name."""
    photograph(work / "day1" / "IMG_0001.png", 0)
    photograph(work / "day2" / "IMG_0001.png", 1)
    scenescope("predict", "day1", "--model", models[0], "--output", "out")
    before = {path: path.read_bytes() for path in (work / "out").iterdir()}
    result = scenescope("predict", "day2", "--model", models[0], "--output", "out", *resume)
    assert result.exit_code == 2
    assert "IMG_0001_labels.png tells of another image" in result.errors
    assert "choose another --output" in result.errors
    assert len(result.errors.splitlines()) == 1
    assert {path: path.read_bytes() for path in (work / "out").iterdir()} == before


def test_the_next_day_joins_the_summary_of_the_first(scenescope, models, work):
    photograph(work / "day1" / "a.png", 0)
    photograph(work / "day2" / "b.png", 1)
    for day in ("day1", "day2"):
        assert scenescope("predict", day, "--model", models[0], "--output", "out").exit_code == 0
    assert [row["image"] for row in rows(work / "out")] == ["day1/a.png", "day2/b.png"]


def test_a_second_output_lies_beside_the_first_among_the_photographs(scenescope, models, work):
    """Label maps and overlays of the first would be images for the second."""
    photograph(work / "in" / "a.png", 0)
    photograph(work / "in" / "sub" / "b.png", 1)
    for output in ("in/first", "in/second"):
        result = scenescope("predict", "in", "--model", models[0], "--output", output)
        assert "2 of 2 images predicted" in result.output


def test_a_folder_was_moved_and_goes_on(scenescope, models, work, monkeypatch):
    photograph(work / "in" / "x.png", 0)
    scenescope("predict", "in", "--model", models[0], "--output", "out")
    (work / "in").rename(work / "moved")
    monkeypatch.setattr(Segmenter, "predict", lambda *_, **__: pytest.fail("predicted again"))
    assert scenescope("predict", "moved", "--model", models[0], "--output", "out", "--resume").exit_code == 0
    assert rows(work / "out")[0]["image"] == "moved/x.png"


def test_another_model_was_stopped_half_way_and_is_resumed(scenescope, models, work, monkeypatch):
    """Deepcell kiosk-console#458: two of three images were the first model's."""
    images = [photograph(work / "in" / f"{number}.png", number) for number in range(3)]
    first, second = models
    scenescope("predict", "in", "--model", first, "--output", "out")
    predict, calls = Segmenter.predict, []

    def interrupted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return predict(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Segmenter, "predict", interrupted)
        assert scenescope("predict", "in", "--model", second, "--output", "out").exit_code == 130
    assert labels(work / "out" / "0_labels.png") == expected(second, images[0])
    assert labels(work / "out" / "1_labels.png") == expected(first, images[1])
    result = scenescope("predict", "in", "--model", second, "--output", "out", "--resume")
    assert "3 of 3 images predicted" in result.output
    for image in images:
        assert labels(work / "out" / f"{image.stem}_labels.png") == expected(second, image)
    assert len(rows(work / "out")) == 3


@pytest.mark.parametrize("name", ["a_labels.png", "a_overlay.png", "summary.csv"])
@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_mask_drawn_by_hand_lies_in_the_output(scenescope, models, work, name, resume):
    photograph(work / "in" / "a.png", 0)
    (work / name).write_bytes(b"mine")
    result = scenescope("predict", "in/a.png", "--model", models[0], "--output", ".", *resume)
    assert result.exit_code == 2
    assert name in result.errors
    assert "move it or choose another --output" in result.errors
    assert len(result.errors.splitlines()) == 1
    assert sorted(path.name for path in work.iterdir()) == sorted(["in", name])
    assert (work / name).read_bytes() == b"mine"


def test_labels_were_corrected_by_hand(scenescope, models, work):
    photograph(work / "in" / "a.png", 0)
    scenescope("predict", "in", "--model", models[0], "--output", "out")
    corrected = work / "out" / "a_labels.png"
    Image.new("L", (64, 48), 1).save(corrected)
    content = corrected.read_bytes()
    for resume in ([], ["--resume"]):
        result = scenescope("predict", "in", "--model", models[0], "--output", "out", *resume)
        assert result.exit_code == 2
        assert "a_labels.png is in the way" in result.errors
        assert corrected.read_bytes() == content


def test_what_an_older_prediction_wrote_besides_does_not_stay(scenescope, models, work):
    photograph(work / "in" / "a.png", 0)
    scenescope("predict", "in", "--model", models[0], "--output", "out", "--probabilities")
    scenescope("predict", "in", "--model", models[1], "--output", "out", "--no-overlay")
    written = sorted(path.name for path in (work / "out").iterdir() if not path.name.startswith("."))
    assert written == ["a_labels.png", "summary.csv"]


def test_a_folder_of_a_telephone_and_a_network_drive(scenescope, models, work):
    """Nerfstudio#2751, datasets#8537, vspw_dataset_download#3: what is not read is told, what is no image is not."""
    photograph(work / "in" / "a.jpg", 0)
    for name in ("._a.jpg", ".partial-x.png", ".ipynb_checkpoints/a-checkpoint.jpg", "@eaDir/thumb.jpg", "Thumbs.db"):
        (work / "in" / name).parent.mkdir(exist_ok=True)
        (work / "in" / name).write_bytes((work / "in" / "a.jpg").read_bytes())
    for name in ("a.heic", "c.HEIC", "d.jxl", "raw.CR2"):
        (work / "in" / name).write_bytes(b"\0\0\0\x1cftypheic" + bytes(40))
    result = scenescope("predict", "in", "--model", models[0], "--output", "out")
    assert result.exit_code == 1
    assert "1 of 5 images predicted" in result.output
    failed = [line.split()[3] for line in result.errors.splitlines()]
    assert failed == ["in/a.heic:", "in/c.HEIC:", "in/d.jxl:", "in/raw.CR2:"]
    assert result.errors.count("save it as JPEG or PNG") == 4
    assert (work / "out" / "a_labels.png").exists()  # and not a_jpg_labels.png, for the sake of a.heic


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        ("https://example.org/a.png", 2, "https://example.org/a.png is an address"),
        ("clip.mp4", 1, "clip.mp4: it is a video; .*scenescope video clip.mp4"),
    ],
)
def test_a_video_or_an_address_is_given(scenescope, models, work, given, code, told):
    """Unionml and sithu31296/semantic-segmentation#55 take them."""
    (work / "clip.mp4").write_bytes(b"\0\0\0\x1cftypisom" + bytes(40))
    result = scenescope("predict", given, "--model", models[0], "--output", "out")
    assert result.exit_code == code
    assert re.search(told, result.errors)


def test_a_scan_has_several_pages(scenescope, models, work):
    """Geoai and others: of a TIFF or GIF of several pages, the first is used, and it is said."""
    pages = [Image.open(photograph(work / f"{number}.png", number)) for number in range(2)]
    (work / "in").mkdir()
    pages[0].save(work / "in" / "scan.tif", save_all=True, append_images=pages[1:])
    pages[0].save(work / "in" / "single.tif")
    result = scenescope("predict", "in", "--model", models[0], "--output", "out")
    assert result.exit_code == 0
    assert "note: in/scan.tif holds several pages" in result.errors
    assert "single" not in result.errors
    assert labels(work / "out" / "scan_labels.png") == labels(work / "out" / "single_labels.png")


def test_a_name_is_a_formula_or_steers_the_terminal(scenescope, work):
    torch.manual_seed(0)
    network = create_model("fcn", backbone="test_resnet", num_classes=2, output_stride=32)
    save_model(network, Classes.named(["=cmd|' /C calc'!A0", "\x1b[31msky"]), work / "model")
    photograph(work / "=1+1.png", 0)
    photograph(work / "@SUM(A1).png", 0)
    (work / "\x1b[31mred.png").write_bytes(b"no image")
    names = ["=1+1.png", "@SUM(A1).png", "\x1b[31mred.png"]
    result = scenescope("predict", *names, "--model", work / "model", "--output", "out")
    assert result.exit_code == 1
    assert "failed: Cannot read \\x1b[31mred.png" in result.errors
    assert "\x1b" not in result.output + result.errors
    with (work / "out" / "summary.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=1+1.png" in cells
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r"]


def test_the_weights_are_not_finite(scenescope, work):
    """Every pixel was of class 0, with exit code 0."""
    torch.manual_seed(0)
    network = create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=32)
    with torch.no_grad():
        network.head.classifier[-1].weight[1, 0] = torch.nan
    save_model(network, Classes.named(NAMES), work / "model")
    photograph(work / "data" / "images" / "val" / "a.png", 0)
    (work / "data" / "masks" / "val").mkdir(parents=True)
    Image.new("L", (64, 48)).save(work / "data" / "masks" / "val" / "a.png")
    (work / "data" / "classes.yaml").write_text(f"names: {json.dumps(NAMES)}\n")
    for options in ([], ["--window", "32"], ["--flip"], ["--probabilities"]):
        result = scenescope("predict", "data/images", "--model", work / "model", "--output", "out", *options)
        assert result.exit_code == 1
        assert "data/images/val/a.png: The network's answer is not a number everywhere" in result.errors
        assert not list((work / "out").rglob("*_labels.png"))
    for command in (["evaluate", "folder:data"], ["attend", "data/images/val/a.png", "--output", "looks"]):
        result = scenescope(*command, "--model", work / "model")
        assert result.exit_code == 2
        assert "The network's answer is not a number everywhere" in result.errors
        assert len(result.errors.splitlines()) == 1


def test_the_report_cannot_be_written(scenescope, models, work, monkeypatch):
    """That was found after hours, and the scores were lost with it."""
    photograph(work / "data" / "images" / "val" / "a.png", 0)
    (work / "data" / "masks" / "val").mkdir(parents=True)
    Image.new("L", (64, 48)).save(work / "data" / "masks" / "val" / "a.png")
    (work / "data" / "classes.yaml").write_text(f"names: {json.dumps(NAMES)}\n")
    (work / "file").write_text("mine")
    for option in ("--report", "--output"):
        with monkeypatch.context() as patch:
            patch.setattr("scenescope.evaluation.evaluator.evaluate", lambda *_, **__: pytest.fail("evaluated"))
            result = scenescope("evaluate", "folder:data", "--model", models[0], option, "file/below")
        assert result.exit_code == 2
        assert "Cannot write file" in result.errors

    def full(*_, **__):
        raise OSError(28, "No space left on device", "report")

    monkeypatch.setattr("scenescope.workflows.evaluation_report.write_evaluation_report", full)
    result = scenescope("evaluate", "folder:data", "--model", models[0], "--report", "report")
    assert result.exit_code == 2
    assert "mean IoU" in result.output
