"""What a network says about one picture."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scenescope.drawing.overlay import blend, save_label_png, with_legend
from scenescope.drawing.png import save_png
from scenescope.files import write_atomically
from scenescope.labels import Classes


@dataclass(frozen=True)
class Prediction:
    """A label map and the picture it belongs to.

    Attributes:
        labels: H x W uint8, a class 0..K-1 for every pixel of the picture as displayed.
        image: H x W x 3 uint8 RGB, the picture as displayed.
        classes: names and colours of the K classes.
        probabilities: K x H x W float32 that sum to 1 over the classes, where they were asked for.
    """

    labels: npt.NDArray[np.uint8]
    image: npt.NDArray[np.uint8]
    classes: Classes
    probabilities: npt.NDArray[np.float32] | None = None

    def shares(self) -> dict[str, float]:
        """Return the share of the pixels, 0 to 1, of every class by name."""
        counts = np.bincount(self.labels.reshape(-1), minlength=len(self.classes))
        return {name: int(count) / self.labels.size for name, count in zip(self.classes.names, counts, strict=True)}

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """Return the picture with the classes' colours laid over it, and a legend with their shares below."""
        blended = blend(self.image, self.labels, self.classes.palette, opacity)
        return with_legend(blended, self.classes.names, self.classes.palette, list(self.shares().values()))

    def save(self, directory: str | Path, stem: str) -> list[Path]:
        """Write label map and overlay, and the probabilities where there are any.

        STEM_labels.png holds the class of every pixel, with the palette; STEM_overlay.png the picture with colours and
        legend; STEM_probabilities.npz ``probabilities`` (K x H x W float16) and ``classes`` (their names).

        Returns:
            The files written.

        Raises:
            StorageError: the place cannot be written; none of the files is left.
        """
        files = [Path(directory) / f"{stem}_{what}" for what in ("labels.png", "overlay.png")]
        try:
            save_label_png(self.labels, self.classes.palette, files[0])
            save_png(self.overlay(), files[1])
            if self.probabilities is not None:
                files.append(Path(directory) / f"{stem}_probabilities.npz")
                self._save_probabilities(self.probabilities, files[2])
        except BaseException:
            # Some of the files would look like all of them.
            for file in files:
                with contextlib.suppress(OSError):
                    file.unlink()
            raise
        return files

    def _save_probabilities(self, probabilities: npt.NDArray[np.float32], path: Path) -> None:
        half, names = probabilities.astype(np.float16), np.array(self.classes.names)
        write_atomically(path, lambda place: np.savez_compressed(place, probabilities=half, classes=names))
