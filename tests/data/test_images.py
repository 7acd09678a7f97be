from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from scenescope.data.images import FORMATS, SUFFIXES, UNREAD_SUFFIXES, opened, read_header, read_image, scaled_down
from scenescope.errors import ImageError

IMAGE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
SAVED_AS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp", "GIF": ".gif", "PPM": ".ppm"}


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def refusal(path: Path, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("BMP", {}), ("PPM", {})]
)
def test_lossless_formats_give_the_very_pixels(tmp_path: Path, kind: str, options: dict[str, object]) -> None:
    path = saved(Image.fromarray(IMAGE), tmp_path / f"a{SAVED_AS[kind]}", **options)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.writeable
    np.testing.assert_array_equal(image, IMAGE)
    assert read_header(path).size == (7, 5)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA", "I;16", "I", "F"])
def test_gray_and_transparent_images_become_three_channels(tmp_path: Path, mode: str) -> None:
    gray = IMAGE[:, :, 0]
    expected = np.repeat(gray[:, :, None], 3, axis=2)
    match mode:
        case "1":
            image = Image.fromarray(gray > 127)
            expected = np.where(expected > 127, 255, 0)
        case "I;16" | "I":
            image = Image.fromarray(gray.astype(np.uint16) * 257)
        case "F":
            gray = gray.copy()
            gray[0, 0] = 255
            expected = np.repeat(gray[:, :, None], 3, axis=2)
            image = Image.fromarray(gray.astype(np.float32) / 255)
        case "LA":
            image = Image.fromarray(np.dstack([gray, IMAGE[:, :, 1]]))
        case "RGBA":
            image = Image.fromarray(np.dstack([IMAGE, IMAGE[:, :, 1]]))
            expected = IMAGE
        case _:
            image = Image.fromarray(gray).convert(mode)
    # A 16-bit PPM is opened by Pillow as mode I.
    suffix = {"F": ".tif", "I": ".ppm"}.get(mode, ".png")
    path = saved(image, tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(path), expected)


def test_16_bit_is_scaled_and_not_clipped(tmp_path: Path, png: Callable[..., bytes]) -> None:
    ramp = np.array([[0, 127, 129, 300, 32768, 65534, 65535]], dtype=np.uint16)
    expected = [0, 0, 1, 1, 128, 255, 255]
    for name, image in (("a.png", Image.fromarray(ramp)), ("a.tif", Image.fromarray(ramp.astype(">u2")))):
        assert read_image(saved(image, tmp_path / name))[0, :, 0].tolist() == expected
    rows = b"\x00" + struct.pack(">6H", 0, 0x8080, 0xFFFF, 0x0100, 0x01FF, 0x7F00)
    (tmp_path / "rgb.png").write_bytes(png(2, 1, 16, 2, rows))
    assert read_image(tmp_path / "rgb.png").tolist() == [[[0, 128, 255], [1, 1, 127]]]


@pytest.mark.parametrize("largest", [255.0, 200.0, 65535.0, 1e6, 1.0001])
def test_float_images_beyond_0_to_1_are_refused_with_their_range(tmp_path: Path, largest: float) -> None:
    values = np.array([[0.0, 0.5, largest]], dtype=np.float32)
    told = refusal(saved(Image.fromarray(values), tmp_path / "a.tif"))
    assert (
        f"1 band of float32, values 0 to {largest:.7g} (read are 0 to 1); declare one range for the whole data set"
        in told
    )


