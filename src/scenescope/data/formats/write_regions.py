"""``regions.csv``: a line for each area: class, pixels, box, centroid and the mean probability of its class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from scenescope.data.formats.labeled_image import LabeledImage
from scenescope.files import csv_cell
from scenescope.labels import Classes

HEADER = ("image", "class", "area", "left", "top", "right", "bottom", "x", "y", "probability")


def rows(image: LabeledImage, target: Path) -> Iterator[str]:
    """Yield the text of a file about one image: areas and boxes in pixels, x and y to a hundredth of a pixel."""
    yield _line(HEADER)
    for region in image.regions:
        name = image.classes.names[region.label]
        numbers = [str(region.area), *map(str, region.box), *(f"{place:.2f}" for place in region.centroid)]
        probability = "" if region.probability is None else f"{region.probability:.4f}"
        yield _line((csv_cell(image.file_name), csv_cell(name), *numbers, probability))


def join(parts: Iterable[str], classes: Classes) -> Iterator[str]:
    """Yield the text of a file about many images from those about each."""
    header = _line(HEADER)
    yield header
    for part in parts:
        yield part.removeprefix(header)


def _line(cells: Sequence[str | float | None]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()
