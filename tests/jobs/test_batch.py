import csv

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.errors import StorageError
from scenescope.inference.segmenter import Segmenter
from scenescope.jobs.batch import predict_files
from scenescope.jobs.inputs import ImageFile, find_images
from scenescope.labels import Classes


@pytest.fixture
def strongest(answering):
    return Segmenter(answering(lambda images: images), Classes.named(["red", "green, or so", "blue"]))


@pytest.fixture
def folder(tmp_path):
    """Return a folder: a.png a quarter blue and else red, a broken image, and sub/c.png all green."""
    place = tmp_path / "in"
    (place / "sub").mkdir(parents=True)
    image = np.zeros((2, 4, 3), np.uint8)
    image[..., 0], image[:, 3, 2] = 100, 200
    Image.fromarray(image).save(place / "a.png")
    (place / "b.png").write_bytes((place / "a.png").read_bytes()[:40])
    Image.new("RGB", (3, 5), (0, 9, 0)).save(place / "sub" / "c.png")
    return place


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_summary_has_a_row_for_each_image_that_could_be_read(strongest, folder, tmp_path):
    output = tmp_path / "out"
    result = predict_files(strongest, find_images([str(folder)], output), output)
    assert rows(output / "summary.csv") == [
        ["image", "labels", "width", "height", "red", "green, or so", "blue"],
        [str(folder / "a.png"), "a_labels.png", "4", "2", "0.750000", "0.000000", "0.250000"],
        [str(folder / "sub" / "c.png"), "sub/c_labels.png", "3", "5", "0.000000", "1.000000", "0.000000"],
    ]
    assert [file.name for file in result.done] == ["a", "sub/c"]
    assert [(file.name, "b.png" in reason) for file, reason in result.failed] == [("b", True)]
    written = sorted(path.relative_to(output).as_posix() for path in output.rglob("*.*"))
    assert written == [
        ".fingerprint",
        "a_labels.png",
        "a_overlay.png",
        "sub/c_labels.png",
        "sub/c_overlay.png",
        "summary.csv",
    ]


def test_two_runs_write_the_same_bytes(strongest, folder, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for output in (first, second):
        predict_files(strongest, find_images([str(folder)], output), output, probabilities=True)
    names = [path.relative_to(first) for path in first.rglob("*.*")]
    assert names
    for name in names:
        if name.suffix != ".npz":  # an archive holds the time of writing
            assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_resumed_folder_goes_on_where_it_was_and_ends_the_same(strongest, folder, tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    predict_files(strongest, find_images([str(folder)], whole), whole)
    found = find_images([str(folder)], resumed)
    predict_files(strongest, found[:1], resumed)
    asked = len(strongest.network.sizes)
    predict_files(strongest, found, resumed, resume=True)
    assert len(strongest.network.sizes) == asked + 1  # c.png alone
    names = {path.relative_to(whole) for path in whole.rglob("*.*")}
    assert names == {path.relative_to(resumed) for path in resumed.rglob("*.*")}
    assert all((whole / name).read_bytes() == (resumed / name).read_bytes() for name in names)
    (resumed / "a_overlay.png").unlink()
    predict_files(strongest, found, resumed, resume=True)
    assert (resumed / "a_overlay.png").exists()
    other = Segmenter(strongest.network, Classes.named(["blue", "green", "red"]))
    asked = len(strongest.network.sizes)
    predict_files(other, found, resumed, resume=True)
    assert len(strongest.network.sizes) == asked + 2  # both, as their classes are others
    assert rows(resumed / "summary.csv")[0][4:] == ["blue", "green", "red"]


def test_ctrl_c_leaves_a_summary_of_what_was_done(strongest, folder, tmp_path):
    def interrupted():
        yield ImageFile(folder / "a.png", "a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(strongest, interrupted(), tmp_path / "out")
    assert len(rows(tmp_path / "out" / "summary.csv")) == 2


def test_an_overlay_that_the_memory_does_not_hold_costs_neither_its_labels_nor_the_next_image(
    strongest, folder, tmp_path, monkeypatch
):
    def too_large(image, *_, **__):
        if image.shape[1] == 4:
            raise MemoryError
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr("scenescope.inference.prediction.overlaid", too_large)
    output = tmp_path / "out"
    found = find_images([str(folder)], output)
    result = predict_files(strongest, found, output)
    assert [file.name for file in result.done] == ["sub/c"]
    assert [file.name for file, _ in result.failed] == ["a", "b"]
    assert "the labels are written; leave the overlay out (--no-overlay" in result.failed[0][1]
    with Image.open(output / "a_labels.png") as labels:
        assert np.asarray(labels).tolist() == [[0, 0, 0, 2]] * 2
    assert not (output / "a_overlay.png").exists()
    asked = len(strongest.network.sizes)
    assert len(predict_files(strongest, found, output, overlay=False, resume=True).done) == 2
    assert len(strongest.network.sizes) == asked


def test_an_error_names_its_image(answering, folder, tmp_path):
    silent = Segmenter(answering(lambda images: images * torch.nan), Classes.named(["red", "green", "blue"]))
    result = predict_files(silent, find_images([str(folder)], tmp_path / "out"), tmp_path / "out")
    assert not result.done
    assert result.failed[0][1].startswith(f"{folder / 'a.png'}: The network's answer is not a number")


def test_an_output_that_cannot_be_written_ends_it(strongest, folder, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StorageError, match="in the way"):
        predict_files(strongest, find_images([str(folder)], tmp_path / "out"), tmp_path / "out")


def test_a_file_name_that_is_no_unicode_is_written_down(strongest, folder, tmp_path):
    odd = folder / "odd\udcff.png"
    (folder / "a.png").rename(odd)
    result = predict_files(strongest, [ImageFile(odd, "odd")], tmp_path / "out")
    assert len(result.done) == 1
    assert rows(tmp_path / "out" / "summary.csv")[1][0].endswith("odd\\udcff.png")
