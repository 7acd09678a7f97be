import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.checkpoints.model_directory import save_model
from scenescope.cli.attention_tables import print_class_cuts
from scenescope.cli.console import Console
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.workflows.class_cuts import ClassCuts

CLASSES = Classes.named(["road", "sky", "car"])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return a folder with a danet and an fcn."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("models")
    for name in ("danet", "fcn", "sanet"):
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
    assert sorted(path.name for path in out.glob("[!.]*")) == [
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
        assert figure.size[0] > 4 * 360  # four panels side by side


def test_points_are_those_of_the_image_as_displayed(run, models, photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(photo) as image:
        image.save(tmp_path / "turned.png", exif=exif)
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
        ("fcn", "5,5", r"fcn has no attention to look into; danet, sanet"),
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


def test_truth_rivals_channels_and_numbers(run, models, photo, tmp_path):
    mask = np.zeros((60, 90), np.uint8)
    mask[:, 40:], mask[0] = 2, 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    options = ["--truth", tmp_path / "mask.png", "--against", models / "fcn", "--channel", 3, "--received"]
    out = tmp_path / "out"
    asked = [photo, "--model", models / "danet", "--point", "10,20", "--arrays", "--format", "svg", "--output", out]
    result = run(*asked, *options)
    assert result.exit_code == 0, result.errors
    assert (out / "photo_figure.svg").read_text().count("<svg") == 1
    with np.load(out / "photo_arrays.npz") as arrays:
        assert arrays["position"].sum() == pytest.approx(1, abs=1e-5)
        assert list(arrays["channels"]) == [3]
        assert (arrays["truth"] == mask).all()
        rows, columns = arrays["position"].shape[1:]
        assert arrays["received"].shape == (1, rows, columns)
        assert arrays["between_classes"].shape == (3, 3)


def test_the_heads_of_sanet(run, models, photo, tmp_path):
    result = run(photo, "--model", models / "sanet", "--arrays", "--head", 2, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.errors
    with np.load(tmp_path / "out" / "photo_arrays.npz") as arrays:
        assert {"head2_distance", "head2_main_1", "head2_output_1"} <= set(arrays)
        assert "head1_distance" not in arrays


def test_scenes_of_a_data_set_bring_their_truth(run, scenes_model, tmp_path):
    result = run("scenes:", "--model", scenes_model, "--split", "test", "--arrays", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.errors
    drawn = sorted((tmp_path / "out").glob("*_arrays.npz"))
    assert len(drawn) == 3
    from scenescope.data.catalog import open_dataset

    dataset = open_dataset("scenes", "", "test")
    index = {dataset.name(number): number for number in range(len(dataset))}
    for path in drawn:
        with np.load(path) as arrays:
            assert (arrays["truth"] == dataset[index[path.name.removesuffix("_arrays.npz")]].labels).all()


@pytest.fixture(scope="module")
def scenes_model(tmp_path_factory):
    from scenescope.data.catalog import open_dataset

    classes = open_dataset("scenes", "", "test").classes
    place = tmp_path_factory.mktemp("scenes") / "model"
    save_model(
        create_model("danet", backbone="test_resnet", num_classes=len(classes), output_stride=32), classes, place
    )
    return place


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--channel", "999"], r"no channel 999; this network has the channels 0 to \d+"),
        (["--format", "gif"], r"--format 'gif' is not known.* Known: png, svg, pdf"),
        (["--truth", "TRUTH"], r"is 5 x 5 pixels, but its image .* is 90 x 60"),
        (["--scene", "a"], r"--scene names scenes of a data set"),
        (["--against", "nowhere/model"], r"no model at nowhere/model"),
    ],
)
def test_what_cannot_be_drawn(run, models, photo, tmp_path, arguments, message):
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "truth.png")
    given = [tmp_path / "truth.png" if argument == "TRUTH" else argument for argument in arguments]
    result = run(photo, "--model", models / "danet", *given, "--output", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert re.search(message, result.errors), result.errors
    assert not (tmp_path / "out").exists()


def test_a_mask_with_a_class_that_is_none_is_refused(run, models, photo, tmp_path):
    mask = np.zeros((60, 90), np.uint8)
    mask[5, 7] = 3
    Image.fromarray(mask).save(tmp_path / "mask.png")
    result = run(photo, "--model", models / "danet", "--truth", tmp_path / "mask.png", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "mask.png" in result.errors
    assert "3" in result.errors


def test_a_head_that_does_not_exist(run, models, photo, tmp_path):
    result = run(photo, "--model", models / "sanet", "--head", 5, "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "no head 5; this network has the heads 1 to 4" in result.errors


def test_a_broken_image_in_a_folder_does_not_stop_the_others(run, models, photo, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(photo.read_bytes()[:200])
    (folder / "b.jpg").write_bytes(photo.read_bytes())
    result = run(folder, "--model", models / "danet", "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "a.jpg" in result.errors
    assert (tmp_path / "out" / "b_figure.png").exists()


@pytest.mark.parametrize(
    ("mode", "ending", "note"),
    [
        ("L", "png", "L made RGB"),
        ("RGBA", "png", "RGBA made RGB"),
        ("CMYK", "jpg", "CMYK made RGB"),
        ("I;16", "png", "I;16"),
    ],
)
def test_what_was_done_to_an_image_is_said(run, models, tmp_path, mode, ending, note):
    Image.new(mode, (50, 40)).save(tmp_path / f"odd.{ending}")
    result = run(tmp_path / f"odd.{ending}", "--model", models / "danet", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.errors
    assert note in result.output.partition("note: ")[2].splitlines()[0]


def test_heic_says_how_to_convert(run, models, tmp_path):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    result = run(tmp_path / "IMG_1.HEIC", "--model", models / "danet", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "save the image as JPEG or PNG" in result.errors


def test_a_data_set_of_other_classes_is_refused(run, models, tmp_path):
    result = run("scenes:", "--model", models / "danet", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "The model has 3 classes and the data set scenes: has" in result.errors


@pytest.fixture
def labeled(tmp_path):
    """Return a data set of two images of blocks."""
    root = tmp_path / "data"
    for kind in ("images", "masks"):
        (root / kind / "val").mkdir(parents=True)
    (root / "classes.yaml").write_text("names: [road, sky, car]\n")
    for number in range(2):
        generator = np.random.default_rng(number)
        small = generator.integers(0, 256, (3, 4, 3), np.uint8)
        Image.fromarray(small.repeat(32, 0).repeat(32, 1)).save(root / f"images/val/{number}.png")
        Image.fromarray(generator.integers(0, 3, (3, 4), np.uint8).repeat(32, 0).repeat(32, 1)).save(
            root / f"masks/val/{number}.png"
        )
    return f"folder:{root}"


def test_a_check_tells_whether_attention_is_at_work(run, scenescope, models, labeled, tmp_path):
    result = run("--check", models / "danet", labeled, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.errors
    assert "attention on its own class" in result.output
    assert "Position attention is asleep: without it mean IoU is" in result.output
    stored = json.loads((tmp_path / "out" / "attention.json").read_text())
    assert stored["without"]["position attention"]["verdict"] == "asleep"
    evaluated = scenescope("evaluate", labeled, "--model", models / "danet", "--attention", "--output", tmp_path / "e")
    assert evaluated.exit_code == 0, evaluated.errors
    told = [line for line in result.output.splitlines() if line.startswith("Position attention is")]
    assert told[0] in evaluated.output
    scores = json.loads((tmp_path / "e" / "scores.json").read_text())
    assert scores["attention"]["position"] == stored["position"]
    assert scores["attention"]["mean_iou"] == pytest.approx(scores["scores"]["mean_iou"], abs=1e-3)
    assert "Attention in the head of stage 4" in run("--check", models / "sanet", labeled).output


def test_cut_classes_prints_and_keeps_both_tables(run, models, labeled, tmp_path):
    result = run(labeled, "--model", models / "danet", "--cut", "classes", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.errors
    assert "Attention paid by the class of a row" in result.output
    assert "without that of a column to attend to" in result.output
    stored = json.loads((tmp_path / "out" / "cuts.json").read_text())
    assert np.shape(stored["paid"]) == np.shape(stored["change"]) == (3, 3)
    assert (tmp_path / "out" / "cuts.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--check", "fcn", "DATA"], "fcn has no attention to check"),
        (["--cut", "classes", "sanet", "DATA"], "sanet has no position attention"),
        (["--check", "danet", "DATA", "DATA"], "takes one data set, as in: attend --check MODEL KIND:ROOT"),
        (["DATA"], "--output is missing"),
        (["--check", "danet", "DATA", "--cut", "classes"], "are about a whole data set, one at a time"),
        (["--check", "danet", "DATA", "--point", "1,2"], "leave out the other, and what asks about"),
        (["--cut", "classes", "danet", "DATA", "--received"], "are about a whole data set"),
    ],
)
def test_a_check_that_cannot_be_is_one_line(run, models, labeled, arguments, told):
    given = [str(models / each) if each in ("fcn", "sanet", "danet") else each for each in arguments]
    result = run(*[labeled if each == "DATA" else each for each in given])
    assert result.exit_code == 2
    assert told in result.errors
    assert len(result.errors.strip().splitlines()) == 1


def test_one_file_to_send(run, models, photo, tmp_path):
    look = tmp_path / "look.html"
    result = run(photo, "--model", models / "danet", "--point", "80,50", "--html", look)
    assert result.exit_code == 0, result.errors
    assert f"The look is in {look}, " in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"photo.jpg", "look.html"}
    html = look.read_text(encoding="utf-8")
    assert "<h1>photo.jpg</h1>" in html
    assert '"points": [[80, 50]]' in html


def test_one_file_beside_the_figures(run, models, photo, tmp_path):
    look, out = tmp_path / "look.html", tmp_path / "out"
    result = run(photo, "--model", models / "danet", "--html", look, "--output", out)
    assert result.exit_code == 0, result.errors
    assert look.exists()
    assert (out / "photo_figure.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--html", "mine.txt"], "mine.txt is in the way: it is no look that scenescope has written"),
        (["--html", "photo.jpg"], "photo.jpg is in the way"),
        (["--html", "look.html", "--check"], "--html is a look at one image; leave out --check and --cut."),
        (["--html", "look.html", "--received"], "--received, .* are about the figures; give --output for them."),
        (["other.jpg", "--html", "look.html"], "--html is a look at one image and 2 are given; name one of them."),
        (["--html", "look.html", "--point", "90,0"], "Point 90,0 lies outside"),
        ([], "--output is missing; give a folder for the figures, such as --output out, or --html look.html."),
    ],
)
def test_what_one_file_cannot_be(run, models, photo, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "other.jpg").write_bytes(photo.read_bytes())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = run("photo.jpg", *options, "--model", models / "danet")
    assert result.exit_code == 2, result.output
    assert re.search(message, result.errors), result.errors
    assert len(result.errors.strip().splitlines()) == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_tables_of_many_classes_are_never_cut_short(capsys):
    count = 30
    names = tuple(f"class {number}" for number in range(count))
    paid = [[row / 100 + column / 1000 for column in range(count)] for row in range(count)]
    change = [[-(row + column) / 1000 for column in range(count)] for row in range(count)]
    print_class_cuts(Console(width=60), ClassCuts(names, 3, [0.5] * count, paid, change))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [line[3:] for line in lines if line[1:2] == ["class"]]
    assert rows[:count] == [[f"{100 * value:.0f}" for value in row] for row in paid]
    assert rows[count:] == [[f"{100 * value:+.1f}" for value in row] for row in change]
