from __future__ import annotations

import pytest

from scenescope.data.copies import frame_of


@pytest.mark.parametrize(
    ("stem", "frame"),
    [
        ("IMG_0001_jpg.rf.0a1b2c3d4e5f", "IMG_0001_jpg"),
        ("street_aug3", "street"),
        ("street-aug_12", "street"),
        ("street - Copy", "street"),
        ("street_0012", "street_0012"),
        ("august", "august"),
        ("photo (2)", "photo (2)"),
        ("_aug1", "_aug1"),
    ],
)
def test_the_frame_of_a_copy(stem: str, frame: str) -> None:
    assert frame_of(stem) == frame
