import json

import numpy as np
import pytest
from PIL import Image

NAMES = ["road", "car", "never [trained]"]


@pytest.fixture
def data(tmp_path):
    """Return a folder with two scenes to train on and one to score; the third class is absent from the former."""
    root = tmp_path / "data"
    generator = np.random.default_rng(0)
    for split, count in (("train", 2), ("val", 1)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            image = generator.integers(0, 256, (8, 6 + number, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / "images" / split / f"{number}.png")
            mask = np.zeros((8, 6 + number), np.uint8)
            mask[0], mask[1] = 1, 2 if split == "val" else 0
            Image.fromarray(mask).save(root / "masks" / split / f"{number}.png")
    (root / "classes.yaml").write_text(f"names: {json.dumps(NAMES)}\n")
    return root


@pytest.fixture
def run(scenescope):
    return lambda *arguments: scenescope("check", *arguments)


def test_a_fit_data_set_is_told_written_and_drawn(run, data, tmp_path):
    result = run(f"folder:{data}", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.errors == ""
    assert "6 x 8 to 7 x 8" in result.output
    assert "note: train: 1 of 3 classes absent, which cannot be learned: never [trained]." in result.output
    # The shares are 91 and 13 of 104 pixels: the weight of the rare one is 1, of the other (13 / 91) ** 0.5.
    assert "for `loss` in a recipe:\n  class_weights: [0.378, 1, 0]\n" in result.output
    assert result.output.endswith("Fit to train on.\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["check.json", "train.png", "val.png"]
    stored = json.loads((tmp_path / "out" / "check.json").read_text())
    assert (stored["data"], stored["fit"], stored["class_weights"]) == (f"folder:{data}", True, [0.378, 1.0, 0.0])
    assert [split["scenes"] for split in stored["splits"]] == [2, 1]


def test_the_class_weights_can_be_pasted_into_a_recipe(run, scenescope, data):
    line = next(line for line in run(f"folder:{data}").output.splitlines() if "class_weights: " in line)
    weights = line.strip().replace(": ", "=").replace(" ", "")
    settings = [f"data.root={data}", "model.pretrained=false", f"loss.{weights}"]
    planned = scenescope("train", "folder/danet-lite0", *settings, "--dry-run")
    assert planned.exit_code == 0, planned.errors
    assert "class_weights: [0.378, 1.0, 0.0]" in planned.output


def test_faults_are_listed_with_exit_code_2(run, data, tmp_path):
    for number in range(2):
        Image.fromarray(np.full((8, 6 + number), 255, np.uint8)).save(data / "masks" / "train" / f"{number}.png")
    (data / "images" / "val" / "0.png").write_bytes(b"")
    result = run(f"folder:{data}", "--output", tmp_path / "out", "--num-workers", "1")
    assert result.exit_code == 2
    assert "fault: train: unknown label, 2 of 2 scenes:\n  " in result.output
    assert "fault: val: image unreadable, 1 of 1 scenes:\n  Cannot read" in result.output
    assert "Proposal for classes.yaml of a folder: data set, to be judged: The masks" in result.output
    assert "class_weights: " not in result.output
    assert result.output.endswith("Not fit to train on; see the faults above.\n")
    assert json.loads((tmp_path / "out" / "check.json").read_text())["fit"] is False


def test_a_data_set_that_does_not_open_is_one_line_of_the_report(run, data):
    (data / "masks" / "val" / "0.png").unlink()
    result = run(f"folder:{data}", "--split", "val")
    assert result.exit_code == 2
    first, last = result.output.splitlines()
    assert first.startswith(f"fault: {data}/images/val/0.png has no mask in")
    assert last == "Not fit to train on; see the faults above."


def test_an_image_of_two_splits_is_a_warning(run, data):
    (data / "images" / "val" / "0.png").write_bytes((data / "images" / "train" / "0.png").read_bytes())
    result = run(f"folder:{data}")
    assert result.exit_code == 0
    assert "identical images in two splits: 1 (0 of train is 0 of val)" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["DATA"], "write folder:"),
        (["foldr:DATA"], "Did you mean 'folder'"),
        (["folder:DATA", "--output", "TAKEN/out"], "in the way"),
        (["folder:DATA", "--output", ""], "--output is empty"),
        (["folder:DATA", "--num-workers", "-1"], "workers"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, data, tmp_path, arguments, message):
    (tmp_path / "taken").write_text("in the way")
    result = run(*(part.replace("DATA", str(data)).replace("TAKEN", str(tmp_path / "taken")) for part in arguments))
    assert result.exit_code == 2
    assert message in result.errors
    assert len(result.errors.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "taken"]
