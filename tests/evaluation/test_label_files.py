import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.data.catalog import open_dataset
from scenescope.data.dataset import FileDataset
from scenescope.data.masks import LabelTable
from scenescope.errors import DataError, LabelError
from scenescope.evaluation.boundary import BoundaryCounts
from scenescope.evaluation.image_counts import ImageCounts
from scenescope.evaluation.label_files import evaluate_files, find_label_files, score_as_masks
from scenescope.labels import Classes

NAMES = ["road", "sky", "car"]


@pytest.fixture
def data(tmp_path):
    """Three images whose masks hold 10, 20, 30; 0 is not scored."""
    generator = np.random.default_rng(0)
    root = tmp_path / "data"
    root.mkdir()
    (root / "classes.yaml").write_text(f"names: {json.dumps(NAMES)}\nvalues: [10, 20, 30]\nignore: 0\n")
    for name, size in (("a", (5, 7)), ("b", (5, 7)), ("c", (4, 3))):
        save(root / "images" / "val" / f"{name}.png", np.zeros((*size, 3)))
        save(root / "masks" / "val" / f"{name}.png", generator.choice([0, 10, 20, 30], size))
    return open_dataset("folder", str(root), "val")


@pytest.fixture
def folder(data, tmp_path):
    """What was predicted: train ids, many of them right."""
    generator = np.random.default_rng(1)
    for index in range(len(data)):
        labels = data[index].labels
        wrong = (generator.random(labels.shape) < 0.3) | (labels == 255)
        save(
            tmp_path / "files" / f"{data.name(index)}.png",
            np.where(wrong, generator.integers(0, 3, labels.shape), labels),
        )
    return tmp_path / "files"


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def slow(data, folder):
    matrix = np.zeros((3, 3), int)
    for index in range(len(data)):
        predicted = np.asarray(Image.open(folder / f"{data.name(index)}.png"))
        for label, prediction in zip(data[index].labels.flat, predicted.flat, strict=True):
            if label != 255:
                matrix[label, prediction] += 1
    return matrix.tolist()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_files_of_train_ids_are_counted_as_a_loop_counts(data, folder, num_workers):
    boundary, images = BoundaryCounts(3), ImageCounts(3, 3)
    files = find_label_files(data, folder)
    found = evaluate_files(files, data, num_workers=num_workers, boundary=boundary, images=images)
    assert found.counts().tolist() == slow(data, folder)
    matrix = found.counts()
    assert images.array().sum(axis=0).tolist() == [
        matrix.sum(1).tolist(),
        matrix.sum(0).tolist(),
        matrix.diagonal().tolist(),
    ]
    expected = BoundaryCounts(3)
    for index in range(3):
        predicted = np.array(Image.open(folder / f"{data.name(index)}.png"))
        expected.update(torch.from_numpy(data[index].labels)[None], torch.from_numpy(predicted)[None])
    assert torch.equal(boundary.counts, expected.counts)


@pytest.mark.parametrize("colors", [False, True])
def test_values_or_colors_as_in_the_masks_are_read_where_that_is_said(data, folder, tmp_path, colors):
    palette = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    if colors:
        table = LabelTable.of_colors([[tuple(color)] for color in palette.tolist()])
        raw = FileDataset(Classes.named(NAMES), "val", "", data.pairs, table)
    else:
        raw, palette = data, np.array([10, 20, 30])
    for path in folder.iterdir():
        save(tmp_path / "raw" / path.name, palette[np.asarray(Image.open(path))])
    files = find_label_files(raw, tmp_path / "raw", "masks")
    for index in range(3):
        assert (files.labels(raw, index) == np.asarray(Image.open(folder / f"{data.name(index)}.png"))).all()
    if not colors:
        assert evaluate_files(files, raw).counts().tolist() == slow(data, folder)


def test_the_masks_themselves_are_right_in_every_pixel(data, tmp_path):
    matrix = evaluate_files(find_label_files(data, tmp_path / "data" / "masks" / "val", "masks"), data).counts()
    assert matrix.sum() == matrix.diagonal().sum() > 0


