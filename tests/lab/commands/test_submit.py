import io
import re
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.checkpoints.model_directory import save_model
from scenescope.data import ade20k, cityscapes, voc2012
from scenescope.data.cityscapes import ORIGINAL_IDS
from scenescope.inference import segmenter as segmenter_module
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

CLASSES = {"cityscapes": cityscapes.CLASSES, "voc": voc2012.CLASSES, "ade20k": ade20k.CLASSES}


def save(classes, directory):
    torch.manual_seed(0)
    network = create_model("fcn", backbone="test_resnet", num_classes=len(classes), output_stride=16)
    torch.nn.init.normal_(network.head.classifier[-1].weight)
    save_model(network, classes, directory)
    return directory


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {name: save(classes, tmp_path_factory.mktemp(name)) for name, classes in CLASSES.items()}


@pytest.fixture
def root(tmp_path):
    """Return a folder with the test split of Cityscapes, three small images."""
    generator = np.random.default_rng(0)
    for number in range(3):
        path = tmp_path / f"data/leftImg8bit/test/bonn/bonn_00000{number}_000019_leftImg8bit.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (24, 40, 3), np.uint8)).save(path)
    return tmp_path / "data"


@pytest.fixture
def run(scenescope):
    return lambda *arguments: scenescope("submit", *arguments)


def images(archive):
    with zipfile.ZipFile(archive) as file:
        return {name: np.asarray(Image.open(io.BytesIO(file.read(name)))) for name in file.namelist()}


def test_the_archive_holds_what_the_model_says_under_the_settings_given(run, models, root, tmp_path):
    out = tmp_path / "new" / "out.zip"
    result = run("cityscapes", root, out, "--model", models["cityscapes"], "--window", "24", "--flip")
    assert result.exit_code == 0, result.errors
    assert result.output.splitlines() == [
        "note: Split 'test' has 3 images here, not the published 1,525: the server asks for all of them.",
        "note: bonn_000000_000019 is 40 x 24 pixels, not 2048 x 1024 as the server asks for (3 such images).",
        f"{out} holds 3 predictions as the server of cityscapes takes them.",
    ]
    segmenter = Segmenter.load(models["cityscapes"], "cpu", settings=InferenceSettings(window=24, flip=True))
    found = images(out)
    assert len(found) == 3
    for number in range(3):
        name = f"bonn_00000{number}_000019"
        labels = segmenter.predict(root / f"leftImg8bit/test/bonn/{name}_leftImg8bit.png").labels
        np.testing.assert_array_equal(found[f"{name}_labelIds.png"], np.array(ORIGINAL_IDS)[labels])


@pytest.mark.parametrize(
    ("name", "part", "number", "options"),
    [("cityscapes", "samples/cityscapes", 1, []), ("ade20k", "samples/ade20k", 3, ["--scales", "0.25"])],
)
def test_real_images_are_rehearsed_on_val(run, models, real_data, tmp_path, name, part, number, options):
    arguments = [name, real_data(part), tmp_path / "out.zip", "--split", "val"]
    result = run(*arguments, "--model", models[name], *options)
    assert result.exit_code == 0, result.errors
    assert f"holds {number} predictions as the server of {name}" in result.output
    assert run(*arguments, "--validate").output == result.output


def test_the_competition_of_voc_is_a_choice(run, models, real_data, tmp_path):
    folder = tmp_path / "VOC2012"
    (folder / "JPEGImages").mkdir(parents=True)
    (folder / "ImageSets/Segmentation").mkdir(parents=True)
    (folder / "ImageSets/Segmentation/test.txt").write_text("2007_000032\n")
    real = real_data("voc2012") / "VOCdevkit/VOC2012/JPEGImages/2007_000032.jpg"
    shutil.copy(real, folder / "JPEGImages")
    arguments = ["voc", folder, tmp_path / "out.zip", "--competition", "comp5"]
    result = run(*arguments, "--model", models["voc"])
    assert result.exit_code == 0, result.errors
    assert result.output.endswith("The server takes tar archives: unzip it, and tar -czf results.tgz results.\n")
    (path,) = images(tmp_path / "out.zip")
    assert path == "results/VOC2012/Segmentation/comp5_test_cls/2007_000032.png"
    assert run(*arguments, "--validate").exit_code == 0
    assert run(*arguments[:-1], "comp6", "--validate").exit_code == 2


