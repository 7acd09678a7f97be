from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.catalog import open_dataset
from scenescope.data.formats.annotations import IGNORED, UNLABELED, AnnotatedImage, Annotations, Fault, Labels, Region
from scenescope.errors import DataError, ScenescopeError, StorageError
from scenescope.workflows import import_data as workflow
from scenescope.workflows.import_data import ImportSummary, import_data

Source = Callable[..., None]


def box(label: int, left: int, top: int, right: int, bottom: int, id: str = "box") -> Region:
    def draw(height: int, width: int) -> np.ndarray:
        drawn = np.zeros((height, width), dtype=bool)
        drawn[top:bottom, left:right] = True
        return drawn

    return Region(label, id, draw)


def fails(id: str) -> Region:
    def draw(height: int, width: int) -> np.ndarray:
        raise DataError("a polygon of 2 points")

    return Region(0, id, draw)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A function that lets the import find these images of 4 x 3, by name, and what lies on them."""
    folder = tmp_path / "source"
    folder.mkdir()

    def lay(images: dict[str, Labels], orientation: int = 1, **changes: object) -> None:
        found = []
        for number, (name, labels) in enumerate(images.items()):
            path = folder / f"{number}.png"
            exif = Image.Exif()
            exif[0x0112] = orientation
            Image.new("RGB", (4, 3), (number, 0, 0)).save(path, exif=exif)
            options = {"splits": ("train",)} | {k: v for k, v in changes.items() if k in ("splits", "size", "turned")}
            found.append(AnnotatedImage(name, path, lambda labels=labels: labels, "tool.json", **options))  # type: ignore
        kept = {k: v for k, v in changes.items() if k not in ("splits", "size", "turned")}
        annotations = Annotations("test", ("cat", "dog"), found, **kept)  # type: ignore[arg-type]
        monkeypatch.setattr(workflow, "open_annotations", lambda source, image_dir: annotations)

    return lay


def run(tmp_path: Path, **options: object) -> ImportSummary:
    return import_data(str(tmp_path / "source"), tmp_path / "out", **options)  # type: ignore[arg-type]


def mask(tmp_path: Path, name: str = "a") -> list[list[int]]:
    values: list[list[int]] = np.array(Image.open(tmp_path / f"out/masks/{name}.png")).tolist()
    return values


def dropped(tmp_path: Path) -> list[list[str]]:
    with (tmp_path / "out/dropped.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_later_regions_are_on_top_or_the_smaller(tmp_path: Path, source: Source) -> None:
    source({"a.png": Labels([box(0, 0, 0, 1, 1), box(1, 0, 0, 3, 2)])})
    summary = run(tmp_path)
    assert mask(tmp_path) == [[2, 2, 2, 0], [2, 2, 2, 0], [0, 0, 0, 0]]
    assert (summary.regions_found, dict(summary.regions_of)) == (2, {"dog": 1})
    assert summary.notes == ["1 regions have no pixel of their own; --overlap area puts smaller ones on top."]
    assert dropped(tmp_path) == [["tool.json", "box", "has no pixel of its own: covered by others, or thinner", "1"]]
    summary = run(tmp_path, overlap="area")
    assert mask(tmp_path) == [[1, 2, 2, 0], [2, 2, 2, 0], [0, 0, 0, 0]]
    assert (summary.regions_found, dict(summary.regions_of)) == (2, {"cat": 1, "dog": 1})


def test_pixels_without_label_are_background_or_ignored(tmp_path: Path, source: Source) -> None:
    labels = Labels([box(1, 0, 0, 4, 1), box(UNLABELED, 0, 0, 1, 1), box(IGNORED, 3, 0, 4, 1)])
    source({"a.png": labels})
    summary = run(tmp_path)
    assert mask(tmp_path) == [[0, 2, 2, 255], [0] * 4, [0] * 4]
    assert (summary.unlabeled_pixels, summary.ignored_pixels, dict(summary.pixels_of)) == (9, 1, {"dog": 2})
    dataset = open_dataset("folder", str(tmp_path / "out"), "train")
    assert dataset.classes.names == ("background", "cat", "dog")
    assert dataset[0].labels.tolist() == mask(tmp_path)
    run(tmp_path, unlabeled="ignore")
    assert mask(tmp_path) == [[255, 1, 1, 255], [255] * 4, [255] * 4]
    assert open_dataset("folder", str(tmp_path / "out"), "train").classes.names == ("cat", "dog")


@pytest.mark.parametrize("name", ["background", "_background_", "Background"])
def test_a_class_that_is_called_background_takes_what_has_no_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    image = AnnotatedImage("a.png", tmp_path / "a.png", lambda: Labels([box(0, 0, 0, 1, 3)]), "tool.json")
    found = Annotations("test", ("cat", name), [image])
    monkeypatch.setattr(workflow, "open_annotations", lambda source, image_dir: found)
    run(tmp_path)
    assert mask(tmp_path) == [[0, 1, 1, 1]] * 3


def test_faults_end_the_import_or_are_listed(tmp_path: Path, source: Source) -> None:
    bad = Labels([box(0, 0, 0, 1, 1), fails("shape 2")], faults=[Fault("tool.json", "shape 3", "unknown class")])
    source({"a.png": bad, "../b.png": Labels([box(0, 0, 0, 1, 1)])}, faults=[Fault("x.json", "7", "no image", 4)])
    with pytest.raises(DataError, match=r"x\.json, 7: no image \(4 such faults\)"):
        run(tmp_path)
    assert os.listdir(tmp_path) == ["source"]
    summary = run(tmp_path, faults="skip")
    assert [row[1:] for row in dropped(tmp_path)] == [
        ["7", "no image", "4"],
        ["shape 3", "unknown class", "1"],
        ["shape 2", "a polygon of 2 points", "1"],
        ["../b.png", "'../b.png' is no name of an image within a folder", "1"],
    ]
    assert (summary.regions_found, summary.regions_of.total(), summary.num_faults, summary.images) == (8, 1, 4, 1)
    assert json.loads((tmp_path / "out/import.json").read_text())["dropped"] == 4


@pytest.mark.parametrize(
    "name", ["../a.png", "/etc/a.png", "a/../../b.png", "C:\\a.png", "..\\a.png", ".a.png", "a\0.png", "a", "a.txt", ""]
)
def test_no_name_leaves_the_output(tmp_path: Path, source: Source, name: str) -> None:
    source({name: Labels([box(0, 0, 0, 1, 1)]), "b.png": Labels([box(0, 0, 0, 1, 1)])})
    before = set(tmp_path.rglob("*"))
    assert run(tmp_path, faults="skip").images == 1
    new = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "out") for path in new)


def test_cells_of_the_table_are_no_formulas(tmp_path: Path, source: Source) -> None:
    source({"b.png": Labels([box(0, 0, 0, 1, 1)])}, dropped=[Fault("=HYPERLINK(1)", "@x", "-1\n2")])
    run(tmp_path)
    assert dropped(tmp_path) == [["'=HYPERLINK(1)", "'@x", "'-1\n2", "1"]]


def test_images_of_one_stem_get_names_of_their_own(tmp_path: Path, source: Source) -> None:
    labels = Labels([box(0, 0, 0, 1, 1)])
    source({"a.png": labels, "A.png": labels, "x/a.png": labels, "a.PNG": labels})
    run(tmp_path)
    names = [path.relative_to(tmp_path / "out/images").as_posix() for path in (tmp_path / "out/images").rglob("*.*")]
    assert sorted(names) == ["A-2.png", "a-3.PNG", "a.png", "x/a.png"]
    assert len(open_dataset("folder", str(tmp_path / "out"), "train")) == 4


def test_splits_are_lists_or_folders(tmp_path: Path, source: Source) -> None:
    labels = Labels([box(0, 0, 0, 1, 1)])
    source({"b c.png": labels, "a.png": labels}, splits=("train", "extra"))
    summary = run(tmp_path)
    assert (tmp_path / "out/extra.txt").read_text() == "images/b c.png\nimages/a.png\n"
    assert summary.splits == {"train": 2, "extra": 2}
    assert len(open_dataset("folder", str(tmp_path / "out"), "extra")) == 2
    source({"train/a.png": labels})
    run(tmp_path)
    assert not list((tmp_path / "out").glob("*.txt"))
    assert len(open_dataset("folder", str(tmp_path / "out"), "train")) == 1


@pytest.mark.parametrize("link", ["hardlink", "symlink", "copy"])
def test_images_are_linked_or_copied(tmp_path: Path, source: Source, link: str) -> None:
    source({"a.png": Labels([box(0, 0, 0, 1, 1)])})
    run(tmp_path, link=link)
    original, image = tmp_path / "source/0.png", tmp_path / "out/images/a.png"
    assert image.read_bytes() == original.read_bytes()
    assert image.is_symlink() == (link == "symlink")
    assert (original.stat().st_ino == image.stat().st_ino) == (link != "copy")
    run(tmp_path, link=link)  # it knows its own


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_are_as_images_are_displayed(tmp_path: Path, source: Source, orientation: int) -> None:
    labels = np.arange(12).reshape(3, 4) % 2
    source({"a.png": Labels(pixels=labels)}, orientation, turned=False, unlabeled="ignore")
    run(tmp_path)
    sample = open_dataset("folder", str(tmp_path / "out"), "train")[0]
    exif = Image.Exif()
    exif[0x0112] = orientation
    drawn = Image.fromarray(labels.astype(np.uint8))
    drawn.getexif()[0x0112] = orientation
    from PIL import ImageOps

    assert sample.labels.tolist() == np.array(ImageOps.exif_transpose(drawn)).tolist()
    assert sample.image.shape[:2] == sample.labels.shape


@pytest.mark.parametrize(
    ("orientation", "size", "turned", "said"),
    [
        (6, (3, 4), None, ""),  # the size as displayed
        (6, (4, 3), None, ""),  # the size as stored
        (6, None, True, ""),
        (3, (4, 3), True, ""),
        (3, (4, 3), None, "nothing says"),
        (6, None, None, "nothing says"),
        (6, (4, 3), True, "annotated at 4 x 3, but the image is displayed at 3 x 4"),
        (6, (3, 4), False, "annotated at 3 x 4, but the image is stored at 4 x 3"),
        (1, (8, 6), None, "annotated at 8 x 6, but the image has 4 x 3"),
    ],
)
def test_polygons_beside_an_image_that_its_exif_turns(
    tmp_path: Path, source: Source, orientation: int, size: tuple[int, int] | None, turned: bool | None, said: str
) -> None:
    source({"a.png": Labels([box(0, 0, 0, 1, 1)])}, orientation, size=size, turned=turned)
    if said:
        with pytest.raises(DataError, match=said):
            run(tmp_path)
        return
    run(tmp_path)
    as_stored = size == (4, 3) and orientation == 6
    expected = [[0, 0, 1], [0] * 3, [0] * 3, [0] * 3] if as_stored else [[1, 0, 0], [0] * 3, [0] * 3, [0] * 3]
    assert mask(tmp_path) == (expected if orientation == 6 else [[1, 0, 0, 0], [0] * 4, [0] * 4])


def test_an_image_that_is_cut_short_is_named(tmp_path: Path, source: Source) -> None:
    source({"a.png": Labels([box(0, 0, 0, 1, 1)]), "b.png": Labels([box(0, 0, 0, 1, 1)])})
    path = tmp_path / "source/0.png"
    path.write_bytes(path.read_bytes()[:-28])
    with pytest.raises(DataError, match=r"tool\.json, a\.png: Cannot read .*0\.png: the image is damaged or cut short"):
        run(tmp_path)
    assert run(tmp_path, faults="skip").images == 1


def test_an_import_without_any_region_is_none(tmp_path: Path, source: Source) -> None:
    source({"a.png": Labels()}, dropped=[Fault("tool.json", "annotation 1", "a box without an outline")])
    with pytest.raises(DataError, match=r"None of 1 annotations .* can be drawn; the first: .* a box without"):
        run(tmp_path)
    source({})
    with pytest.raises(DataError, match="has no image that can be imported"):
        run(tmp_path)
    assert os.listdir(tmp_path) == ["source"]


def test_images_without_label_are_told(tmp_path: Path, source: Source) -> None:
    source({"a.png": Labels([box(0, 0, 0, 1, 1)]), "b.png": Labels(), "c.png": Labels()})
    assert run(tmp_path).notes == ["2 images have no label: all of their pixels are background."]


def test_an_image_that_is_annotated_twice_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    images = [
        AnnotatedImage(name, tmp_path / name, lambda: Labels([box(0, 0, 0, 1, 3)]), f"{name}.json")
        for name in ("a.png", "link.png")
    ]
    found = Annotations("test", ("cat",), images)
    monkeypatch.setattr(workflow, "open_annotations", lambda source, image_dir: found)
    with pytest.raises(DataError, match=r"link\.png is annotated twice, in a\.png\.json before; remove one"):
        run(tmp_path)
    assert run(tmp_path, faults="skip").images == 1


def test_nothing_is_replaced_but_an_unchanged_import(tmp_path: Path, source: Source) -> None:
    source({"a.png": Labels([box(0, 0, 0, 1, 1)])})
    out = tmp_path / "out"
    out.mkdir()
    run(tmp_path)  # an empty folder is free
    before = contents(out)
    run(tmp_path)
    assert contents(out) == before
    Image.new("L", (4, 3)).save(out / "masks/a.png")  # a user has corrected it
    with pytest.raises(StorageError, match=r"masks/a\.png is not, or no longer, what import has written"):
        run(tmp_path)
    (out / "masks/a.png").write_bytes(before["masks/a.png"])
    (out / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"notes\.txt is not"):
        run(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "x").touch()
    with pytest.raises(StorageError, match="is no folder that import has written"):
        import_data("x", other)


def test_a_failed_import_leaves_the_earlier_one(tmp_path: Path, source: Source) -> None:
    source({"a.png": Labels([box(0, 0, 0, 1, 1)])})
    run(tmp_path)
    before = contents(tmp_path / "out")
    source({"a.png": Labels([fails("x")])})
    with pytest.raises(ScenescopeError):
        run(tmp_path)
    assert contents(tmp_path / "out") == before
    assert sorted(os.listdir(tmp_path)) == ["out", "source"]


KILLED = """
import os, signal, sys
from pathlib import Path
from scenescope.workflows.import_data import import_data

