import re

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.checkpoints.model_directory import save_model
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

CLASSES = Classes.named(["road", "sky", "car"])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return a folder with a danet and an fcn."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("models")
    for name in ("danet", "fcn"):
        network = create_model(name, backbone="test_resnet", num_classes=3, output_stride=16)
        if name == "danet":
            torch.nn.init.normal_(network.head.position.query.weight, std=5.0)
        save_model(network, CLASSES, place / name)
    return place


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)).save(path, quality=95)
    return path


@pytest.fixture
def run(scenescope):
    return lambda *arguments: scenescope("attend", *arguments)


def test_a_map_for_every_point_a_figure_and_what_the_points_are(run, models, photo, tmp_path):
    out = tmp_path / "out"
    points = ["--point", "10,20", "--point", "80,50", "--point", "10,20"]
    result = run(photo, "--model", models / "danet", *points, "--output", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == [
        "photo_attention_10_20.png",
        "photo_attention_80_50.png",
        "photo_figure.png",
    ]
    prediction = Segmenter.load(models / "danet", "cpu").predict(photo, probabilities=True)
    for x, y in ((10, 20), (80, 50)):
        label = prediction.labels[y, x]
        expected = f"{x},{y}: {CLASSES.names[label]}, probability {prediction.probabilities[label, y, x]:.2f}"
        assert result.output.count(expected) == 1
    first, second = (np.asarray(Image.open(out / f"photo_attention_{at}.png")) for at in ("10_20", "80_50"))
    assert first.shape == (60, 90, 3)
    assert (first[20, 10] == 255).all()  # the point is marked
    assert (first != second).any()
    with Image.open(out / "photo_figure.png") as figure:
        assert figure.width > 4 * 360  # image, two maps and prediction, each 360 x 240


def test_points_are_those_of_the_picture_as_displayed(run, models, photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(photo) as picture:
        picture.save(tmp_path / "turned.png", exif=exif)
    inside = run(tmp_path / "turned.png", "--model", models / "danet", "--point", "59,89", "--output", tmp_path / "out")
    assert inside.exit_code == 0, inside.output
    outside = run(tmp_path / "turned.png", "--model", models / "danet", "--point", "89,59", "--output", tmp_path / "o")
    assert outside.exit_code == 2


@pytest.mark.parametrize(
    ("model", "point", "message"),
    [
        ("danet", "90,0", r"Point 90,0 lies outside .* x may be 0 to 89 and y 0 to 59"),
        ("danet", "-1,5", r"Point -1,5 lies outside"),
        ("danet", "5", r"--point '5' is not a pixel; write two whole numbers"),
        ("danet", "1.5,2", r"--point '1.5,2' is not a pixel"),
        ("danet", "1,2,3", r"--point '1,2,3' is not a pixel"),
        ("fcn", "5,5", r"fcn has no position attention .* danet"),
        ("missing", "5,5", r"no model at"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(run, models, photo, tmp_path, model, point, message):
    result = run(photo, "--model", models / model, f"--point={point}", "--output", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert re.search(message, result.errors), result.errors
    assert len(result.errors.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_outputs_place_is_named(run, models, photo, tmp_path):
    (tmp_path / "out").write_text("mine")
    result = run(photo, "--model", models / "danet", "--point", "5,5", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "in the way" in result.errors
    assert (tmp_path / "out").read_text() == "mine"
