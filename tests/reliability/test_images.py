"""Images whose numbers mean something else than they seem, masks that show what they do not store, and small files that
announce much."""

import contextlib
import io
import random
import struct
import time
import zlib

import numpy as np
import pytest
from measure import peak_memory
from PIL import Image

from scenescope.data.decoding import stored
from scenescope.data.images import opened, read_image
from scenescope.data.masks import LabelTable, decode
from scenescope.data.mat_files import read_matrix
from scenescope.errors import ImageError, ScenescopeError


def test_an_image_is_shown_on_the_one_scale_of_its_type_or_refused(times, promise, tmp_path):
    """The scale of the type is what the expected values are worked out with; no range of an image is looked at."""
    tried, survived = times(1000, 100), 0
    for number in range(tried):
        noise = np.random.default_rng(number)
        low, high = sorted(noise.choice([-30, -1, 0, 0.02, 0.3, 1, 1.0001, 255, 4095, 30000, 65535, 1e6], 2, False))
        values = noise.uniform(low, high, (20, 30))
        if number % 3:
            kind, white = (np.uint16, 65535) if low >= 0 and high <= 65535 else (np.int32, 65535)
        else:
            kind, white = np.float32, 1
        values = values.astype(kind)
        if noise.random() < 0.2:
            values[0, 0] = values.dtype.type(white)
        path = tmp_path / "a.tif"
        Image.fromarray(values).save(path)
        try:
            shown = read_image(path)[:, :, 0]
        except ImageError as error:
            told = str(error)
            survived += f"values {values.min():.7g} to {values.max():.7g}" in told and "gdal_translate" in told
            continue
        expected = values.astype(np.float64) * (255 / white)
        levels = len(np.unique(shown))
        survived += np.abs(shown - expected).max() <= 0.51 and levels >= min(24, len(np.unique(values)) / 2)
    promise("an image of more than 8 bit has the scale of its type, or is refused with its range", tried, survived)


def few_bits(values, depth, kind):
    """A gray image whose samples have fewer than 8 bit: PNG, PGM or TIFF, of black or of white for 0."""
    largest = 2**depth - 1
    if kind == "pgm":
        body = values.tobytes()
        return b"P5 %d %d %d\n" % (values.shape[1], values.shape[0], largest) + body
    rows = [("".join(f"{value:0{depth}b}" for value in row)) for row in values.tolist()]
    packed = [int(row + "0" * (-len(row) % 8), 2).to_bytes((len(row) + 7) // 8, "big") for row in rows]
    if kind == "png":
        chunks = [
            (b"IHDR", struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, 0, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in packed))),
            (b"IEND", b""),
        ]
        made = b"\x89PNG\r\n\x1a\n"
        for name, content in chunks:
            made += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        return made
    data = b"".join(packed)
    tags = [
        *((256, values.shape[1]), (257, values.shape[0]), (258, depth), (259, 1), (262, int(kind == "black"))),
        *((273, 8), (277, 1), (278, values.shape[0]), (279, len(data))),
    ]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(tags)) + table + bytes(4)


def test_masks_give_what_they_store_or_are_refused(times, promise, tmp_path):
    tried, survived = times(1000, 100), 0
    for number in range(tried):
        generator = random.Random(number)
        noise = np.random.default_rng(number)
        depth, kind = generator.choice([1, 2, 4]), generator.choice(["png", "pgm", "black", "white"])
        used = noise.choice(2**depth, generator.randrange(1, 2**depth + 1), replace=False)
        values = noise.choice(used, (9, 13)).astype(np.uint8)
        classes = [[value] for value in range(2**depth)]
        table = LabelTable.of_values(classes, [255] if generator.random() < 0.5 else [])
        path = tmp_path / "mask"
        path.write_bytes(few_bits(values, depth, kind))
        try:
            survived += (decode(path, table) == values).all()
        except ScenescopeError as error:
            survived += "save the mask as a PNG of 8 bit" in str(error)
    promise("a gray mask of 1, 2 or 4 bit gives what it stores, or is refused", tried, survived)


def progressive(scans):
    buffer = io.BytesIO()
    Image.new("RGB", (2000, 2000)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    return content[:end] + content[last:end] * scans + content[end:]


def many_pages(pages):
    tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1)]
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    size = len(table) + 4
    links = [struct.pack("<I", 10 + size * page) for page in range(1, pages)] + [bytes(4)]
    return b"II*\0" + struct.pack("<I", 10) + b"\7\0" + b"".join(table + link for link in links)


def matrix(fields):
    """A struct GTcls with fields of these numbers of zeros, deflated."""

    def element(kind, content):
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    def array(kind, shape, name, content):
        flags = element(6, struct.pack("<II", kind, 0))
        return element(14, flags + element(5, struct.pack("<ii", *shape)) + element(1, name) + content)

    names = b"".join(name.ljust(16, b"\0") for name in fields)
    content = element(5, struct.pack("<i", 16)) + element(1, names)
    content += b"".join(array(9, (1, count), b"", element(2, bytes(count))) for count in fields.values())
    deflated = zlib.compress(array(2, (1, 1), b"GTcls", content), 9)
    return b"MATLAB 5.0".ljust(124) + b"\0\x01IM" + struct.pack("<II", 15, len(deflated)) + deflated


def announcing(whole):
    """Return small files with the function that reads them, and whether that has to refuse them."""
    numbers = 300_000_000 if whole else 30_000_000
    yield progressive(3000 if whole else 300), decoded, True
    yield many_pages(140_000 if whole else 10_000), decoded, False
    yield matrix({b"Boundaries": 4, b"Segmentation": numbers}), read_matrix, True
    yield matrix({b"Boundaries": numbers, b"Segmentation": 4}), read_matrix, True


def decoded(path):
    with opened(path, 10**8) as image:
        return stored(image).conversions()


def test_small_files_that_announce_much_cost_little(whole, promise, tmp_path):
    tried = survived = 0
    for number, (content, read, refused) in enumerate(announcing(whole)):
        path = tmp_path / str(number)
        path.write_bytes(content)

        def attempt(path=path, read=read, refused=refused):
            with pytest.raises(ImageError, match=str(path)) if refused else contextlib.nullcontext():
                read(path)

        started = time.monotonic()
        grown = peak_memory(attempt)
        tried += 1
        survived += grown < 200 * 2**20 and (time.monotonic() - started < 1 or not whole)
    promise("a JPEG of many scans, TIFF of many pages or huge MATLAB field costs under 1 s and 200 MB", tried, survived)
