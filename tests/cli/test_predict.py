import csv
import errno
import json
import re

import numpy as np
import pytest
from PIL import Image

from scenescope.inference.segmenter import Segmenter


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Return a folder with three images in a temporary working directory."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    folder = tmp_path / "photos"
    for name in ("a.png", "b.jpg", "sub/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (24, 40, 3), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def run(scenescope):
    return lambda *arguments: scenescope("predict", *arguments)


def written(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".fingerprint"
    )


def test_files_folders_and_patterns(run, model, photos):
    result = run("photos/a.png", "photos", "photos/*.jpg", "--model", model, "--output", "out")
    assert result.exit_code == 0, result.output
    assert "3 of 3 images predicted" in result.output
    out = photos.parent / "out"
    stems = ("a", "b", "sub/c")
    assert written(out) == sorted(
        ["summary.csv", *(f"{stem}_{what}.png" for stem in stems for what in ("labels", "overlay"))]
    )
    with Image.open(out / "a_labels.png") as labels:
        expected = Segmenter.load(model, "cpu").predict(photos / "a.png").labels
        assert np.array_equal(np.asarray(labels), expected)
    with (out / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["photos/a.png", "photos/b.jpg", "photos/sub/c.png"]
    assert all(sum(float(row[name]) for name in ("road", "sky", "car")) == pytest.approx(1, abs=1e-5) for row in rows)


def test_unreadable_files_are_listed_and_the_rest_is_done(run, model, photos):
    (photos / "broken.jpg").write_bytes((photos / "b.jpg").read_bytes()[:300])
    (photos / "empty\nname.png").touch()
    result = run("photos", "--model", model, "--output", "out")
    assert result.exit_code == 1
    assert "3 of 5 images predicted" in result.output
    failed = [line for line in result.errors.splitlines() if line.startswith("failed:")]
    assert len(failed) == 2
    assert "broken.jpg" in failed[0]
    assert "empty name.png: the file is empty" in failed[1]
    assert not [name for name in written(photos.parent / "out") if "broken" in name or "empty" in name]


def test_a_name_as_long_as_a_file_system_takes_is_written(run, model, photos):
    (photos / "a.png").rename(photos / ("ü" * 125 + ".png"))
    result = run("photos", "--model", model, "--output", "out", "--probabilities")
    assert result.exit_code == 0, result.errors
    assert len([name for name in written(photos.parent / "out") if name.startswith("ü" * 100)]) == 3


def test_the_limit_of_pixels_is_an_option(run, model, photos):
    Image.new("RGB", (41, 24)).save(photos / "wide.png")
    result = run("photos", "--model", model, "--output", "out", "--max-pixels", 24 * 40)
    assert result.exit_code == 1
    assert re.search(r"wide.png.*41 x 24.*\(--max-pixels", result.errors)
    assert "3 of 4 images predicted" in result.output


@pytest.mark.parametrize("protocol", [[], ["--protocol", "official", "--base-size", "40"]])
def test_probabilities_windows_and_scales(run, model, photos, protocol):
    options = ["--probabilities", "--scales", "0.5,1", "--flip", "--window", "16", "--stride", "8"]
    assert run("photos/a.png", "--model", model, "--output", "out", *options, *protocol).exit_code == 0
    with np.load(photos.parent / "out" / "a_probabilities.npz") as stored:
        assert stored["probabilities"].shape == (3, 24, 40)
        assert np.allclose(stored["probabilities"].astype(np.float32).sum(0), 1, atol=5e-3)


def test_nothing_is_written_outside_the_output(run, model, photos):
    work = photos / "sub" / "work"
    work.mkdir()
    before = written(photos.parent)
    absolute, upwards = photos / "a.png", work / ".." / ".." / "b.jpg"
    folder = photos / "sub" / ".." / "sub"
    assert run(absolute, upwards, folder, "--model", model, "--output", work / "out").exit_code == 0
    new = set(written(photos.parent)) - set(before)
    assert len(new) == 7
    assert all(name.startswith("photos/sub/work/out/") for name in new)


def test_a_second_run_does_not_read_its_own_results(run, model, photos):
    for _ in range(2):
        result = run("photos", "--model", model, "--output", "photos/out")
        assert "3 of 3 images predicted" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jpg"], "no image missing.jpg"),
        (["photos/*.bmp"], "No image matches 'photos/\\*.bmp'"),
        (["photos", "--model", "./nowhere"], "no model at nowhere"),
        (["photos", "--model", "nosuchmodel"], "no model 'nosuchmodel' in the box"),
        (["photos", "--device", "cuda:99"], "cuda:99"),
        (["photos", "--window", "0"], "window=0"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(run, model, photos, arguments, message):
    before = written(photos.parent)
    model_arguments = [] if "--model" in arguments else ["--model", model]
    result = run(*arguments, *model_arguments, "--output", "out")
    assert result.exit_code == 2, result.output
    assert re.search(message, result.errors), result.errors
    assert len(result.errors.strip().splitlines()) == 1
    assert written(photos.parent) == before
    assert not (photos.parent / "out").exists()


def test_a_file_in_the_outputs_place_is_named(run, model, photos):
    (photos.parent / "out").write_text("mine")
    result = run("photos", "--model", model, "--output", "out")
    assert result.exit_code == 2
    assert "Cannot write out" in result.errors
    assert (photos.parent / "out").read_text() == "mine"


def test_a_full_disk_leaves_no_half_image(run, model, photos, monkeypatch):
    save = Image.Image.save

    def full_for_overlays(self, place, *arguments, **options):
        if self.mode == "RGB":
            place.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, place, *arguments, **options)

    monkeypatch.setattr(Image.Image, "save", full_for_overlays)
    result = run("photos", "--model", model, "--output", "out")
    assert result.exit_code == 2
    assert "No space left on device" in result.errors
    assert written(photos.parent / "out") == ["summary.csv"]


def test_areas_are_written_for_other_tools(run, model, photos):
    (photos.parent / "names.yaml").write_text("car: vehicle\nsky: null\n")
    options = ["--write", "coco, regions", "--min-area", 2, "--fill-holes", 4, "--rename", "names.yaml"]
    result = run("photos", "--model", model, "--output", "out", "--no-overlay", *options)
    assert result.exit_code == 0, result.output
    content = json.loads((photos.parent / "out" / "coco.json").read_text())
    assert [category["name"] for category in content["categories"]] == ["road", "vehicle"]
    assert [image["file_name"] for image in content["images"]] == ["a.png", "b.jpg", "sub/c.png"]
    assert all(annotation["area"] >= 2 for annotation in content["annotations"])
    with (photos.parent / "out" / "regions.csv").open() as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + len(content["annotations"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--write", "coc"], "'coc' cannot be written; known are coco, coco-rle, labelme"),
        (["--write", ""], "'' cannot be written"),
        (["--rename", "nowhere.yaml"], "Cannot read nowhere.yaml: no such file"),
        (["--rename", "names.yaml"], "'bus' is renamed, but is none of the classes road, sky, car."),
        (["--min-area", 0], "--min-area"),
    ],
)
def test_wrong_options_of_areas_are_told_in_a_line_and_leave_nothing(run, model, photos, options, told):
    (photos.parent / "names.yaml").write_text("bus: vehicle\n")
    result = run("photos", "--model", model, "--output", "out", *options)
    assert result.exit_code == 2
    assert told in result.errors
    assert result.errors.count("\n") <= 1
    assert not (photos.parent / "out").exists()


def test_what_lies_somewhere_is_a_map_through_windows_and_else_an_image(run, model, tmp_path, monkeypatch):
    pytest.importorskip("rasterio")
    from tests.geotiff import write_map

    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3)).astype(np.uint8)
    write_map(tmp_path / "placed.tif", pixels)
    Image.fromarray(pixels).save(tmp_path / "nowhere.tif")
    both = ("placed.tif", "nowhere.tif", "--model", model, "--no-overlay")
    result = run(*both, "--output", "images")
    assert result.exit_code == 0, result.output
    assert "images that say where they lie: 1; --window 512 keeps that" in " ".join(result.errors.split())
    assert written(tmp_path / "images") == ["nowhere_labels.png", "placed_labels.png", "summary.csv"]
    result = run(*both, "--output", "maps", "--window", "32")
    assert result.exit_code == 0, result.output
    assert written(tmp_path / "maps") == ["nowhere_labels.png", "placed_labels.tif", "summary.csv"]
    result = run(*both, "--output", "pngs", "--window", "32", "--no-map")
    assert written(tmp_path / "pngs") == ["nowhere_labels.png", "placed_labels.png", "summary.csv"]
    result = run(*both, "--output", "none", "--map")
    assert (result.exit_code, (tmp_path / "none").exists()) == (2, False)
    assert "A map is looked at through windows; give their side, such as --window 512." in result.errors
    result = run(*both, "--output", "large", "--max-pixels", "100")
    assert result.exit_code == 1
    assert "0 of 2 images predicted" in result.output
    result = run(*both, "--output", "none", "--window", "32", "--write", "coco")
    assert result.exit_code == 2
    assert "--write, --min-area, --fill-holes and --rename are for images, and placed.tif is a map" in result.errors
