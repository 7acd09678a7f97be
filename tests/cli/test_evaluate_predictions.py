"""``scenescope evaluate --predictions``: label files that anything has written."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.cli.test_evaluate import NAMES, data, model  # noqa: F401


@pytest.fixture
def run(scenescope):
    return lambda *arguments: scenescope("evaluate", *arguments)


@pytest.fixture
def predicted(scenescope, model, data, tmp_path):  # noqa: F811
    """The output of predict, with the number format that evaluate has as well."""
    place = tmp_path / "predicted"
    command = ("predict", data / "images" / "val", "--model", model, "--output", place, "--precision", "float32")
    assert scenescope(*command).exit_code == 0
    return place


def test_the_output_of_predict_scores_exactly_as_its_model(run, model, data, predicted, tmp_path):  # noqa: F811
    of_model = run(f"folder:{data}", "--model", model, "--output", tmp_path / "a", "--boundary", "--device", "cpu")
    of_files = run(f"folder:{data}", "--predictions", predicted, "--output", tmp_path / "b", "--boundary")
    assert (of_files.exit_code, of_files.errors) == (0, "")
    assert of_files.output == of_model.output
    first, second = (json.loads((tmp_path / place / "scores.json").read_text()) for place in "ab")
    for part in ("scores", "intervals", "boundary", "per_image", "classes", "data"):
        assert first[part] == second[part], part
    assert second["predictions"] == str(predicted)
    assert "model" not in second
    for table in ("per_image.csv", "confusion.csv", "confusion.png"):
        assert (tmp_path / "a" / table).read_bytes() == (tmp_path / "b" / table).read_bytes()


def test_a_model_is_neither_loaded_nor_looked_for(run, data, predicted, monkeypatch):  # noqa: F811
    monkeypatch.setattr("scenescope.inference.segmenter.Segmenter.load", lambda *_, **__: pytest.fail("loaded"))
    assert run(f"folder:{data}", "--predictions", predicted).exit_code == 0


def test_names_of_other_tools_and_a_report(run, data, predicted, tmp_path):  # noqa: F811
    plain = tmp_path / "plain"
    plain.mkdir()
    for number in range(3):
        shutil.copy(predicted / f"{number}_labels.png", plain / f"{number}.png")
    shutil.copy(plain / "0.png", plain / "other.png")
    result = run(f"folder:{data}", "--predictions", plain, "--report", tmp_path / "report")
    assert result.exit_code == 0, result.errors
    assert result.errors == (
        f"note: 1 images in {plain} belong to no image of the split and are not scored: other.png.\n"
    )
    page = (tmp_path / "report" / "report.html").read_text()
    assert f"Predictions: {plain}." in page
    assert "The worst image" in page


def test_raw_values_as_in_the_masks_are_said_or_noticed(run, data, predicted, tmp_path):  # noqa: F811
    """The same masks with road 1, sky 2 and the last 0: predictions with these are a bad model as train ids."""
    moved, raw = shutil.copytree(data, tmp_path / "moved"), tmp_path / "raw"
    (moved / "classes.yaml").write_text(f"names: {json.dumps(NAMES)}\nvalues: [1, 2, 0]\nignore: 255\n")
    lookup = np.array([1, 2, 0, *[255] * 253], np.uint8)
    raw.mkdir()
    for path in (moved / "masks" / "val").iterdir():
        mask = lookup[np.asarray(Image.open(path))]
        Image.fromarray(mask).save(path)
        Image.fromarray(np.where(mask == 255, 1, mask).astype(np.uint8)).save(raw / path.name)
    said = run(f"folder:{moved}", "--predictions", raw, "--predictions-as", "masks")
    assert re.search(r"mean IoU +1\.0000", said.output), said.output + said.errors
    silent = run(f"folder:{moved}", "--predictions", raw)
    assert silent.exit_code == 0
    assert "files would have a mean IoU of 1.0000; if they hold those, add --predictions-as masks" in silent.errors
    assert run(f"folder:{data}", "--predictions", predicted).errors == ""


def test_all_that_is_wrong_is_named_and_nothing_scored_or_left(run, data, predicted, tmp_path):  # noqa: F811
    (predicted / "0_labels.png").unlink()
    Image.new("L", (5, 4)).save(predicted / "2_labels.png")
    result = run(f"folder:{data}", "--predictions", predicted, "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "1 of 3 images have no prediction (0)" in result.errors
    assert "2_labels.png: 5 x 4, not 30 x 40" in result.errors
    assert len(result.errors.splitlines()) == 1
    assert result.output == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model", "x"], "leave out --model"),
        (["--flip"], "leave out the options of the test"),
        (["--protocol", "mmseg"], "leave out the options of the test"),
        (["--attention"], "leave out --attention"),
        (["--batch-size", "2"], "leave out --batch-size"),
        (["--device", "cpu"], "leave out --device"),
        (["--precision", "bfloat16"], "leave out --precision"),
        (["--predictions", ""], "--predictions is empty"),
        (["--predictions", "nowhere"], "nowhere does not exist"),
        (["--predictions-as", "colors"], "predictions-as"),
    ],
)
def test_what_no_file_needs_is_refused(run, data, predicted, options, told):  # noqa: F811
    result = run(f"folder:{data}", "--predictions", predicted, *options)
    assert result.exit_code == 2
    assert told in result.errors
    assert len(result.errors.splitlines()) == 1


def test_raw_values_of_generated_scenes_are_refused(run, predicted):
    result = run("scenes:", "--predictions", predicted, "--predictions-as", "masks")
    assert (result.exit_code, "have no masks" in result.errors) == (2, True)


def test_predictions_as_without_predictions_is_refused(run, data, model):  # noqa: F811
    result = run(f"folder:{data}", "--model", model, "--predictions-as", "masks")
    assert result.exit_code == 2
    assert "--predictions-as says what --predictions hold" in result.errors
