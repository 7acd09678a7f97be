"""What a network says about one picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scenescope.drawing.overlay import blend, save_label_png, with_legend
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
            StorageError: the place cannot be written; no file is left half-written.
        """
        labels, overlay, probabilities = (
            Path(directory) / f"{stem}_{what}" for what in ("labels.png", "overlay.png", "probabilities.npz")
        )
        save_label_png(self.labels, self.classes.palette, labels)
        picture = self.overlay()
        write_atomically(overlay, lambda place: picture.save(place, format="PNG"))
        if self.probabilities is None:
            return [labels, overlay]
        half = self.probabilities.astype(np.float16)
        write_atomically(
            probabilities,
            lambda place: np.savez_compressed(place, probabilities=half, classes=np.array(self.classes.names)),
        )
        return [labels, overlay, probabilities]
