from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from scenescope.data.masks import LabelTable, decode
from scenescope.data.mat_files import MAX_BYTES, read_matrix
from scenescope.errors import DataError, ImageError

MAP = np.array([[0, 3, 1], [459, 2, 2]])


@pytest.mark.parametrize("kind", [np.uint16, np.int64, np.float64])
@pytest.mark.parametrize("compressed", [False, True])
def test_label_maps_of_every_set_and_type(tmp_path: Path, kind: type, compressed: bool) -> None:
    for number, content in enumerate(
        ({"GTcls": {"Boundaries": [[1]], "Segmentation": MAP.astype(kind)}}, {"LabelMap": MAP.astype(kind)})
    ):
        path = tmp_path / f"{number}.mat"
        savemat(path, {**content, "captions": "text"}, do_compression=compressed)
        np.testing.assert_array_equal(read_matrix(path), MAP)
    savemat(path, {"S": MAP[:1].astype(kind)})
    assert read_matrix(path).dtype == np.uint8


def test_a_mask_may_be_a_matrix(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"S": MAP})
    labels = decode(tmp_path / "a.mat", LabelTable.of_values([[0], [1, 2, 3]], [459]))
    assert labels.tolist() == [[0, 1, 1], [255, 1, 1]]
    with pytest.raises(DataError, match=r"a.mat: one number per pixel where colors are expected"):
        decode(tmp_path / "a.mat", LabelTable.of_colors([[(0, 0, 0)]]))


@pytest.mark.parametrize(
    "content",
    [
        {"T": MAP},
        {"S": MAP - 1},
        {"S": MAP + 0.5},
        {"S": MAP * 1000.0},
        {"S": np.array([[np.nan]])},
        {"S": np.zeros((2, 2, 2))},
        {"S": np.array([["text"]], dtype=object)},
        {"S": "text"},
        {"S": {"Segmentation": "text"}},
        {"GTcls": {"Boundaries": MAP}},
        {"S": np.zeros((0, 3))},
    ],
)
def test_what_is_no_label_map_is_refused(tmp_path: Path, content: dict[str, object]) -> None:
    savemat(tmp_path / "a.mat", content)
    with pytest.raises(ImageError, match=r"Cannot read .*a.mat: it holds no label map; expected GTcls.Segmentation"):
        read_matrix(tmp_path / "a.mat")


def test_damaged_missing_and_large_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    with pytest.raises(ImageError, match=r"a.mat: No such file or directory; check the path"):
        read_matrix(path)
    savemat(path, {"S": np.arange(60_000).reshape(200, 300)}, do_compression=True)
    with pytest.raises(ImageError, match="300 x 200 values are more than the limit of 50,000"):
        read_matrix(path, 50_000)
    whole = path.read_bytes()
    for damaged in (b"", b"no matrix", whole[:100], whole[: len(whole) // 2], whole[:300] + b"\xff" * 40 + whole[340:]):
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=r"Cannot read .*a\.mat") as caught:
            read_matrix(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF")
    with pytest.raises(ImageError, match=r"MATLAB 7.3 files are not read; save it again with -v7"):
        read_matrix(path)


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content


def announced(rows: int, columns: int) -> bytes:
    """A file of a few kilobytes whose label map is of this size, and 0 throughout."""
    dimensions = element(6, struct.pack("<II", 9, 0)) + element(5, struct.pack("<ii", rows, columns))
    name = struct.pack("<II", 1, 1) + b"S".ljust(8, b"\0")
    variable = dimensions + name + element(2, bytes(rows * columns))
    return b"MATLAB 5.0".ljust(124) + b"\0\x01IM" + element(15, zlib.compress(element(14, variable), 9))


def test_no_more_is_inflated_than_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(announced(1000, 1000))
    assert read_matrix(path).shape == (1000, 1000)
    content = announced(5000, 4000)
    assert len(content) < 30_000
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"its variables take more than 16,777,216 bytes; save the label map alone"):
        read_matrix(path)
    # Nothing is compressed here: the file itself is too long, and is not read to its end.
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ImageError, match=r"more than 16,777,216 bytes"):
        read_matrix(path)


def test_a_large_field_beside_the_label_map_is_refused_before_scipy_sees_it(tmp_path: Path) -> None:
    content = {"GTcls": {"Boundaries": np.zeros((5000, 4000), np.uint8), "Segmentation": MAP.astype(np.uint8)}}
    savemat(tmp_path / "a.mat", content, do_compression=True)
    assert (tmp_path / "a.mat").stat().st_size < 50_000
    with pytest.raises(ImageError, match=r"more than 16,777,216 bytes"):
        read_matrix(tmp_path / "a.mat")
