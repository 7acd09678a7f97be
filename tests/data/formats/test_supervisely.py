from __future__ import annotations

import base64
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenescope.data.formats import supervisely
from scenescope.data.formats.catalog import recognize
from scenescope.data.formats.opencv_polygon import opencv_polygon
from scenescope.data.formats.supervisely import decode_bitmap
from scenescope.errors import DataError
from tests.data.formats.imported import run, write_image, write_json

# From the documentation of supervisely.Bitmap: a ring of 3 x 3 pixels, as Bitmap.data_2_base64 has written it.
RING = (
    "eJzrDPBz5+WS4mJgYOD19HAJAtLMIMwIInOeqf8BUmwBPiGuQPr///9Lb86/C2QxlgT5BTM4PLuRBuTwebo4hlTMSa44sKHhISMDuxpTYrr03F6g"
    "DIOnq5/LOqeEJgDM5ht6"
)
HOLE = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
META = {"classes": [{"title": "road", "color": "#FF0001"}, {"title": "car", "color": "#00FF00"}], "tags": []}


def png(image: Image.Image, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, format="PNG", **options)
    return content.getvalue()


def packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


def bitmap(data: str = RING, origin: Any = (2, 1), title: str = "road") -> dict[str, Any]:
    return {"id": 5, "classTitle": title, "geometryType": "bitmap", "bitmap": {"data": data, "origin": list(origin)}}


def points(kind: str, exterior: Any, interior: Any = (), title: str = "car") -> dict[str, Any]:
    outline = {"exterior": exterior, "interior": list(interior)}
    return {"id": 6, "classTitle": title, "geometryType": kind, "points": outline}


def write(folder: Path, *objects: Any, data_set: str = "ds") -> Path:
    write_json(folder / "meta.json", META)
    write_image(folder / data_set / "img" / "a.png")
    content = {"description": "", "tags": [], "size": {"height": 6, "width": 8}, "objects": list(objects)}
    write_json(folder / data_set / "ann" / "a.png.json", content)
    return folder


def test_a_bitmap_lies_at_its_origin_and_is_cut_at_the_rim(tmp_path: Path) -> None:
    source = write(tmp_path / "in", bitmap(), bitmap(origin=(6, 4), title="car"), bitmap(origin=(-2, -1), title="car"))
    assert recognize(source) == ("supervisely", "Supervisely")
    got = run(source, tmp_path / "out")
    assert got.names == ["background", "road", "car"]
    expected = np.zeros((6, 8), dtype=int)
    expected[1:4, 2:5] = HOLE
    expected[4:6, 6:8] = [[2, 2], [2, 0]]
    expected[0:2, 0] = 2
    np.testing.assert_array_equal(got.masks["ds/a"], expected)


def test_polygon_with_a_hole_and_rectangle(tmp_path: Path) -> None:
    outline, hole = [[0, 0], [7.9, 0], [7, 5], [0, 5]], [[2, 1], [5, 1], [5, 4], [2, 4]]
    got = run(write(tmp_path / "in", points("polygon", outline, [hole])), tmp_path / "out")
    inside = opencv_polygon([(0, 0), (7, 0), (7, 5), (0, 5)], 6, 8)
    inside &= ~opencv_polygon([(2, 1), (5, 1), (5, 4), (2, 4)], 6, 8)
    np.testing.assert_array_equal(got.masks["ds/a"], inside * 2)
    # Corners belong to a rectangle, and whichever way it was drawn.
    flat = run(write(tmp_path / "flat", points("rectangle", [[9, 4], [6, 3]])), tmp_path / "out2")
    assert np.argwhere(flat.masks["ds/a"]).tolist() == [[3, 6], [3, 7], [4, 6], [4, 7]]


def test_data_sets_are_splits_and_points_are_listed(tmp_path: Path) -> None:
    source = write(tmp_path / "in", bitmap(), points("point", [[1, 1]]), data_set="train")
    write(source, data_set="valid")
    write(source, bitmap(), data_set="city/datasets/test")
    got = run(source, tmp_path / "out")
    assert dict(got.summary.splits) == {"test": 1, "train": 1, "val": 1}
    assert sorted(got.masks) == ["city/test/a", "train/a", "valid/a"]
    assert [row[1:] for row in got.dropped] == [["object 6 'car'", "a point is no area that is read", "1"]]