def test_names_of_predict_of_masks_and_in_folders_are_found(data, folder, tmp_path):
    (folder / "a.png").rename(folder / "a_labels.png")
    (folder / "a_overlay.png").write_bytes((folder / "b.png").read_bytes())
    (folder / "below").mkdir()
    (folder / "b.png").rename(folder / "below" / "b_labels.png")
    Image.open(folder / "c.png").save(folder / "c.tif")
    (folder / "c.png").rename(folder / "d.png")
    (folder / "summary.csv").write_text("image\n")
    files = find_label_files(data, folder)
    assert [path.relative_to(folder).as_posix() for path in files.paths] == [
        "a_labels.png",
        "below/b_labels.png",
        "c.tif",
    ]
    # The overlay lies beside its labels, so it is known what it is.
    assert [path.name for path in files.surplus] == ["d.png"]


def many(tmp_path, *names):
    """A data set of images in folders, all of one size, with masks of other names beside them."""
    pairs = []
    for name in names:
        save(tmp_path / "many" / f"{name}.jpg.png", np.zeros((2, 2)))
        image, mask = tmp_path / "many" / f"{name}.png", tmp_path / "many" / f"{name}_mask.png"
        save(image, np.zeros((2, 2, 3)))
        save(mask, np.zeros((2, 2)))
        pairs.append((image, mask))
    return FileDataset(Classes.named(NAMES), "val", "", tuple(pairs), LabelTable.of_values([[0], [1], [2]]))


def test_folders_tell_files_of_one_stem_apart(tmp_path):
    data = many(tmp_path, "x/1", "y/1", "y/2", "y/2_labels")
    place = tmp_path / "out"
    names = ("x/1_labels.png", "y/1_labels.png", "y/2.png", "2_labels.png")
    for name in names:
        save(place / name, np.zeros((2, 2)))
    assert [path.relative_to(place).as_posix() for path in find_label_files(data, place).paths] == list(names)
    # A name that fits two images fits none.
    (place / "y" / "1_labels.png").rename(place / "1.png")
    with pytest.raises(DataError, match=r"1 of 4 images have no prediction \(y_1\)"):
        find_label_files(data, place)


def test_the_name_of_the_mask_is_as_good(tmp_path):
    data = many(tmp_path, "x/1")
    save(tmp_path / "out" / "1_mask.png", np.zeros((2, 2)))
    assert find_label_files(data, tmp_path / "out").paths == (tmp_path / "out" / "1_mask.png",)


def test_the_longer_name_wins_over_that_of_another_split(data, folder):
    save(folder / "train" / "a.png", np.zeros((5, 7)))
    save(folder / "val" / "a.png", np.zeros((5, 7)))
    (folder / "a.png").unlink()
    files = find_label_files(data, folder)
    assert files.paths[0] == folder / "val" / "a.png"
    assert files.surplus == (folder / "train" / "a.png",)


def test_everything_that_does_not_fit_is_counted_and_named_at_once(data, folder):
    (folder / "a.png").unlink()
    save(folder / "b.png", np.zeros((7, 5)))
    (folder / "c.png").write_bytes((folder / "c.png").read_bytes()[:20])
    with pytest.raises(DataError) as raised:
        find_label_files(data, folder)
    told = str(raised.value)
    assert "1 of 3 images have no prediction (a)" in told
    assert "2 are no label maps of the size of their image (b.png: 5 x 7, not 7 x 5, Cannot read" in told
    assert "c.png" in told
    assert "Nothing is scored" in told
    assert "\n" not in told


def test_two_files_of_one_image_are_refused(data, folder):
    save(folder / "a_labels.png", np.zeros((5, 7)))
    with pytest.raises(DataError, match=r"1 images have two files \(a: a.png and a_labels.png\)"):
        find_label_files(data, folder)


