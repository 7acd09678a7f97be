"""What a network says about one image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scenescope.data.formats.regions import Regions
from scenescope.data.formats.tidying import tidied
from scenescope.drawing.overlay import bands, label_image, overlaid
from scenescope.errors import ImageError
from scenescope.files import staged_files
from scenescope.inference.guards import memory_errors
from scenescope.inference.renaming import Names, renamed
from scenescope.labels import IGNORE, Classes

_WITHOUT_OVERLAY = "the labels are written; leave the overlay out (--no-overlay, in Python overlay=False)"


ENDINGS = LABELS, OVERLAY, PROBABILITIES = "_labels.png", "_overlay.png", "_probabilities.npz"
"""What is written about an image: its name with these."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """A label map and the image it belongs to.

    Attributes:
        labels: H x W uint8, a class 0..K-1 for every pixel of the image as displayed; 255 for one that is to have
            none, as a threshold may make it.
        image: H x W x 3 uint8 RGB, the image as displayed.
        classes: names and colors of the K classes.
        probabilities: K x H x W float32 that sum to 1 over the classes, where they were asked for; to less where
            ``renamed`` has left classes out; NaN without data.
        without_data: H x W bool, the pixels of the image that hold no data, whose label is and stays 255 for that;
            None if all hold some.
    """

    labels: npt.NDArray[np.uint8]
    image: npt.NDArray[np.uint8]
    classes: Classes
    probabilities: npt.NDArray[np.float32] | None = None
    without_data: npt.NDArray[np.bool_] | None = None

    def shares(self) -> dict[str, float]:
        """Return the share of all pixels with data, 0 to 1, of every class by name; ignored pixels are of none."""
        counts = np.zeros(256, np.int64)
        for band in bands(*self.labels.shape):
            counts += np.bincount(self.labels[band].reshape(-1), minlength=256)
        lacking = 0 if self.without_data is None else int(self.without_data.sum())
        pixels = max(self.labels.size - lacking, 1)
        return {name: int(count) / pixels for name, count in zip(self.classes.names, counts, strict=False)}

    def regions(self) -> Regions:
        """Return the connected areas of all classes, one after another, each with its class, area, box and outline.

        With ``probabilities`` each has the mean probability of its class, too.

        Raises:
            ImageError: more than a million.
        """
        return Regions(self.labels, self.probabilities)

    def tidied(self, min_area: int = 0, fill_holes: int = 0) -> Prediction:
        """Return the prediction without small holes and then without small areas.

        Args:
            min_area: connected areas of fewer pixels lose their class (255).
            fill_holes: holes of fewer pixels get the class of the connected area around them, where there is data.
        """
        labels = tidied(self.labels, min_area, fill_holes)
        if self.without_data is not None:
            labels = np.where(self.without_data, np.uint8(IGNORE), labels)
        return replace(self, labels=labels)

    def renamed(self, names: Names) -> Prediction:
        """Return the prediction with other names of classes.

        Args:
            names: the new name by the old one. Classes that are not listed keep theirs. Those that get one name become
                one class, whose probabilities are added; those that get None are left out (255).

        Raises:
            DataError: a name that is none of the classes', or no class is left.
        """
        classes, table = renamed(self.classes, names)
        probabilities = None
        if self.probabilities is not None:
            probabilities = np.zeros((len(classes), *self.labels.shape), np.float32)
            for label, each in enumerate(self.probabilities):
                if table[label] < len(classes):
                    probabilities[table[label]] += each
        return replace(self, labels=table[self.labels], classes=classes, probabilities=probabilities)

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """Return the image with the classes' colors laid over it, and a legend with their shares below.

        Args:
            opacity: weight of the colors, 0 to 1; ignored pixels show the image alone.

        Raises:
            ImageError: an opacity outside 0 to 1.
        """
        if not 0 <= opacity <= 1:
            raise ImageError(f"opacity={opacity} is not possible; give the weight of the colors, 0 to 1.")
        return overlaid(self.image, self.labels, self.classes, list(self.shares().values()), opacity)

    def save(
        self,
        directory: str | Path,
        stem: str,
        *,
        overlay: bool = True,
        beside: Mapping[Path, Callable[[Path], object]] | None = None,
        before: Callable[[Mapping[Path, Path]], object] | None = None,
    ) -> list[Path]:
        """Write label map and overlay, and the probabilities where there are any; older files are replaced.

        STEM_labels.png holds the class of every pixel, with the palette; STEM_overlay.png the image with colors and
        legend; STEM_probabilities.npz ``probabilities`` (K x H x W float16) and ``classes`` (their names).

        Args:
            overlay: whether to write one.
            beside: what else is written at the same time: places, and what writes each file.
            before: called with where each file is, by its place, when all are written and none has been moved there.

        Returns:
            The files written.

        Raises:
            StorageError: the place cannot be written; older files are then untouched.
            ImageError: the overlay needs more memory than there is; the other files are then written.
        """
        labels, laid_over, probabilities = (
            Path(directory) / f"{stem}{ending}" for ending in (LABELS, OVERLAY, PROBABILITIES)
        )
        lacking: ImageError | None = None
        with staged_files() as files:
            files.write(labels, partial(label_image(self.labels, self.classes.palette).save, format="PNG"))
            if self.probabilities is not None:
                half, names = self.probabilities.astype(np.float16), np.array(self.classes.names)
                files.write(probabilities, partial(np.savez_compressed, probabilities=half, classes=names))
            for path, write in (beside or {}).items():
                files.write(path, write)
            if overlay:
                try:
                    with memory_errors(ImageError, f"The overlay {laid_over}", _WITHOUT_OVERLAY):
                        # The default takes several times as long for little.
                        files.write(laid_over, partial(self.overlay().save, format="PNG", compress_level=1))
                except ImageError as error:
                    # The labels may be the work of hours: they are kept.
                    lacking = error
            if before is not None:
                before(files.temporaries)
        if lacking is not None:
            raise lacking
        return [path for path in (labels, laid_over, probabilities, *(beside or {})) if path in files.temporaries]
