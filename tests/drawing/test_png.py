import errno
from pathlib import Path

import pytest
from PIL import Image

from scenescope.drawing.png import save_png
from scenescope.errors import StorageError


def test_an_image_is_png_whatever_the_ending(tmp_path: Path) -> None:
    save_png(Image.new("RGB", (3, 2), (1, 2, 3)), tmp_path / "new" / "image.jpg")
    with Image.open(tmp_path / "new" / "image.jpg") as image:
        assert (image.format, image.size, image.getpixel((2, 1))) == ("PNG", (3, 2), (1, 2, 3))


def test_a_full_disk_leaves_the_old_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Image.Image, place: Path, format: str) -> None:
        place.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    save_png(Image.new("L", (1, 1), 7), tmp_path / "image.png")
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(StorageError, match=r"image\.png: No space left"):
        save_png(Image.new("L", (1, 1), 8), tmp_path / "image.png")
    assert [file.name for file in tmp_path.iterdir()] == ["image.png"]
    with Image.open(tmp_path / "image.png") as image:
        assert image.getpixel((0, 0)) == 7
