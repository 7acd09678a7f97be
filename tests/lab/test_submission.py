from __future__ import annotations

import fnmatch
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from scenescope.data.images import read_image
from scenescope.errors import DataError, ImageError, StorageError
from scenescope.lab.submission import SERVERS, image_sizes, require_output, voc_competition, write_submission
from scenescope.lab.submission_check import check_submission

RED_IS_THE_CLASS = SimpleNamespace(predict=lambda path: SimpleNamespace(labels=read_image(path)[..., 0]))
"""In a segmenter's place."""


def save(path: Path, labels: list[list[int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(labels, np.uint8)).convert("RGB").save(path, quality=100)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the test splits of all three, two images each, in their original layouts."""
    root = tmp_path / "data"
    save(root / "leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png", [list(range(19))])
    save(root / "leftImg8bit/test/bonn/bonn_000010_000019_leftImg8bit.png", [[18, 0], [1, 2]])
    voc = root / "VOCdevkit/VOC2012"
    save(voc / "JPEGImages/2008_000006.jpg", [[15] * 3] * 2)
    save(voc / "JPEGImages/2008_000008.jpg", [[0] * 4] * 2)
    (voc / "ImageSets/Segmentation").mkdir(parents=True)
    (voc / "ImageSets/Segmentation/test.txt").write_text("2008_000006\n2008_000008\n")
    save(root / "release_test/testing/ADE_test_00000001.jpg", [[0] * 3] * 2)
    save(root / "release_test/testing/ADE_test_00000002.jpg", [[149] * 2] * 2)
    return root


def images_of(root: Path, name: str) -> list[Path]:
    return [image for image, _ in SERVERS[name].open(str(root), "test").pairs]


def written(root: Path, name: str, tmp_path: Path) -> dict[str, Image.Image]:
    server = SERVERS[name]
    images = images_of(root, name)
    write_submission(RED_IS_THE_CLASS, server, images, tmp_path / "out.zip")
    assert check_submission(server, image_sizes(server, images), tmp_path / "out.zip") == {}
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert all(entry.external_attr >> 16 == 0o644 for entry in archive.infolist())
        return {entry: Image.open(io.BytesIO(archive.read(entry))) for entry in archive.namelist()}


def test_cityscapes_gets_original_ids_under_names_that_its_script_finds(root: Path, tmp_path: Path) -> None:
    images = written(root, "cityscapes", tmp_path)
    first, second = images.values()
    official = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert np.asarray(first).tolist() == [official]
    assert np.asarray(second).tolist() == [[33, 7], [8, 11]]
    assert first.mode == second.mode == "L"
    for frame in ("berlin_000000_000019", "bonn_000010_000019"):
        assert len(fnmatch.filter(images, f"{frame}*.png")) == 1


def test_voc_gets_palette_images_in_the_folder_of_its_competition(root: Path, tmp_path: Path) -> None:
    images = written(root, "voc", tmp_path)
    folder = "results/VOC2012/Segmentation/comp6_test_cls"
    assert list(images) == [f"{folder}/2008_000006.png", f"{folder}/2008_000008.png"]
    person, background = images.values()
    assert np.asarray(person).tolist() == [[15] * 3] * 2
    assert np.asarray(background).tolist() == [[0] * 4] * 2
    assert person.convert("RGB").getpixel((0, 0)) == (192, 128, 128)
    assert voc_competition("comp5").path == "results/VOC2012/Segmentation/comp5_test_cls/{}.png"
    assert voc_competition("comp6") == SERVERS["voc"]


def test_ade20k_gets_values_from_1_on_under_the_names_of_the_images(root: Path, tmp_path: Path) -> None:
    images = written(root, "ade20k", tmp_path)
    assert {name: np.asarray(image).tolist() for name, image in images.items()} == {
        "ADE_test_00000001.png": [[1] * 3] * 2,
        "ADE_test_00000002.png": [[150] * 2] * 2,
    }


def test_the_colors_of_voc_are_those_of_its_own_masks(real_data: Callable[[str], Path]) -> None:
    mask = real_data("voc2012") / "VOCdevkit/VOC2012/SegmentationClass/2007_000032.png"
    theirs = Image.open(mask)
    labels = np.asarray(theirs)
    ours = Image.open(io.BytesIO(SERVERS["voc"].encode(np.where(labels == 255, 0, labels))))
    assert ours.getpalette() == theirs.getpalette()


def test_the_same_predictions_make_the_same_bytes(root: Path, tmp_path: Path) -> None:
    written(root, "voc", tmp_path)
    before = (tmp_path / "out.zip").read_bytes()
    written(root, "voc", tmp_path)
    assert (tmp_path / "out.zip").read_bytes() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ImageError("damaged")])
def test_an_end_before_the_last_image_leaves_the_archive_of_before(
    root: Path, tmp_path: Path, error: BaseException
) -> None:
    (tmp_path / "out.zip").write_text("before")

    def images() -> Iterator[Path]:
        yield images_of(root, "ade20k")[0]
        raise error

    with pytest.raises(type(error)):
        write_submission(RED_IS_THE_CLASS, SERVERS["ade20k"], images(), tmp_path / "out.zip")
    assert (tmp_path / "out.zip").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out.zip"]


def test_sizes_are_told_by_id_and_an_image_listed_twice_is_refused(root: Path) -> None:
    server = SERVERS["voc"]
    assert image_sizes(server, images_of(root, "voc")) == {"2008_000006": (3, 2), "2008_000008": (4, 2)}
    (root / "VOCdevkit/VOC2012/ImageSets/Segmentation/test.txt").write_text("2008_000006\n2008_000006\n")
    with pytest.raises(DataError, match=r"2008_000006.jpg is there twice; .* Remove the other"):
        image_sizes(server, images_of(root, "voc"))


def test_a_place_that_no_archive_can_be_written_to_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "taken.zip").mkdir()
    with pytest.raises(StorageError, match=r"taken.zip is a directory; give the name of an archive"):
        require_output(tmp_path / "taken.zip")
    for name in ("", "results.tgz"):
        with pytest.raises(StorageError, match=r"is not the name of an archive; give one that ends in .zip"):
            require_output(Path(name))