@pytest.mark.parametrize("there", [(), ("x.png",)])
def test_a_folder_of_something_else_is_one_short_line(data, tmp_path, there):
    (tmp_path / "other").mkdir()
    for name in there:
        save(tmp_path / "other" / name, np.zeros((2, 2)))
    told = r"no prediction of any of the 3 images; .* such as a.png or a_labels.png. Images there: (nothing|x.png)\."
    with pytest.raises(DataError, match=told):
        find_label_files(data, tmp_path / "other")
    with pytest.raises(DataError, match="does not exist"):
        find_label_files(data, tmp_path / "nowhere")


def test_a_scored_pixel_without_a_class_is_refused_and_one_that_is_ignored_is_not(data, folder):
    predicted = np.array(Image.open(folder / "b.png"))
    predicted[data[1].labels == 255] = 255
    save(folder / "b.png", predicted)
    files = find_label_files(data, folder)
    before = evaluate_files(files, data).counts()
    y, x = np.argwhere(data[1].labels != 255)[0]
    predicted[y, x] = 255
    save(folder / "b.png", predicted)
    with pytest.raises(LabelError, match=rf"b.png: 1 pixels without a class are scored, the first at \(x={x}, y={y}\)"):
        evaluate_files(files, data)
    assert before.sum() > 0


def test_a_value_that_is_no_class_names_its_file_and_the_other_meaning(data, folder):
    save(folder / "c.png", np.full((4, 3), 10))
    with pytest.raises(LabelError, match=r"c.png: value 10 at pixel .*--predictions-as masks"):
        evaluate_files(find_label_files(data, folder), data)


def test_files_that_make_more_sense_as_values_of_the_masks_are_noticed(tmp_path):
    """As with ADE20K, whose masks hold 1 for class 0: read as train ids they are a bad model and no error."""
    data = many(tmp_path, "1", "2", "3")
    table = LabelTable.of_values([[1], [2], [3]], [0])
    data = FileDataset(data.classes, "val", "", data.pairs, table)
    truth = np.array([[50, 3, 2], [4, 60, 5], [1, 2, 0]])
    as_train_ids = np.zeros((3, 3), int)
    as_train_ids[:, 1:] = truth[:, :2]  # what is class 0 was written as 1
    # The third column is of no value that occurs, and what it held is gone.
    expected = (50 / (53 + 55 - 50) + 60 / (64 + 65 - 60) + 0) / 3
    assert score_as_masks(as_train_ids, data) == pytest.approx(expected, abs=1e-12)
    identity = FileDataset(data.classes, "val", "", data.pairs, LabelTable.of_values([[0], [1], [2]]))
    assert score_as_masks(truth, identity) == pytest.approx(np.mean([50 / 60, 60 / 74, 0]), abs=1e-12)
    # A value of no meaning: they cannot be that.
    other = FileDataset(data.classes, "val", "", data.pairs, LabelTable.of_values([[5], [6], [7]]))
    assert score_as_masks(truth, other) is None


def test_images_that_only_a_rule_reads_have_predictions_too(tmp_path: Path) -> None:
    for kind, split in (("images", "val"), ("masks", "val")):
        (tmp_path / "data" / kind / split).mkdir(parents=True)
    (tmp_path / "predicted").mkdir()
    np.save(tmp_path / "data/images/val/a.npy", np.zeros((2, 3, 4), np.uint16))
    Image.fromarray(np.array([[0, 1, 1], [0, 0, 1]], np.uint8)).save(tmp_path / "data/masks/val/a.png")
    Image.fromarray(np.array([[0, 1, 1], [0, 0, 0]], np.uint8)).save(tmp_path / "predicted/a_labels.png")
    (tmp_path / "data/val.txt").write_text("images/val/a.npy masks/val/a.png\n")
    (tmp_path / "data/classes.yaml").write_text("names: [x, y]\nbands: [0, 1, 2, 3]\nrange: [0, 9]\n")
    dataset = open_dataset("folder", str(tmp_path / "data"), "val")
    files = find_label_files(dataset, tmp_path / "predicted")
    assert evaluate_files(files, dataset).counts().tolist() == [[3, 0], [1, 2]]
