from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.copies import frame_of
from scenescope.data.folder import open_folder
from scenescope.data.formats.catalog import recognize
from scenescope.errors import DataError
from tests.data.formats.imported import run, write_image

CLASSES = "Pixel Value, Class\n0, background\n1, traffic light\n2, car\n"
MASK = np.array([[0, 1, 2], [2, 1, 1]], dtype=np.uint8)


def write(folder: Path, *stems: str, classes: str = CLASSES) -> Path:
    folder.mkdir(parents=True)
    for place, stem in enumerate(stems):
        write_image(folder / f"{stem}.jpg", 3, 2, place)
        Image.fromarray(MASK).save(folder / f"{stem}_mask.png")
    (folder / "_classes.csv").write_text(classes)
    return folder


def test_splits_with_their_masks_beside_them(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write(source / "train", "a_jpg.rf.0123", "a_jpg.rf.4567", "b_mask_jpg.rf.89ab")
    write(source / "valid", "c_jpg.rf.0123")
    write(source / "test", "d_jpg.rf.0123")
    assert recognize(source) == ("roboflow", "Roboflow semantic segmentation masks")
    got = run(source, tmp_path / "out")
    assert got.names == ["background", "traffic light", "car"]
    assert dict(got.summary.splits) == {"train": 3, "val": 1, "test": 1}
    np.testing.assert_array_equal(got.masks["val/c_jpg.rf.0123"], MASK)
    assert [
        Path(name).name for name in sorted(open_folder(str(tmp_path / "out"), "train").name(i) for i in range(3))
    ] == [
        "a_jpg.rf.0123",
        "a_jpg.rf.4567",
        "b_mask_jpg.rf.89ab",
    ]
    assert "5 images are copies of 4 frames" in got.notes


def test_one_split_is_drawn_with_all_copies_of_a_frame_on_one_side(tmp_path: Path) -> None:
    stems = [f"f{frame}_jpg.rf.{copy}abc" for frame in range(8) for copy in range(3)]
    write(tmp_path / "in" / "train", *stems)
    got = run(tmp_path / "in", tmp_path / "out")
    assert "draw train and val with data.val_fraction=0.2" in got.notes
    frames = []
    for split in ("train", "val"):
        drawn = open_folder(str(tmp_path / "out"), split, val_fraction=0.25)
        frames.append({frame_of(Path(drawn.name(place)).name) for place in range(len(drawn))})
    assert not frames[0] & frames[1]
    assert len(frames[0] | frames[1]) == 8


def test_copies_of_a_frame_in_two_splits_are_told(tmp_path: Path) -> None:
    write(tmp_path / "in" / "train", "a_jpg.rf.0123")
    write(tmp_path / "in" / "valid", "a_jpg.rf.4567")
    assert "1 frames have copies in several splits" in run(tmp_path / "in", tmp_path / "out").notes


def test_one_without_the_other_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "in", "a", "b", "c")
    (source / "a.jpg").unlink()
    (source / "b_mask.png").unlink()
    with pytest.raises(DataError, match=r"b.jpg: has no mask b_mask.png \(2 such faults\)"):
        run(source, tmp_path / "out")
    got = run(source, tmp_path / "out", faults="skip")
    assert sorted(got.masks) == ["c"]
    assert [row[2] for row in got.dropped] == ["has no mask b_mask.png", "there is no image a"]


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        ("Pixel Value, Class\n0, background\n1, car\n", r"a_mask.png, value 2: has no class; 2 pixels"),
        ("Pixel Value, Class\n0, background\n1, car\n1, bus\n", r"_classes.csv, line 4: the value 1 is given twice"),
        ("Pixel Value, Class\nzero, background\n", r"_classes.csv, line 2: 'zero,background' is not a pixel value"),
        ("Pixel Value, Class\n", r"_classes.csv names no class"),
    ],
)
def test_a_value_without_class_and_a_damaged_list(tmp_path: Path, classes: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        run(write(tmp_path / "in", "a", classes=classes), tmp_path / "out")


def test_splits_that_disagree_and_the_csv_of_a_classification(tmp_path: Path) -> None:
    write(tmp_path / "in" / "train", "a")
    write(tmp_path / "in" / "valid", "b", classes=CLASSES.replace("car", "bus"))
    with pytest.raises(DataError, match=r"valid/_classes.csv: 2 is 'bus', but 'car' in another split"):
        run(tmp_path / "in", tmp_path / "out")
    other = write(tmp_path / "other", classes="filename, cat, dog\na.jpg, 1, 0\n")
    assert recognize(other) is None
