"""Images and masks as people have them: more than 8 bit, further bands, EXIF turns, palettes, optimized masks."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.checkpoints.model_directory import save_model
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

Run = Callable[..., Any]
NOISE = np.random.default_rng(0)
SIZE = (24, 32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("model")
    network = create_model("danet", backbone="test_resnet", num_classes=3, output_stride=16)
    save_model(network, Classes.named(["road", "sky", "car"]), directory)
    return directory


def tiff(array: np.ndarray, photometric: int = 1, extra: tuple[int, ...] = ()) -> bytes:
    """A TIFF as rasterio and tifffile write it, of any number of bands."""
    bands = 1 if array.ndim == 2 else array.shape[2]
    kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    data = array.tobytes()
    tags = [
        *((256, (array.shape[1],)), (257, (array.shape[0],)), (258, (8 * array.dtype.itemsize,) * bands), (259, (1,))),
        *((262, (photometric,)), (273, (8,)), (277, (bands,)), (278, (array.shape[0],)), (279, (len(data),))),
        *([(338, extra)] if extra else []),
        (339, (kind,) * bands),
    ]
    table, beside, after = struct.pack("<H", len(tags)), b"", 8 + len(data) + 2 + 12 * len(tags) + 4
    for tag, values in tags:
        packed = struct.pack(f"<{len(values)}I", *values)
        table += struct.pack("<HHI", tag, 4, len(values))
        table += packed if len(values) == 1 else struct.pack("<I", after + len(beside))
        beside += packed if len(values) > 1 else b""
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + table + bytes(4) + beside


def wide_png(array: np.ndarray) -> bytes:
    """A PNG of 16-bit RGB, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def data_set(
    root: Path, images: dict[str, bytes | np.ndarray], masks: np.ndarray | None = None, **classes: Any
) -> Path:
    """A folder data set whose masks hold 0, 1 and 2; the first image is the one to score on."""
    halves = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) * 3 // (SIZE[0] * SIZE[1])
    for number, (name, content) in enumerate(images.items()):
        split = "train" if number else "val"
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        path = root / "images" / split / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            Image.fromarray(content).save(path)
        mask = (halves if masks is None else masks).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / split / f"{path.stem}.png")
    (root / "classes.yaml").write_text(json.dumps({"names": ["a", "b", "c"], **classes}))
    return root


def photo() -> np.ndarray:
    return NOISE.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def decibels() -> np.ndarray:
    return NOISE.uniform(-25, 0, SIZE).astype(np.float32)


def numbers(most: int, bands: int = 1) -> np.ndarray:
    return NOISE.integers(0, most, SIZE if bands == 1 else (*SIZE, bands), dtype=np.uint16)


DARK = {
    # torchgeo; scikit-image#1929
    "radar in dB": ("tif", lambda: tiff(decibels()), "1 band of float32, values -2"),
    # micro-sam#993
    "12 bit in 16": ("png", lambda: numbers(4096), "(only 12 of 16 bits are used)"),
    # traiNNer-redux#315
    "12 bit in 16, RGB": ("png", lambda: wide_png(numbers(4096, 3)), "3 bands of uint16, values"),
    # AIforEarth-API-Development#57: as rasterio writes it, without saying RGB
    "reflectance of rasterio": ("tif", lambda: tiff(numbers(3000, 3), 1, (0, 0)), "3 bands of uint16, values"),
    # sentinel2-landcover#27
    "reflectance above 1": ("tif", lambda: tiff(np.float32(numbers(1020) / 1000)), "(read are 0 to 1)"),
    # deepcell-toolbox#55
    "vegetation index": ("tif", lambda: tiff(np.float32(NOISE.uniform(-1, 1, SIZE))), "1 band of float32, values -"),
    "hundredths of a kelvin": ("tif", lambda: tiff(numbers(2000) + np.uint16(29000)), "values 290"),
    "Hounsfield units": ("tif", lambda: tiff(NOISE.integers(-1000, 1000, SIZE, dtype=np.int16)), "1 band of int16"),
    # labelme#1812
    "five bands of float": ("tif", lambda: tiff(np.ones((*SIZE, 5), np.float32), 1, (0,) * 4), "of 5 bands of float32"),
    # FAME-Net#6
    "eight bands of 11 bit": ("tif", lambda: tiff(numbers(2048, 8), 1, (0,) * 7), "of 8 bands of uint16 (BlackIsZero)"),
    # icevision#1135
    "float RGB": ("tif", lambda: tiff(np.ones((*SIZE, 3), np.float32), 2), "of 3 bands of float32 (RGB)"),
    # mmdetection#5671
    "near infrared unnamed": ("tif", lambda: tiff(np.uint8(numbers(256, 4)), 2, (0,)), "neither gray, color nor"),
    "near infrared called alpha": ("tif", lambda: tiff(np.uint8(numbers(256, 4)), 2, (2,)), "is marked as alpha, but"),
}  # fmt: skip


