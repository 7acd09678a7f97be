from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.images import read_header, read_image
from scenescope.data.jpeg import MAX_SCANS, count_scans
from scenescope.errors import ImageError

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))


def encoded(**options: object) -> bytes:
    buffer = io.BytesIO()
    IMAGE.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def with_scans(more: int) -> bytes:
    """Repeat the last scan of a progressive JPEG, which refines what is there."""
    content = encoded(progressive=True)
    last, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    return content[:end] + content[last:end] * more + content[end:]


def test_scans_are_counted() -> None:
    assert count_scans(encoded()) == 1
    plain = encoded(progressive=True)
    scans = plain.count(b"\xff\xda")
    assert scans == count_scans(plain) == 10
    for more in (7, 200):
        assert count_scans(with_scans(more)) == scans + more


def test_what_lies_in_other_segments_or_behind_the_image_is_no_scan() -> None:
    marks = b"\xff\xda" * 500
    assert count_scans(encoded(comment=marks)) == 1
    assert count_scans(encoded(exif=b"Exif\0\0" + marks)) == 1
    assert count_scans(encoded() + marks) == 1
    restarts = encoded(restart_marker_blocks=1, comment=marks)
    assert b"\xff\xd3" in restarts
    assert count_scans(restarts) == 1
    assert count_scans(marks[:40]) == 20


def test_too_many_scans_are_refused_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(with_scans(MAX_SCANS - 10))
    assert read_image(path).shape == (32, 48, 3)
    path.write_bytes(with_scans(MAX_SCANS - 9))
    for read in (read_image, read_header):
        with pytest.raises(ImageError, match=r"a JPEG of 101 scans, more than 100, would take long to decode; save"):
            read(path)


def test_a_jpeg_of_a_rare_kind_is_named(tmp_path: Path) -> None:
    content = bytearray(encoded())
    # The first byte after length and marker of the frame is the number of bits.
    content[content.index(b"\xff\xc0") + 4] = 12
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(
        ImageError, match="a JPEG that is damaged at its start or of a kind that is not read, such as 12 bit"
    ):
        read_image(tmp_path / "a.jpg")
