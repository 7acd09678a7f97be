import csv
import json

import numpy as np
import pytest

from scenescope.errors import DataError
from scenescope.evaluation.bootstrap import Intervals
from scenescope.evaluation.scores import Scores
from scenescope.workflows.evaluation_result import EvaluationResult, confusion_table, read_result

CLASSES = ("road", "=sky()", "never")
IMAGES = ("a", "=HYPERLINK(1)", "nothing scored", "b\nc, \ud800")


def margins(matrices):
    return np.stack([matrices.sum(axis=-1), matrices.sum(axis=-2), matrices.diagonal(axis1=-2, axis2=-1)], axis=-2)


@pytest.fixture
def matrices():
    generator = np.random.default_rng(0)
    matrices = np.zeros((4, 3, 3), int)
    matrices[:, :2, :2] = generator.integers(1, 90, (4, 2, 2))
    matrices[2] = 0
    return matrices


@pytest.fixture
def written(matrices, tmp_path):
    return write(matrices, tmp_path / "out")


def write(matrices, folder, images=IMAGES, absent="skip", **about):
    folder.mkdir()
    counts = margins(matrices)
    scores = Scores.from_matrix(matrices.sum(axis=0), CLASSES, absent)
    result = EvaluationResult({"data": "folder:x", "model": "m", **about}, CLASSES, absent, images, counts)
    result.write(folder, scores, Intervals(counts, absent), {"boundary": {"mean_iou": 0.5}})
    return folder


def test_what_was_written_is_read_again(written, matrices):
    for place in (written, written / "scores.json"):
        found = read_result(place)
        assert (found.classes, found.images, found.absent) == (CLASSES, IMAGES, "skip")
        assert (found.counts == margins(matrices)).all()
        assert found.about["model"] == "m"
    stored = json.loads((written / "scores.json").read_text(), parse_constant=pytest.fail)
    assert stored["scores"]["matrix"] == matrices.sum(axis=0).tolist()
    low, high = stored["intervals"]["mean_iou"]
    assert low < stored["scores"]["mean_iou"] < high
    assert stored["intervals"]["iou"]["never"] is None
    assert (stored["intervals"]["images"], stored["images"]) == (3, 4)
    assert stored["boundary"] == {"mean_iou": 0.5}
    # A line for each image, however many classes.
    lines = (written / "scores.json").read_text().splitlines()
    assert sum(line.startswith('    {"image": ') and '"counts": {' in line for line in lines) == 4


def test_the_tables_hold_the_scores_of_each_image_and_no_formula(written, matrices):
    with (written / "per_image.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header[:6] == ["image", "scored pixels", "mIoU", "pixel accuracy", "mean accuracy", "mean F1"]
    assert header[6:] == ["IoU of road", "IoU of =sky()", "IoU of never"]
    assert [row[0] for row in rows] == ["a", "'=HYPERLINK(1)", "nothing scored", "b\nc, \\ud800"]
    for row, matrix in zip(rows, matrices, strict=True):
        if not matrix.any():
            assert row[1:] == ["0"] + [""] * 7
            continue
        scores = Scores.from_matrix(matrix, CLASSES)
        expected = [scores.mean_iou, scores.pixel_accuracy, scores.mean_accuracy, scores.mean_f1, *scores.iou[:2]]
        assert [float(cell) for cell in row[2:8]] == pytest.approx(expected, abs=5.1e-7)
        assert row[8] == ""
    with (written / "confusion.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["true class, then pixels given to", "road", "'=sky()", "never"]
    assert [row[0] for row in rows] == ["road", "'=sky()", "never"]
    assert [[int(cell) for cell in row[1:]] for row in rows] == matrices.sum(axis=0).tolist()


def test_rows_of_the_confusion_are_true_classes():
    scores = Scores.from_matrix([[5, 2], [0, 1]], ["a", "b"])
    assert confusion_table(scores)[1:] == [["a", 5, 2], ["b", 0, 1]]


def change(written, edit):
    stored = json.loads((written / "scores.json").read_text())
    edit(stored)
    (written / "scores.json").write_text(json.dumps(stored))


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda stored: stored.pop("per_image"), "has no counts of single images"),
        (lambda stored: stored.update(per_image=3), "damaged or was changed"),
        (lambda stored: stored.update(per_image=[]), "damaged .* names that are no text, or none"),
        (lambda stored: stored["per_image"][0].update(image=7), "image names that are no text"),
        (lambda stored: stored["per_image"][0].update(image=IMAGES[1]), "or one twice"),
        (lambda stored: stored["per_image"][0]["counts"].update({"3": [1, 1, 1]}), "counts of 'a'"),
        (lambda stored: stored["per_image"][0]["counts"].update({"-1": [1, 1, 1]}), "counts of 'a'"),
        (lambda stored: stored["per_image"][0]["counts"].update({"0": [1, 1, 2]}), "counts of 'a'"),
        (lambda stored: stored["per_image"][0]["counts"].update({"0": [1, -1, -1]}), "counts of 'a'"),
        (lambda stored: stored["per_image"][0]["counts"].update({"0": [1.5, 2, 1]}), "counts of 'a'"),
        (lambda stored: stored["per_image"][0]["counts"].update({"0": [2**70, 2, 1]}), "counts of 'a'"),
        (lambda stored: stored["per_image"][0]["counts"].update({"0": [1, 2]}), "damaged"),
        (lambda stored: stored["per_image"][0].update(counts=[]), "damaged"),
        (lambda stored: [entry.update(counts={}) for entry in stored["per_image"]], "no pixel was scored"),
        (lambda stored: stored["scores"].update(absent_as="half"), "absent_as 'half'"),
        (lambda stored: stored.update(classes=[f"class {number}" for number in range(300)]), "too many"),
        (lambda stored: stored.update(classes="abc"), "class names that are no text"),
    ],
)
def test_a_file_that_was_changed_is_one_line(written, edit, told):
    change(written, edit)
    with pytest.raises(DataError, match=told) as raised:
        read_result(written)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", '"per_image"', "[" * 100_000, '{"per_image": null}', "\x00"])
def test_a_file_of_something_else_is_one_line(written, content):
    (written / "scores.json").write_text(content)
    with pytest.raises(DataError, match=r"is not JSON|no counts of single images|damaged"):
        read_result(written)


def test_nothing_there_is_one_line(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match=r"Cannot read .*give scores.json or the --output"):
            read_result(place)


def test_a_small_file_makes_no_large_array(written, monkeypatch):
    monkeypatch.setattr("scenescope.workflows.evaluation_result.MAX_HELD", 11)  # and not 4 images of 3 classes
    with pytest.raises(DataError, match="4 images of 3 classes are too many"):
        read_result(written)
    monkeypatch.setattr("scenescope.workflows.evaluation_result.MAX_BYTES", 100)
    with pytest.raises(DataError, match="more than 100 bytes"):
        read_result(written)