def test_palette_with_transparency_reads_without_a_warning(tmp_path: Path) -> None:
    image = Image.fromarray(IMAGE).quantize(8)
    expected = np.array(image.convert("RGB"))
    path = saved(image, tmp_path / "a.png", transparency=bytes(range(8)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_image(path), expected)


def test_cmyk_jpeg_has_the_colors_of_its_rgb(tmp_path: Path) -> None:
    smooth = np.dstack([np.tile(np.linspace(0, 255, 32), (32, 1))] * 3).astype(np.uint8)
    smooth[:, :, 1] = smooth[:, :, 1].T
    path = saved(Image.fromarray(smooth).convert("CMYK"), tmp_path / "a.jpg", quality=100)
    assert Image.open(path).mode == "CMYK"
    assert np.abs(read_image(path).astype(int) - smooth).max() <= 12


def test_first_frame_of_mpo_and_gif(tmp_path: Path) -> None:
    red, blue = Image.new("RGB", (16, 8), (254, 0, 0)), Image.new("RGB", (16, 8), (0, 0, 254))
    for name, options in (("a.mpo", {"format": "MPO"}), ("a.gif", {})):
        path = saved(red, tmp_path / name, save_all=True, append_images=[blue], **options)
        assert np.abs(read_image(path).astype(int) - [254, 0, 0]).max() <= 2


def turned(stored: np.ndarray, orientation: int) -> np.ndarray:
    """What EXIF 2.32, tag 0x0112, says: where the 0th row and the 0th column of the stored image are seen."""
    return {
        1: stored,  # top, left
        2: stored[:, ::-1],  # top, right
        3: stored[::-1, ::-1],  # bottom, right
        4: stored[::-1],  # bottom, left
        5: stored.transpose(1, 0, 2),  # left, top
        6: stored[::-1].transpose(1, 0, 2),  # right, top
        7: stored[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
        8: stored.transpose(1, 0, 2)[::-1],  # left, bottom
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "late"])
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, kind: str, png: Callable[..., bytes]) -> None:
    path = tmp_path / "a.png"
    if kind == "late":  # The PNG standard allows the EXIF to follow the pixels.
        rows = b"".join(b"\x00" + row.tobytes() for row in IMAGE)
        path.write_bytes(png(7, 5, 8, 2, rows, exif(orientation).tobytes()[6:]))
    else:
        options = {"lossless": True} if kind == "WEBP" else {}
        path = saved(Image.fromarray(IMAGE), tmp_path / f"a{SAVED_AS[kind]}", exif=exif(orientation), **options)
    expected = turned(IMAGE, orientation)
    np.testing.assert_array_equal(read_image(path), expected)
    header = read_header(path)
    assert header.size == (expected.shape[1], expected.shape[0])
    assert header.stored_size == (7, 5)


def test_jpeg_exif_and_damaged_exif(tmp_path: Path) -> None:
    path = saved(Image.fromarray(IMAGE), tmp_path / "a.jpg", exif=exif(6))
    assert read_image(path).shape == (7, 5, 3)
    path = saved(Image.fromarray(IMAGE), tmp_path / "b.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xffgarbage")
    assert read_image(path).shape == (5, 7, 3)
    assert read_header(path).size == (7, 5)


def test_unusable_paths_say_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello, this is not an image\n" * 5)
    (tmp_path / "phone.jpg").write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100))
    (tmp_path / "vector.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    os.mkfifo(tmp_path / "pipe.png")
    assert "no such file" in refusal(tmp_path / "none.png")
    assert "is a directory" in refusal(tmp_path)
    assert "the file is empty" in refusal(tmp_path / "empty.png")
    assert "not an image" in refusal(tmp_path / "text.jpg")
    assert "not an image" in refusal(tmp_path / "vector.png")
    assert "HEIC is not read; save the image as JPEG or PNG" in refusal(tmp_path / "phone.jpg")
    assert "not a regular file" in refusal(tmp_path / "pipe.png")
    assert "check the path" in refusal(tmp_path / ("n" * 300))


def test_a_file_that_may_not_be_opened_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = saved(Image.fromarray(IMAGE), tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", refuse)
    assert refusal(path).endswith("Permission denied; check its permissions.")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\xfa\x7f\x01", "JPEG XL"),
        (b"\0\0\0\x18ftypmif1", "HEIC"),
        (b"8BPS\0\x01", "Photoshop's PSD"),
        (b"v/1\x01\x02", "OpenEXR"),
    ],
)
def test_images_that_are_not_read_are_named(tmp_path: Path, start: bytes, name: str) -> None:
    (tmp_path / "a.jpg").write_bytes(start + bytes(300))
    assert refusal(tmp_path / "a.jpg").endswith(f"{name} is not read; save the image as JPEG or PNG.")


def test_avif_is_read_where_pillow_has_it(tmp_path: Path) -> None:
    if "AVIF" not in FORMATS:
        assert ".avif" in UNREAD_SUFFIXES - SUFFIXES
        return
    assert ".avif" in SUFFIXES - UNREAD_SUFFIXES
    flat = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    path = saved(Image.fromarray(flat), tmp_path / "a.avif", exif=exif(6))
    image = read_image(path)
    assert image.shape == (24, 16, 3)
    assert np.abs(image.astype(int) - (200, 100, 50)).max() <= 3
    assert read_header(path).stored_size == (24, 16)


