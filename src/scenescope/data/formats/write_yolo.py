"""YOLO segmentation: a text for each image, a line for each area: the class, and a polygon as shares of the sides.

Ultralytics cuts points down to whole pixels and fills the border as well. So points are the middles of an area's
outermost pixels (``keyholes.through_centers``): at the image's own size it draws the very same pixels. Shares have
eight decimals, which stays within a hundredth of a pixel for sides below 500,000. Areas with holes have a bridge
to each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from scenescope.data.formats.keyholes import through_centers
from scenescope.data.formats.labeled_image import LabeledImage
from scenescope.labels import Classes
from scenescope.yaml_reader import write_yaml


def lines(image: LabeledImage, target: Path) -> Iterator[str]:
    """Yield the text of a file about one image."""
    for region in image.regions:
        shares = (through_centers(region.polygon()) + 0.5) / image.size
        yield f"{region.label} {' '.join(f'{share:.8f}' for share in shares.reshape(-1).tolist())}\n"


def data_yaml(parts: Iterable[str], classes: Classes) -> Iterator[str]:
    """Yield the text of ``data.yaml``, which names the classes; images belong into ``images`` beside ``labels``."""
    yield write_yaml({"train": "images", "val": "images", "names": dict(enumerate(classes.names))})
