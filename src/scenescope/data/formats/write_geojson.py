"""GeoJSON in pixels of the image: x to the right, y down, from the top left corner; a feature for each area.

Holes are holes. Nothing is rounded. There is no place on earth in it, whatever a map program makes of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from scenescope.data.formats.labeled_image import LabeledImage


def features(image: LabeledImage, target: Path) -> Iterator[str]:
    """Yield the text of a file about one image."""
    width, height = image.size
    told = {"image": image.file_name, "width": width, "height": height}
    yield f'{{"type": "FeatureCollection", {json.dumps(told)[1:-1]}, "features": ['
    for number, region in enumerate(image.regions):
        rings = [ring.tolist() for ring in region.rings]
        feature = {
            "type": "Feature",
            "properties": {
                "class": image.classes.names[region.label],
                "label": region.label,
                "area": region.area,
            },
            # A ring ends where it begins.
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in rings]},
        }
        yield (",\n" if number else "\n") + json.dumps(feature)
    yield "]}\n"