@pytest.mark.parametrize("name", DARK)
def test_what_8_bit_would_crush_is_refused_by_check_and_predict(
    scenescope: Run, model: Path, tmp_path: Path, name: str
) -> None:
    """Each was read as nearly black, without a band, or called damaged; the reports stand beside the kinds."""
    suffix, make, told = DARK[name]
    photos = [photo(), photo()]
    root = data_set(tmp_path / "data", {"val.png": photos[0], "good.png": photos[1], f"bad.{suffix}": make()})
    checked = scenescope("check", f"folder:{root}", "--num-workers", 0)
    assert checked.exit_code == 2
    assert "fault: train: image unreadable, 1 of 2 scenes:" in checked.output
    line = next(line for line in checked.output.splitlines() if f"bad.{suffix}: " in line)
    assert told in line
    assert "gdal_translate" in line
    assert "damaged" not in line
    predicted = scenescope("predict", root / "images" / "train", "--model", model, "--output", tmp_path / "out")
    assert predicted.exit_code == 1
    assert "1 of 2 images predicted" in predicted.output
    assert predicted.errors.count("failed:") == len(predicted.errors.splitlines()) == 1
    assert told in predicted.errors


def test_full_16_bit_is_predicted_as_its_8_bit(scenescope: Run, model: Path, tmp_path: Path) -> None:
    """matterport/Mask_RCNN#1920: is 16 bit a problem? Not where it fills its range."""
    colors = photo()
    colors[0, 0] = 255
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(colors).save(folder / "eight.png")
    (folder / "sixteen.png").write_bytes(wide_png(colors.astype(np.uint16) * 257))
    (folder / "planes.tif").write_bytes(tiff(colors.astype(np.uint16) * 257, 1, (0, 0)))
    predicted = scenescope("predict", folder, "--model", model, "--output", tmp_path / "out")
    assert predicted.exit_code == 0, predicted.errors
    labels = [np.array(Image.open(tmp_path / f"out/{name}_labels.png")) for name in ("eight", "sixteen", "planes")]
    np.testing.assert_array_equal(labels[0], labels[1])
    np.testing.assert_array_equal(labels[0], labels[2])


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_images_that_are_turned_while_masks_are_not_are_told(scenescope: Run, tmp_path: Path, orientation: int) -> None:
    """detectron2#788 and #1319, X-AnyLabeling#447: labels lie upside down, and no size tells."""
    root = data_set(tmp_path / "data", {"v.png": photo(), "t.png": photo()})
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(photo()).save(root / "images/train/t.png", exif=tags)
    checked = scenescope("check", f"folder:{root}", "--num-workers", 0, "--output", tmp_path / "out")
    assert "train: an image is turned as its EXIF says and its mask is not" in checked.output
    assert f"(t, orientation {orientation})" in checked.output
    splits = json.loads((tmp_path / "out/check.json").read_text())["splits"]
    assert {split["split"]: [odd["kind"] for odd in split["oddities"]] for split in splits} == {
        "train": ["image turned"],
        "val": [],
    }


def test_depth_of_images_is_told_though_they_are_read(scenescope: Run, tmp_path: Path) -> None:
    """micro-sam#993: what was the range of my images?"""
    values = numbers(65536)
    values[0, :2] = 0, 65535
    root = data_set(tmp_path / "data", {"v.png": photo(), "t.png": values})
    checked = scenescope("check", f"folder:{root}", "--num-workers", 0, "--output", tmp_path / "out")
    assert checked.exit_code == 0
    assert "train: images that are not plain 8-bit RGB: 1 of 1 band of uint16 (band 0: 0 to 65535)." in checked.output
    splits = json.loads((tmp_path / "out/check.json").read_text())["splits"]
    told = {"bands": 1, "type": "uint16", "low": 0, "high": 65535, "images": 1}
    assert {split["split"]: split["not_8_bit"] for split in splits} == {"train": [told], "val": []}