def progress(what, done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

import_data(sys.argv[1], Path(sys.argv[2]), progress=progress)
"""


def test_killed_and_called_again_it_writes_the_same_bytes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in "abc":
        Image.new("RGB", (4, 3)).save(data / f"{name}.jpg")
        shape = {"label": "cat", "points": [[0, 0], [2, 0], [2, 2]], "shape_type": "polygon"}
        content = {"imagePath": f"{name}.jpg", "imageData": None, "shapes": [shape]}
        (data / f"{name}.json").write_text(json.dumps(content))
    import_data(str(data), tmp_path / "whole")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(data), str(tmp_path / "out")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.importing").exists()
    import_data(str(data), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path)) == ["data", "out", "whole"]


def test_a_folder_of_that_hidden_name_is_left_alone(tmp_path: Path, source: Source) -> None:
    source({"a.png": Labels([box(0, 0, 0, 1, 1)])})
    (tmp_path / ".out.importing").mkdir()
    (tmp_path / ".out.importing/mine").touch()
    with pytest.raises(StorageError, match="in the way"):
        run(tmp_path)
    assert (tmp_path / ".out.importing/mine").exists()


def test_more_than_255_classes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: Sequence[str] = [str(number) for number in range(300)]
    found = Annotations("test", tuple(names), [])
    monkeypatch.setattr(workflow, "open_annotations", lambda source, image_dir: found)
    with pytest.raises(DataError, match="301 classes given"):
        run(tmp_path)


def test_real_masks_as_runs_of_coco_come_back_equal(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    runs = pytest.importorskip("pycocotools.mask")
    real = open_dataset("camvid", str(real_data("camvid")), "val")
    images, annotations = [], []
    (tmp_path / "val").mkdir()
    for number in range(3):
        sample = real[number]
        height, width = sample.labels.shape
        Image.fromarray(sample.image).save(tmp_path / f"val/{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
        for label in np.unique(sample.labels[sample.labels != 255]).tolist():
            packed = runs.encode(np.asfortranarray(sample.labels == label).astype(np.uint8, order="F"))
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": label + 1,
                    "segmentation": {"size": packed["size"], "counts": packed["counts"].decode()},
                    "iscrowd": 1,
                }
            )
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(real.classes.names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "val/_annotations.coco.json").write_text(json.dumps(content))
    summary = import_data(str(tmp_path), tmp_path / "out", unlabeled="ignore")
    assert (summary.images, summary.regions_of.total()) == (3, len(annotations))
    found = open_dataset("folder", str(tmp_path / "out"), "val")
    assert found.classes.names == real.classes.names
    for number in range(3):
        np.testing.assert_array_equal(found[number].labels, real[number].labels)


def test_names_that_are_no_unicode_are_written_out(tmp_path: Path, source: Source) -> None:
    source({"a.png": Labels([box(0, 0, 0, 1, 1)])}, dropped=[Fault("b\udcff.json", "\ud800", "no image")])
    run(tmp_path)
    assert dropped(tmp_path) == [["b\\udcff.json", "\\ud800", "no image", "1"]]


def test_links_whose_images_were_moved_are_no_hindrance(tmp_path: Path, source: Source) -> None:
    source({"a.png": Labels([box(0, 0, 0, 1, 1)])})
    run(tmp_path, link="symlink")
    (tmp_path / "source/0.png").unlink()
    source({"b.png": Labels([box(0, 0, 0, 1, 1)])})
    run(tmp_path, link="symlink")
    assert [path.name for path in (tmp_path / "out/images").iterdir()] == ["b.png"]


def test_a_time_is_no_drive(tmp_path: Path, source: Source) -> None:
    source({"12:30.png": Labels([box(0, 0, 0, 1, 1)])})
    run(tmp_path)
    assert mask(tmp_path, "12:30")[0][0] == 1
