from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from scenescope.data.formats.catalog import open_annotations, recognize
from scenescope.errors import DataError
from tests.data.formats.imported import run, write_json

MASK = np.array([[0, 1, 2], [255, 1, 1]], dtype=np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format=kind)
    return content.getvalue()


def cell(content: bytes | None, path: str | None = None) -> dict[str, Any]:
    return {"bytes": content, "path": path}


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    """As datasets.Dataset.to_parquet writes columns of the type Image."""
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), file)
    return file


def row(name: str | None = None, mask: np.ndarray = MASK, kind: str = "JPEG", **more: Any) -> dict[str, Any]:
    image = encoded(np.zeros((2, 3, 3), dtype=np.uint8), kind)
    return {"image": cell(image, name), "label": cell(encoded(mask)), "caption": "x"} | more


def test_rows_become_images_and_files_splits(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write(source / "data" / "train-00000-of-00002.parquet", [row(), row("x/a.jpg")])
    write(source / "data" / "train-00001-of-00002.parquet", [row("y\\a.jpg", MASK[::-1])])
    write(source / "data" / "validation-00000-of-00001.parquet", [row("v.jpg", kind="WEBP")])
    write_json(source / "id2label.json", {"0": "road", "1": "car", "2": "sky"})
    assert recognize(source) == ("hugging_face", "Hugging Face parquet")
    got = run(source, tmp_path / "out")
    assert got.names[:3] == ["road", "car", "sky"]
    assert sorted(got.masks) == ["train/000000", "train/a", "train/a-2", "val/v"]
    np.testing.assert_array_equal(got.masks["train/a"], MASK)
    np.testing.assert_array_equal(got.masks["train/a-2"], MASK[::-1])
    assert "The masks are those of the column 'label' for 'image'" in got.notes
    assert dict(got.summary.splits) == {"train": 3, "val": 1}


def test_without_names_classes_are_called_by_their_values(tmp_path: Path) -> None:
    file = write(tmp_path / "in" / "train.parquet", [row("a.jpg"), row("b.jpg", np.full((2, 3), 7, np.uint8))])
    got = run(file, tmp_path / "out")
    assert got.names == ["0", "1", "2", "7"]
    assert got.masks["train/b"].tolist() == [[3, 3, 3], [3, 3, 3]]
    assert "No file names the classes" in got.notes


def test_images_are_read_a_few_at_a_time_and_by_place(tmp_path: Path) -> None:
    file = write(tmp_path / "in" / "train.parquet", [row(f"{number:02d}.jpg") for number in range(20)])
    images = open_annotations(file).images
    assert len(images) == 20
    assert [images[place].name for place in (0, 13, -1)] == ["train/00.jpg", "train/13.jpg", "train/19.jpg"]
    assert [image.name for image in images[8:10]] == ["train/08.jpg", "train/09.jpg"]


def test_names_stay_within_the_output(tmp_path: Path) -> None:
    write(tmp_path / "in" / "train.parquet", [row("../../evil.jpg"), row("/etc/..")])
    run(tmp_path / "in", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "images").rglob("*.*")) == ["000001.jpg", "evil.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize(
    ("faulty", "told"),
    [
        (row("a.jpg", label=cell(None)), "row 0, .*a.jpg: the row has no mask"),
        (row("a.jpg", image=cell(None)), "row 0, .*000000.png: the row has no image"),
        (row("a.jpg", label=cell(b"no image")), "row 0, .*a.jpg: Cannot read .*row 0: not an image"),
        (row("a.jpg", MASK[:1]), "annotated at 3 x 1, but the image has 3 x 2"),
        (row("a.jpg", np.zeros((2, 3, 3), np.uint8)), "colors"),
    ],
)
def test_a_faulty_row_is_named_and_can_be_left_out(tmp_path: Path, faulty: dict[str, Any], told: str) -> None:
    file = write(tmp_path / "in" / "train.parquet", [faulty, row("b.jpg")])
    with pytest.raises(DataError, match=f"train.parquet, {told}" if told.startswith("row") else told):
        run(file, tmp_path / "out")
    got = run(file, tmp_path / "out", faults="skip")
    assert sorted(got.masks) == ["train/b"]
    assert got.summary.num_faults == 1


def test_a_file_that_is_cut_short_and_columns_that_are_not_clear(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write(source / "train.parquet", [row("a.jpg")])
    cut = write(source / "test.parquet", [row("b.jpg")])
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"test.parquet: it is no parquet file, or cut short"):
        run(source, tmp_path / "out")
    assert sorted(run(source, tmp_path / "out", faults="skip").masks) == ["train/a"]
    extra = row("a.jpg") | {"depth_mask": cell(encoded(MASK))}
    with pytest.raises(DataError, match=r"has 3 columns of images \(image, label, depth_mask\); expected two"):
        run(write(tmp_path / "three.parquet", [extra]), tmp_path / "out")


def test_without_pyarrow_one_line_tells_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "train.parquet", [row("a.jpg")])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert recognize(file) == ("hugging_face", "Hugging Face parquet")
    with pytest.raises(DataError, match=r"pip install 'scenescope\[parquet\]'"):
        open_annotations(file)


def test_rows_that_are_damaged_in_the_middle_cost_no_other_file(tmp_path: Path) -> None:
    broken = write(tmp_path / "in/train-0.parquet", [row("a.jpg"), row("b.jpg")])
    write(tmp_path / "in/train-1.parquet", [row("c.jpg"), row("x" * 300 + ".jpg"), row("d.jpg")])
    content = bytearray(broken.read_bytes())
    content[4:60] = b"\xff" * 56
    broken.write_bytes(content)
    got = run(tmp_path / "in", tmp_path / "out", faults="skip")
    assert sorted(got.masks) == ["train/c", "train/d"]
    assert [rest[1][:7] for rest in got.dropped] == ["rows fr", "train/x"]
    assert "is damaged" in got.dropped[0][2]
    assert "longer than" in got.dropped[1][2]