def test_an_optimized_mask_is_not_taken_for_another(scenescope: Run, tmp_path: Path) -> None:
    """isic-challenge-scoring#8: optimizers make {0, 255} a PNG of 1 bit, which is equal in every viewer."""
    void = np.zeros(SIZE)
    void[:5] = 255
    void[5, :2] = 1, 2
    root = data_set(tmp_path / "data", {"v.png": photo(), "t.png": photo()}, void, ignore=255)
    assert scenescope("check", f"folder:{root}", "--num-workers", 0).exit_code == 0
    Image.fromarray(void == 255).save(root / "masks/train/t.png")
    checked = scenescope("check", f"folder:{root}", "--num-workers", 0)
    assert checked.exit_code == 2
    assert "gray of less than 8 bit that stores 1 and shows 255, and both have a meaning here" in checked.output


def test_palettes_that_disagree_transparency_and_pages_are_told(scenescope: Run, tmp_path: Path) -> None:
    """Two people's palettes, 1 is red to one and green to the other; CIL#1356: of a stack one page is read."""
    root = data_set(tmp_path / "data", {"v.png": photo(), "t.png": photo(), "u.png": photo()})
    for name, color in (("t", (255, 0, 0)), ("u", (0, 255, 0))):
        path = root / f"masks/train/{name}.png"
        mask = Image.fromarray(np.array(Image.open(path)))
        mask.putpalette([0, 0, 0, *color, 9, 9, 9])
        mask.save(path, **({"transparency": 0} if name == "u" else {}))
    pages = [Image.fromarray(photo()) for _ in range(3)]
    (root / "images/train/t.png").unlink()
    pages[0].save(root / "images/train/t.tif", save_all=True, append_images=pages[1:])
    Image.fromarray(np.full((*SIZE, 3), 7, np.uint8)).save(root / "images/train/u.png")
    told = scenescope("check", f"folder:{root}", "--num-workers", 0).output
    assert "train: the palettes of the masks differ: 1 is (255, 0, 0) in t, (0, 255, 0) in u;" in told
    assert "train: a mask has transparent pixels, whose labels count like others; so in 1 of the scenes (u)." in told
    assert "train: only the first page of an image is read; so in 1 of the scenes (t, 3 pages)." in told
    assert "train: an image is of one color throughout; so in 1 of the scenes (u)." in told


def test_an_int64_mask_is_named(scenescope: Run, tmp_path: Path) -> None:
    """numpy's own whole numbers, saved by tifffile or scikit-image."""
    root = data_set(tmp_path / "data", {"v.png": photo(), "t.png": photo()})
    (root / "masks/train/t.png").unlink()
    (root / "masks/train/t.tif").write_bytes(tiff(np.zeros(SIZE, np.int64)))
    checked = scenescope("check", f"folder:{root}", "--num-workers", 0)
    assert checked.exit_code == 2
    assert "this TIFF of 1 band of int64 (BlackIsZero) is not read; save it as uint8 or uint16" in checked.output
    assert "damaged" not in checked.output


def test_telephone_formats(scenescope: Run, model: Path, tmp_path: Path) -> None:
    """nerfstudio#2751, datasets#8537: AVIF is read where Pillow can, HEIC is named."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(photo()).save(folder / "a.jpg")
    (folder / "b.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    predicted = scenescope("predict", folder, "--model", model, "--output", tmp_path / "out")
    assert predicted.exit_code == 1
    assert "b.jpg: HEIC is not read; save the image as JPEG or PNG." in predicted.errors
    pytest.importorskip("PIL._avif")
    Image.fromarray(photo()).save(folder / "c.avif")
    predicted = scenescope("predict", folder / "c.avif", "--model", model, "--output", tmp_path / "avif")
    assert predicted.exit_code == 0, predicted.errors
