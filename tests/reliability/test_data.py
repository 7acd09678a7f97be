"""Data sets with one planted fault each, clean ones of all kinds, damaged images, and bombs."""

import io
import random
import re
import struct
import time
import zlib

import numpy as np
import pytest
from measure import peak_memory
from PIL import Image

from scenescope.data.catalog import open_dataset
from scenescope.data.images import read_image
from scenescope.errors import ImageError, ScenescopeError
from scenescope.workflows.check import check_dataset

NAMES = "names: [road, sky, car]\n"


def save(array, path, **options):
    Image.fromarray(array).save(path, **options)


def plant_clean(root, generator):
    """Write a small data set in which nothing is wrong, of any of the kinds that are taken."""
    height, width = generator.randrange(8, 24), generator.randrange(8, 24)
    ignore = generator.random() < 0.7
    (root / "classes.yaml").write_text(NAMES + ("ignore: 255\n" if ignore else ""))
    numbers = np.random.default_rng(generator.randrange(2**32))
    for split, count in (("train", 2), ("val", 1)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for index in range(count):
            stem = f"{split}-{index}"
            image = Image.fromarray(numbers.integers(0, 256, (height, width, 3), np.uint8))
            mode, suffix = generator.choice(
                [
                    ("RGB", "png"),
                    ("RGB", "jpg"),
                    ("L", "png"),
                    ("RGBA", "png"),
                    ("CMYK", "jpg"),
                    ("RGB", "webp"),
                    ("RGB", "JPG"),
                ]
            )
            image.convert(mode).save(root / "images" / split / f"{stem}.{suffix}")
            mask = numbers.integers(0, 3, (height, width)).astype(np.uint8)
            if ignore:
                mask[0, 0] = 255
            form = generator.choice(["L", "P", "16"])
            stored = Image.fromarray(mask.astype(np.uint16) if form == "16" else mask)
            if form == "P":
                stored.putpalette([number for number in range(256) for _ in range(3)])
            stored.save(root / "masks" / split / f"{stem}.png")


def first(root, kind, split="train"):
    return sorted((root / kind / split).iterdir())[0]


def read_mask(root):
    path = first(root, "masks")
    return path, np.array(Image.open(path)).astype(np.uint8)


def label(value):
    """Return a fault: one pixel of a mask has this value."""

    def plant(root, generator):
        path, mask = read_mask(root)
        wanted = value if value is not None else generator.randrange(3, 255)
        wide = mask.astype(np.uint16 if wanted > 255 else np.uint8)
        wide[generator.randrange(mask.shape[0]), generator.randrange(mask.shape[1])] = wanted
        save(wide, path)
        return path.name

    return plant


def void_that_is_not_ignored(root, generator):
    (root / "classes.yaml").write_text(NAMES)
    return label(255)(root, generator)


def mask_as(mode):
    """Return a fault: a mask of colors, or one that was compressed."""

    def plant(root, generator):
        path, mask = read_mask(root)
        colors = np.array([(128, 0, 0), (0, 200, 0), (0, 0, 90)], np.uint8)[np.minimum(mask, 2)]
        Image.fromarray(colors).convert(mode).save(path)
        return path.name

    return plant


def jpeg_mask(root, generator):
    path, mask = read_mask(root)
    path.unlink()
    save(np.where(mask > 2, 0, mask * 90).astype(np.uint8), path.with_suffix(".jpg"), quality=20)
    return path.stem


def palette_of_colors(root, generator):
    path, mask = read_mask(root)
    drawn = Image.fromarray(np.where(mask > 2, 0, mask).astype(np.uint8) + 40)
    drawn.putpalette([number for number in range(256) for _ in range(3)])
    drawn.save(path)
    return path.name


def other_size(root, generator):
    path, mask = read_mask(root)
    save(mask[:-1] if generator.random() < 0.5 else mask.T.copy()[: mask.shape[1] - 1], path)
    return path.name


def turned_image(root, generator):
    path, mask_path = first(root, "images"), first(root, "masks")
    image = Image.fromarray(np.zeros((10, 17, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = generator.choice([5, 6, 7, 8])
    path.unlink()
    image.save(path.with_suffix(".jpg"), exif=exif)
    save(np.zeros((10, 17), np.uint8), mask_path)
    return mask_path.name


def without(kind):
    def plant(root, generator):
        path = first(root, kind)
        path.unlink()
        return path.stem

    return plant


def doubled(root, generator):
    path = first(root, "images")
    save(np.zeros((9, 9, 3), np.uint8), path.with_suffix(".bmp"))
    return path.stem


def other_case(root, generator):
    path = first(root, "masks")
    path.rename(path.with_name(path.name.upper()))
    return path.stem


def cut(kind, left=None):
    def plant(root, generator):
        path = first(root, kind)
        content = path.read_bytes()
        path.write_bytes(content[: left if left is not None else int(len(content) * generator.uniform(0.05, 0.6))])
        return path.name

    return plant


def text(kind):
    def plant(root, generator):
        path = first(root, kind)
        path.write_text("This is not an image.")
        return path.name

    return plant


def nothing_labeled(root, generator):
    (root / "classes.yaml").write_text(NAMES + "ignore: 255\n")
    for path in (root / "masks" / "train").iterdir():
        save(np.full_like(np.array(Image.open(path)).astype(np.uint8), 255), path)
    return "train"


def class_file(content):
    def plant(root, generator):
        (root / "classes.yaml").write_text(content)
        return "classes.yaml"

    return plant


FAULTS = {
    "a label above the classes": label(None),
    "255, which is not ignored": void_that_is_not_ignored,
    "a label of 16 bits": label(300),
    "-1 stored in 16 bits": label(65535),
    "a mask of RGB colors": mask_as("RGB"),
    "a mask of RGBA colors": mask_as("RGBA"),
    "a JPEG mask": jpeg_mask,
    "a palette mask of other numbers": palette_of_colors,
    "a mask of another size": other_size,
    "an image turned by its EXIF": turned_image,
    "a missing mask": without("masks"),
    "a missing image": without("images"),
    "two images of one name": doubled,
    "a name in another case": other_case,
    "an image cut short": cut("images"),
    "a mask cut short": cut("masks"),
    "an empty image": cut("images", 0),
    "an empty mask": cut("masks", 0),
    "a text in an image's place": text("images"),
    "nothing labeled": nothing_labeled,
    "an unknown key in classes.yaml": class_file("names: [a, b, c]\nnmaes: [d]\n"),
    "a class twice in classes.yaml": class_file("names: [a, b, a]\n"),
}


def told(root):
    """Return all that ``check`` says is wrong, or None where nothing is."""
    findings = check_dataset("folder", str(root), num_workers=0)
    if findings.fit:
        return None
    sentences = [sentence for split in findings.splits for group in split.faults.values() for sentence in group]
    return " ".join([*findings.unopened, *sentences, *findings.unteachable])


def test_planted_faults_are_found_by_name_and_file(times, promise, tmp_path):
    tried, found = times(1000, 2 * len(FAULTS)), 0
    missed = []
    for number in range(tried):
        root = tmp_path / str(number)
        generator = random.Random(number)
        root.mkdir()
        plant_clean(root, generator)
        name, plant = list(FAULTS.items())[number % len(FAULTS)]
        at = plant(root, generator)
        said = told(root)
        if said is not None and at.lower() in said.lower():
            found += 1
        else:
            missed.append((number, name, said))
    assert len(missed) <= 0.005 * tried, missed[:5]
    promise("check: a planted fault (22 kinds) is found with its file", tried, found, at_least=0.995)


def test_clean_data_sets_are_not_accused(times, promise, tmp_path):
    tried = times(1000, 20)
    clean = 0
    for number in range(tried):
        root = tmp_path / str(number)
        root.mkdir()
        plant_clean(root, random.Random(10**6 + number))
        said = told(root)
        assert said is None, said
        clean += 1
    promise("check: a clean data set is not accused", tried, clean)


def read_all(root):
    for split in ("train", "val"):
        dataset = open_dataset("folder", str(root), split)
        for index in range(len(dataset)):
            dataset[index]


def test_reading_a_faulty_set_without_the_check_is_an_error_that_names_the_file(times, promise, tmp_path):
    """What a training does: open both splits and read every scene."""
    kinds = {name: plant for name, plant in FAULTS.items() if name != "nothing labeled"}
    tried, refused = times(1000, len(kinds)), 0
    for number in range(tried):
        root = tmp_path / str(number)
        root.mkdir()
        generator = random.Random(number)
        plant_clean(root, generator)
        at = list(kinds.values())[number % len(kinds)](root, generator)
        with pytest.raises(ScenescopeError, match=f"(?i){re.escape(at)}"):
            read_all(root)
        refused += 1
    promise("training without the check: an error that names the file (21 kinds)", tried, refused)


def encoded(drawn, kind):
    buffer = io.BytesIO()
    drawn.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged TIFF tags
def test_damaged_images_neither_crash_nor_hang(whole, times, promise, tmp_path):
    drawn = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    contents = [encoded(drawn, kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF")]
    tried, survived = times(2000, 80), 0
    generator = random.Random(0)
    path = tmp_path / "image"
    for number in range(tried):
        content = bytearray(contents[number % 4])
        if number % 8 < 4:
            del content[int(len(content) * generator.random()) :]
        for _ in range(generator.randrange(1, 4) if number % 8 >= 4 else 0):
            content[generator.randrange(len(content))] = generator.randrange(256)
        path.write_bytes(content)
        started = time.monotonic()
        refusal = ""
        try:
            assert read_image(path).shape[2] == 3
        except ImageError as error:
            refusal = str(error)
        assert not refusal or str(path) in refusal
        survived += time.monotonic() - started < 5 or not whole
    promise("a damaged image (PNG, JPEG, WebP, TIFF) is read or refused by name, without hanging", tried, survived)


def png_header(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(10**6))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bombs():
    """Return small files that say they are huge images, or are of formats that are not read."""
    yield "png", png_header(60_000, 60_000)
    yield "png", png_header(2**31 - 1, 1)
    yield "gif", b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x00\x00\x00" + b"," + bytes(40)
    yield (
        "bmp",
        b"BM"
        + struct.pack("<IHHI", 10**9, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield "ppm", b"P6 60000 60000 255\n" + bytes(100)
    tags = [
        (256, 4, 60_000),
        (257, 4, 60_000),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, 60_000),
        (279, 4, 9),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    yield "tif", b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    yield "png", b"SIMPLE  =                    T" + b"NAXIS   =                    2".ljust(80) * 40  # FITS
    yield "png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60000 60000\n"
    yield "png", b"%PDF-1.4\n" + bytes(200)
    yield "png", b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(200)  # JPEG 2000
    yield "png", b"PK\x03\x04" + bytes(200)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bombs_are_refused_at_once(whole, promise, tmp_path):
    tried = refused = 0
    for number, (suffix, content) in enumerate(bombs()):
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(content)
        started = time.monotonic()

        def read(path=path):
            with pytest.raises(ImageError):
                read_image(path)

        grown = peak_memory(read)
        tried += 1
        refused += grown < 200 * 2**20 and (time.monotonic() - started < 1 or not whole)
    promise("a bomb, or a format that is not read, is refused within 1 s and 200 MB", tried, refused)


def test_a_mask_is_read_under_the_same_limits(tmp_path):
    plant_clean(tmp_path, random.Random(0))
    path = first(tmp_path, "masks")
    path.write_bytes(png_header(60_000, 60_000))
    with pytest.raises(ImageError, match="more than the limit"):
        open_dataset("folder", str(tmp_path), "train")[0]