def test_every_png_that_the_sdk_reads() -> None:
    ring = (HOLE * 255).astype(np.uint8)
    paletted = Image.fromarray(HOLE.astype(np.uint8))
    paletted.putpalette([0, 0, 0, 255, 255, 255])
    clear = np.zeros((3, 3, 4), dtype=np.uint8)
    clear[:, :, 3] = ring
    for content in (
        png(paletted, transparency=0),
        png(Image.fromarray(ring)),
        png(Image.fromarray(HOLE.astype(bool))),
        png(Image.fromarray(clear)),
    ):
        np.testing.assert_array_equal(decode_bitmap(packed(content)), HOLE)
    np.testing.assert_array_equal(decode_bitmap(RING), HOLE)
    np.testing.assert_array_equal(decode_bitmap(base64.b64encode(png(Image.fromarray(ring))).decode()), HOLE)
    with pytest.raises(DataError, match="pixel type RGB"):
        decode_bitmap(packed(png(Image.new("RGB", (3, 3)))))


def test_bombs_are_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisely, "_MAX_BITMAP", 1000)
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        decode_bitmap(packed(b"\0" * 10**6))
    header = bytearray(png(Image.new("L", (3, 3))))
    header[16:24] = (10**5).to_bytes(4) * 2
    with pytest.raises(DataError, match="a bitmap that cannot be read"):
        decode_bitmap(packed(bytes(header)))


@pytest.mark.parametrize(
    ("faulty", "told"),
    [
        (bitmap(title="bus"), "object 5 'bus': meta.json has no such class"),
        (bitmap("????"), "object 5 'road': a bitmap that is damaged"),
        (bitmap(RING[:60]), "a bitmap that"),
        (bitmap(packed(b"no image")), "a bitmap that cannot be read"),
        (bitmap(origin=(1,)), "a bitmap without origin or data"),
        (points("polygon", [[0, 0], [5, 5]]), "object 6 'car': a polygon of 2 points"),
        (points("polygon", [[0, 0], [5, 5], [0, 5]], [[[1, 2]]]), "a polygon of 1 points"),
        (points("polygon", [[0, 0], [5, None], [0, 5]]), "points that are no pairs"),
        (points("rectangle", [[0, 0]]), "a rectangle of 1 corners"),
        (points("polygon", [[0, 0], [5, 5], [0, 5]]) | {"points": 3}, "no points"),
        (bitmap("\u00e9\ud800"), "a bitmap that is damaged"),
    ],
)
def test_a_faulty_object_is_named_and_can_be_left_out(tmp_path: Path, faulty: dict[str, Any], told: str) -> None:
    source = write(tmp_path / "in", faulty, points("rectangle", [[0, 0], [7, 5]], title="car"))
    with pytest.raises(DataError, match=f"a.png.json, .*{told}"):
        run(source, tmp_path / "out")
    got = run(source, tmp_path / "out", faults="skip")
    assert got.summary.num_faults == 1
    assert (got.masks["ds/a"] == 2).all()


def test_files_that_are_missing_or_cut_short(tmp_path: Path) -> None:
    source = write(tmp_path / "in", bitmap())
    annotation = source / "ds" / "ann" / "a.png.json"
    write_json(source / "ds" / "ann" / "b.png.json", {"size": {"height": 6, "width": 8}, "objects": []})
    with pytest.raises(DataError, match=r"b.png.json: the image 'ds/img/b.png' is not there"):
        run(source, tmp_path / "out")
    annotation.write_text(annotation.read_text()[:-9])
    with pytest.raises(DataError, match=r"a.png.json is no JSON, or cut short"):
        run(source, tmp_path / "out")
    write_json(source / "meta.json", {"classes": []})
    with pytest.raises(DataError, match=r"meta.json names no class"):
        run(source, tmp_path / "out")