def test_faults_are_listed_with_exit_code_2(run, root, tmp_path):
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.txt", b"")
    result = run("cityscapes", root, tmp_path / "out.zip", "--validate")
    assert result.exit_code == 2
    assert "fault: no prediction (3):\n  bonn_000000_000019\n" in result.output
    assert "fault: not a prediction of the split (4):\n  0.txt\n  1.txt\n  2.txt\n  and 1 more\n" in result.output
    assert result.output.endswith("out.zip is not fit for the server; see the faults above.\n")


def test_a_model_whose_classes_have_other_names_is_refused(run, root, tmp_path):
    names = ["sidewalk", "road", *cityscapes.CLASSES.names[2:]]
    model = save(Classes.named(names), tmp_path / "swapped")
    result = run("cityscapes", root, tmp_path / "out.zip", "--model", model)
    assert result.exit_code == 2
    assert "by number alone, and class 0 is 'sidewalk' in the model and 'road' in the data; check" in result.errors
    assert not (tmp_path / "out.zip").exists()


def test_an_interruption_leaves_nothing(run, models, root, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(segmenter_module, "predict_labels", interrupted)
    result = run("cityscapes", root, tmp_path / "new" / "out.zip", "--model", models["cityscapes"])
    assert result.exit_code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kitti", "DATA", "OUT", "--validate"], "kitti"),
        (["cityscapes", "DATA", "OUT"], "No --model to predict with; give one, or --validate"),
        (["cityscapes", "DATA", "OUT", "--model", "MODEL", "--validate"], "needs no --model; leave out one"),
        (["cityscapes", "DATA", "OUT", "--validate", "--competition", "comp5"], "is for voc; cityscapes has no comp"),
        (["cityscapes", "DATA", "OUT", "--model", "MODEL", "--split", "val"], "No split 'val' of Cityscapes"),
        (["cityscapes", "DATA", "OUT", "--model", "MODEL", "--stride", "5"], "stride=5 has no window"),
        (["cityscapes", "DATA", "OUT", "--model", "VOC"], "The model has 21 classes and the data set .* has 19"),
        (["cityscapes", "DATA", "OUT", "--validate"], "Cannot read .*out.zip: No such file"),
        (["cityscapes", "DATA", "DATA", "--model", "MODEL"], "is not the name of an archive"),
        (["cityscapes", "DATA", "TAKEN/out.zip", "--model", "MODEL"], "in the way"),
        (["voc", "DATA", "OUT", "--validate"], "No VOC 2012 in"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, models, root, tmp_path, arguments, message):
    (tmp_path / "taken").write_text("in the way")
    places = {
        "DATA": root,
        "OUT": tmp_path / "out.zip",
        "TAKEN/out.zip": tmp_path / "taken" / "out.zip",
        "MODEL": models["cityscapes"],
        "VOC": models["voc"],
    }
    result = run(*(places.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert re.search(message, result.errors), result.errors
    assert len(result.errors.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "taken"]


def test_an_image_that_cannot_be_read_is_told_before_the_first_is_predicted(run, models, root, tmp_path, monkeypatch):
    monkeypatch.setattr(segmenter_module, "predict_labels", lambda *_: pytest.fail("predicted"))
    image = root / "leftImg8bit/test/bonn/bonn_000002_000019_leftImg8bit.png"
    image.write_bytes(image.read_bytes()[:1000])
    result = run("cityscapes", root, tmp_path / "out.zip", "--model", models["cityscapes"])
    assert result.exit_code == 2
    assert f"Cannot read {image}: the image is damaged or cut short" in result.errors
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
