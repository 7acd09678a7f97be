import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from scenescope.data.formats.writers import KINDS
from scenescope.errors import ImageError, StorageError
from scenescope.inference.segmenter import Segmenter
from scenescope.jobs.batch import predict_files
from scenescope.jobs.inputs import ImageFile, find_images
from scenescope.jobs.results import Results
from scenescope.labels import Classes
from scenescope.workflows.import_data import import_data
from scenescope.yaml_reader import read_yaml

ALL = Results(tuple(KINDS))


@pytest.fixture
def strongest(answering):
    return Segmenter(answering(lambda images: images), Classes.named(["red", "green", "blue"]))


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three images whose pixels are of any class, most of them of the first."""
    generator = np.random.default_rng(0)
    for name in ("a", "b", "sub/c"):
        image = np.eye(3, dtype=np.uint8)[generator.choice(3, (13, 17), p=(0.8, 0.1, 0.1))] * 200
        path = tmp_path / "in" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "in"


def files(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def labels(path):
    with Image.open(path) as image:
        return np.array(image)


@pytest.mark.parametrize("source", ["coco.json", "coco-rle.json", "labelme", "cvat.xml", "label-studio.json", "yolo"])
def test_what_is_written_is_imported_again_with_every_pixel(strongest, folder, tmp_path, source):
    output = tmp_path / "out"
    predict_files(strongest, find_images([str(folder)], output), output, results=ALL)
    if source == "yolo":  # looks for images beside the folder of labels
        shutil.copytree(folder, output / "yolo" / "images")
    if source == "label-studio.json":  # what Label Studio exports once somebody has submitted the predictions
        tasks = json.loads((output / source).read_text())
        for number, task in enumerate(tasks):
            task |= {"id": number, "annotations": [{"id": number, "result": task.pop("predictions")[0]["result"]}]}
        (output / source).write_text(json.dumps(tasks))
    image_dir = None if source == "yolo" else folder
    summary = import_data(str(output / source), tmp_path / "mine", image_dir=image_dir, unlabeled="ignore")
    assert (summary.images, summary.num_faults) == (3, 0)
    names = read_yaml(tmp_path / "mine" / "classes.yaml", ImageError)["names"]
    names = list(names.values()) if isinstance(names, dict) else names
    for name in ("a", "b", "sub/c"):
        (mask,) = (tmp_path / "mine" / "masks").rglob(f"{name.rpartition('/')[2]}.png")
        colors = np.array(names)[labels(mask)]
        expected = np.array(["red", "green", "blue"])[labels(output / f"{name}_labels.png")]
        np.testing.assert_array_equal(colors, expected)


def test_a_resumed_folder_ends_with_the_same_files_of_all_images(strongest, folder, tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    predict_files(strongest, find_images([str(folder)], whole), whole, results=ALL)

    def interrupted():
        yield ImageFile(folder / "a.png", "a", file_name="a.png")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(strongest, interrupted(), resumed, results=ALL)
    assert "coco/a.json" in files(resumed)
    assert "coco.json" not in files(resumed)
    asked = len(strongest.network.sizes)
    predict_files(strongest, find_images([str(folder)], resumed), resumed, resume=True, results=ALL)
    assert len(strongest.network.sizes) == asked + 2
    assert files(whole).keys() == files(resumed).keys()
    for name, path in files(whole).items():
        if name != ".fingerprint":
            assert path.read_bytes() == (resumed / name).read_bytes(), name


def test_a_kind_that_is_lacking_is_written_by_resuming_and_one_not_asked_for_goes(strongest, folder, tmp_path):
    output = tmp_path / "out"
    found = find_images([str(folder)], output)
    predict_files(strongest, found, output, results=Results(("coco",)))
    asked = len(strongest.network.sizes)
    predict_files(strongest, found, output, resume=True, results=Results(("coco",)))
    assert len(strongest.network.sizes) == asked
    predict_files(strongest, found, output, resume=True, results=Results(("cvat",)))
    assert len(strongest.network.sizes) == asked + 3
    assert {"cvat.xml", "cvat/sub/c.xml"} <= files(output).keys()
    assert not {"coco.json", "coco/a.json"} & files(output).keys()


def test_what_is_made_of_predictions_decides_what_is_done(strongest, folder, tmp_path):
    output = tmp_path / "out"
    found = find_images([str(folder)], output)
    for results, times in ((Results(), 3), (Results(min_area=2), 3), (Results(min_area=2), 0), (Results(), 3)):
        asked = len(strongest.network.sizes)
        predict_files(strongest, found, output, resume=True, results=results)
        assert len(strongest.network.sizes) == asked + times


def test_labels_and_areas_agree_after_all_that_is_made_of_them(strongest, folder, tmp_path):
    output = tmp_path / "out"
    results = Results(("coco-rle", "regions"), min_area=3, fill_holes=2, names={"green": "plant", "blue": "plant"})
    predict_files(strongest, find_images([str(folder)], output), output, results=results)
    with (output / "summary.csv").open() as file:
        assert next(csv.reader(file))[4:] == ["red", "plant"]
    with (output / "regions.csv").open() as file:
        regions = list(csv.DictReader(file))
    assert {region["class"] for region in regions} == {"red", "plant"}
    assert all(int(region["area"]) >= 3 and 1 / 3 < float(region["probability"]) <= 1 for region in regions)
    found = labels(output / "a_labels.png")
    areas = sum(int(region["area"]) for region in regions if region["image"] == "a.png")
    assert areas == (found != 255).sum() < found.size
    content = json.loads((output / "coco-rle.json").read_text())
    assert len(content["annotations"]) == len(regions)
    assert not (output / "a_probabilities.npz").exists()


@pytest.mark.parametrize("name", ["coco.json", "coco/a.json"])
def test_what_somebody_else_has_written_is_not_replaced(strongest, folder, tmp_path, name):
    output = tmp_path / "out"
    found = find_images([str(folder)], output)
    (output / name).parent.mkdir(parents=True)
    (output / name).write_text("mine")
    result = None
    try:
        result = predict_files(strongest, found, output, results=ALL)
    except StorageError as error:
        assert "is in the way" in str(error)  # noqa: PT017
    assert (output / name).read_text() == "mine"
    assert result is None or [file.name for file, _ in result.failed] == ["a"]


def test_a_file_that_somebody_has_changed_is_left_out_of_that_of_all_images(strongest, folder, tmp_path):
    output = tmp_path / "out"
    first, *rest = find_images([str(folder)], output)
    predict_files(strongest, [first, *rest], output, results=Results(("coco",)))
    (output / "coco" / "a.json").write_text("{}")
    result = predict_files(strongest, rest, output, results=Results(("coco",)))
    assert any("a.json has been changed since" in note for note in result.notes)
    images = json.loads((output / "coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["b.png", "sub/c.png"]


def test_nothing_to_predict_keeps_what_is_there(strongest, folder, tmp_path):
    output = tmp_path / "out"
    predict_files(strongest, find_images([str(folder)], output), output, results=Results(("coco",)))
    before = {name: path.read_bytes() for name, path in files(output).items() if name != ".fingerprint"}
    predict_files(strongest, [], output, results=Results(("coco",)))
    assert before == {name: path.read_bytes() for name, path in files(output).items() if name != ".fingerprint"}


def test_images_of_one_name_are_told_by_their_whole_path(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (folder / "a.png").rename(other / "b.png")
    found = find_images([str(folder), str(other)], tmp_path / "out")
    assert [file.file_name for file in found] == [str(folder / "b.png"), "sub/c.png", str(other / "b.png")]


def test_a_kind_that_is_not_known_is_refused():
    with pytest.raises(ImageError, match=r"'coc' cannot be written; known are coco, .* Did you mean 'coco'\?"):
        Results(("coc",))