def test_what_is_read_and_what_is_not_have_no_ending_in_common() -> None:
    assert not SUFFIXES & UNREAD_SUFFIXES
    assert {".heic", ".jxl", ".jp2"} < UNREAD_SUFFIXES


def test_formats_outside_the_list_are_refused(tmp_path: Path) -> None:
    assert "not an image" in refusal(saved(Image.fromarray(IMAGE), tmp_path / "a.png", format="ICO"))


def encoded(kind: str) -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    compression = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    Image.fromarray(noise).save(buffer, kind, exif=exif(6), **compression)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", SAVED_AS)
def test_an_image_cut_short_is_refused(tmp_path: Path, kind: str) -> None:
    content = encoded(kind)
    path = tmp_path / "cut.bin"
    for share in (0.9, 0.5, 0.2):
        path.write_bytes(content[: int(len(content) * share)])
        message = refusal(path)
        assert "damaged" in message
        assert message.endswith("read.") or "copy or export it again" in message


@pytest.mark.parametrize("kind", SAVED_AS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_bytes_never_raise_anything_but_an_image_error(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(kind))
    # Damage in the header reaches more of the readers' code than damage among pixels.
    for place in data.draw(st.lists(st.integers(0, min(len(content), 400) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.bin"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in (read_image, read_header):
            with contextlib.suppress(ImageError):
                read(path, 1_000_000)


@pytest.mark.parametrize("suffix", ["png", "ppm", "gif", "bmp"])
def test_a_huge_image_is_refused_from_its_header(tmp_path: Path, suffix: str, png: Callable[..., bytes]) -> None:
    bitmap_header = struct.pack("<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 100, 0, 0, 0, 0)
    content = {
        "png": png(60000, 60000, 8, 2, bytes(100)),
        "ppm": b"P6\n60000 60000\n255\n" + bytes(100),
        "gif": b"GIF89a" + struct.pack("<HH3x", 60000, 60000) + b"," + struct.pack("<4xHHB", 60000, 60000, 0) + b"\x08",
        "bmp": b"BM" + bitmap_header + bytes(100),
    }
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content[suffix])
    before = Image.MAX_IMAGE_PIXELS
    message = refusal(path)
    assert "60000 x 60000 pixels are more than the limit of 200,000,000" in message
    assert "raise the limit" in message
    assert before == Image.MAX_IMAGE_PIXELS


def test_the_limit_is_exact_and_judged_before_decoding(tmp_path: Path) -> None:
    path = saved(Image.fromarray(IMAGE), tmp_path / "a.png")
    assert read_image(path, max_pixels=35).shape == (5, 7, 3)
    assert "7 x 5 pixels" in refusal(path, max_pixels=34)
    path.write_bytes(path.read_bytes()[:60])
    assert "7 x 5 pixels" in refusal(path, max_pixels=34)


def test_pillows_own_limit_neither_stops_us_nor_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    paths = [saved(Image.fromarray(IMAGE), tmp_path / f"a.{suffix}") for suffix in ("png", "tif", "bmp")]
    failures: list[BaseException] = []

    def read_all() -> None:
        try:
            for _ in range(20):
                for path in paths:
                    read_image(path)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert Image.MAX_IMAGE_PIXELS == 3
    refusal(tmp_path / "none.png")
    assert Image.MAX_IMAGE_PIXELS == 3


def test_an_image_in_an_archive_is_read_from_its_bytes_under_its_name_there() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.array([[1, 2]], dtype=np.uint8)).save(buffer, format="PNG")
    with opened(Path("archive/a.png"), 2, buffer.getvalue()) as image:
        assert np.asarray(image).tolist() == [[1, 2]]
    for content, reason in ((b"", "not an image"), (b"\0\0\0\0ftypheic", "HEIC"), (buffer.getvalue(), "2 x 1 pixels")):
        told = rf"Cannot read archive/a.png: {reason}"
        with pytest.raises(ImageError, match=told), opened(Path("archive/a.png"), 1, content):
            pass


def test_an_image_is_scaled_down_to_its_longer_side_and_never_up():
    image = np.arange(6 * 40 * 3, dtype=np.uint8).reshape(6, 40, 3)
    assert scaled_down(image, 20).shape == (3, 20, 3)
    assert scaled_down(image.transpose(1, 0, 2), 10).shape == (10, 2, 3)
    assert scaled_down(image, 1).shape == (1, 1, 3)
    assert scaled_down(image, 40) is image
    assert (scaled_down(np.full((9, 9, 3), 7, np.uint8), 4) == 7).all()
