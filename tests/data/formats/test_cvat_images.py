from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from scenescope.data.formats.catalog import recognize
from scenescope.errors import DataError
from tests.data.formats.imported import run, write_image

LABELS = """<labels><label><name>cat</name><color>#fa3253</color><type>any</type><attributes></attributes></label>
<label><name>dog</name><color>#0000ff</color><type>any</type></label>
<label><name>leg</name><color>#000001</color><type>points</type><parent>spider</parent></label></labels>"""
HEAD = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><job><id>7</id><size>1</size><mode>annotation</mode>{LABELS}</job><dumped>2024-05-01</dumped></meta>
"""


def shape(tag: str, label: str = "cat", z_order: int = 0, **values: object) -> str:
    told = " ".join(f'{name}="{value}"' for name, value in values.items())
    return f'<{tag} label="{label}" source="manual" occluded="0" {told} z_order="{z_order}"></{tag}>'


def write(folder: Path, *shapes: str, name: str = "a.png", more: str = "", size: str = 'width="8" height="6"') -> Path:
    write_image(folder / "images" / name)
    image = f'  <image id="0" name="{name}" {size}>{"".join(shapes)}</image>\n'
    (folder / "annotations.xml").write_text(f"{HEAD}{image}{more}</annotations>\n", encoding="utf-8")
    return folder


def drawn(*points: float) -> np.ndarray:
    """A polygon as CVAT's export of masks draws it: datumaro's polygons_to_masks, which is pycocotools."""
    runs = coco.merge(coco.frPyObjects([list(points)], 6, 8))
    return np.asarray(coco.decode(runs), dtype=bool)


def test_polygon_and_box_equal_pycocotools_and_z_order_is_on_top(tmp_path: Path) -> None:
    polygon = shape("polygon", "cat", 1, points="1.00,0.50;6.00,1.00;4.00,5.00")
    box = shape("box", "dog", 0, xtl="0.00", ytl="2.00", xbr="8.00", ybr="6.00")
    source = write(tmp_path / "in", polygon, box)
    assert recognize(source) == recognize(source / "annotations.xml") == ("cvat_images", "CVAT for images 1.1")
    got = run(source, tmp_path / "out")
    assert got.names == ["background", "cat", "dog"]
    expected = np.where(drawn(0, 2, 8, 2, 8, 6, 0, 6), 2, 0)
    expected[drawn(1, 0.5, 6, 1, 4, 5)] = 1
    np.testing.assert_array_equal(got.masks["a"], expected)
    # Of the same height, the later in the file is on top.
    flat = run(write(tmp_path / "flat", polygon.replace('z_order="1"', 'z_order="0"'), box), tmp_path / "out2")
    assert flat.masks["a"][3, 4] == 2


def test_a_box_turned_by_a_quarter_stands_upright(tmp_path: Path) -> None:
    lying = shape("box", xtl=1, ytl=2, xbr=5, ybr=4, rotation="90.00")
    got = run(write(tmp_path / "in", lying), tmp_path / "out")
    assert np.argwhere(got.masks["a"]).min(axis=0).tolist() == [1, 2]
    np.testing.assert_array_equal(got.masks["a"] > 0, drawn(4, 1, 4, 5, 2, 5, 2, 1))


def test_a_mask_is_runs_row_by_row_within_its_box(tmp_path: Path) -> None:
    mask = shape("mask", "dog", rle="1, 2, 2, 1", left=3, top=2, width=3, height=2)
    expected = np.zeros((6, 8))
    expected[2:4, 3:6] = [[0, 2, 2], [0, 0, 2]]
    np.testing.assert_array_equal(run(write(tmp_path / "in", mask), tmp_path / "out").masks["a"], expected)


def test_an_ellipse_is_round_and_turns(tmp_path: Path) -> None:
    got = run(write(tmp_path / "in", shape("ellipse", cx=4, cy=3, rx=3, ry=1, rotation="90.00")), tmp_path / "out")
    rows, columns = np.nonzero(got.masks["a"])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 5, 3, 4)


def test_what_has_no_area_and_images_without_shapes_are_told(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "images" / "b.png")
    empty = '<image id="1" name="b.png" width="8" height="6"></image>'
    line, tag = shape("polyline", points="1,1;2,2"), '<tag label="cat" source="manual"></tag>'
    got = run(write(tmp_path / "in", shape("box", xtl=0, ytl=0, xbr=2, ybr=2), line, tag, more=empty), tmp_path / "out")
    assert [row[1:] for row in got.dropped] == [["image 0, polyline 2 'cat'", "a polyline has no area", "1"]]
    assert "1 images have no label" in got.notes
    assert "1 tags" in got.notes
    assert not got.masks["b"].any()


def test_subsets_of_a_project_are_splits(tmp_path: Path) -> None:
    box = shape("box", xtl=0, ytl=0, xbr=2, ybr=2)
    for subset in ("Train", "Validation"):
        write_image(tmp_path / "in" / "images" / subset / "a.png")
    images = "".join(
        f'<image id="{number}" name="a.png" subset="{subset}" task_id="3" width="8" height="6">{box}</image>'
        for number, subset in enumerate(("Train", "Validation"))
    )
    (tmp_path / "in" / "annotations.xml").write_text(f"{HEAD}{images}</annotations>")
    got = run(tmp_path / "in", tmp_path / "out")
    assert sorted(got.masks) == ["Train/a", "Validation/a"]
    assert (tmp_path / "out" / "val.txt").read_text() == "images/Validation/a.png\n"


@pytest.mark.parametrize(
    ("faulty", "told"),
    [
        (shape("polygon", points="1,1;2,2"), "polygon 1 'cat': a polygon of 2 points"),
        (shape("polygon", points="1,1;2,x;3,3"), "the coordinate 'x' is no number"),
        (shape("polygon", points="1,1;2,nan;3,3"), "the coordinate 'nan' is none of an image"),
        (shape("polygon", points="1,1;2,2,2;3,3"), "points"),
        (shape("box", xtl=1, ytl=1, xbr=4), "the coordinate None is no number"),
        (shape("box", "cow", xtl=1, ytl=1, xbr=4, ybr=4), "box 1 'cow': the label is none of those"),
        (shape("mask", rle="1, 2", left=3, top=2, width=3, height=2), "runs of 3 pixels for a mask of 3 x 2 = 6"),
        (shape("mask", rle="-1, 7", left=3, top=2, width=3, height=2), "runs of 6 pixels for a mask"),
        (shape("mask", rle="x", left=3, top=2, width=3, height=2), "runs of -1 pixels"),
        (shape("mask", rle="0, 6", left=7, top=2, width=3, height=2), r"3 x 2 at \(7, 2\) in an image of 8 x 6"),
        (shape("mask", rle="0, 6", left=-1, top=2, width=3, height=2), r"at \(-1, 2\)"),
        (shape("mask", rle="0, 99999999999", left=0, top=0, width=99999999999, height=1), "in an image of 8 x 6"),
    ],
)  # fmt: skip
def test_a_faulty_shape_is_named_and_can_be_left_out(tmp_path: Path, faulty: str, told: str) -> None:
    source = write(tmp_path / "in", faulty, shape("box", "dog", xtl=0, ytl=0, xbr=8, ybr=6))
    with pytest.raises(DataError, match=f"annotations.xml, image 0.*{told}"):
        run(source, tmp_path / "out")
    got = run(source, tmp_path / "out", faults="skip")
    assert got.summary.num_faults == 1
    assert (got.masks["a"] == 2).all()


def test_faults_of_a_whole_image_or_file(tmp_path: Path) -> None:
    box = shape("box", xtl=0, ytl=0, xbr=2, ybr=2)
    other = write(tmp_path / "size", box, size='width="9" height="6"')
    with pytest.raises(DataError, match="annotated at 9 x 6, but the image has 8 x 6"):
        run(other, tmp_path / "out")
    gone = write(tmp_path / "gone", box)
    (gone / "images" / "a.png").unlink()
    with pytest.raises(DataError, match=r"image 0: the image 'a.png' is not there"):
        run(gone, tmp_path / "out")
    cut = write(tmp_path / "cut", box)
    (cut / "annotations.xml").write_text((cut / "annotations.xml").read_text()[:-30])
    with pytest.raises(DataError, match=r"no XML, or cut short"):
        run(cut, tmp_path / "out")
    video = write(tmp_path / "video", more='<track id="0" label="cat"></track>')
    with pytest.raises(DataError, match=r"export the task again as 'CVAT for images 1.1'"):
        run(video, tmp_path / "out")


def test_no_name_leaves_the_output(tmp_path: Path) -> None:
    box = shape("box", xtl=0, ytl=0, xbr=2, ybr=2)
    source = write(tmp_path / "in", box)
    text = (source / "annotations.xml").read_text()
    (source / "annotations.xml").write_text(text.replace('name="a.png"', 'name="../../../a.png"'))
    run(source, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "images").rglob("*.png")] == ["a.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_an_image_that_its_exif_turns_is_annotated_as_it_is_displayed(tmp_path: Path) -> None:
    source = write(tmp_path / "in", shape("box", xtl=0, ytl=0, xbr=2, ybr=8), name="b.jpg", size='width="6" height="8"')
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 6)).save(source / "images" / "b.jpg", exif=exif)
    got = run(source, tmp_path / "out")
    assert got.masks["b"].shape == (8, 6)
    assert (got.masks["b"][:, :2] == 1).all()
    assert not got.masks["b"][:, 2:].any()
