"""Images as PNG files."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from scenescope.files import write_atomically


def save_png(image: Image.Image, path: Path) -> None:
    """Save a Pillow image as PNG, whole or not at all.

    Raises:
        StorageError: the place cannot be written.
    """
    write_atomically(path, lambda temporary: image.save(temporary, format="PNG"))
