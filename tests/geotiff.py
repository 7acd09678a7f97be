"""Small GeoTIFFs made by rasterio, for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

UTM = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_500_000, 0.5, 0.5)}
"""Pixels of half a meter in zone 33 north, at its central meridian."""


def write_map(path: Path, numbers: np.ndarray, **profile: Any) -> Path:
    """Write H x W x B numbers; the profile is rasterio's."""
    height, width, bands = numbers.shape
    kind: dict[str, Any] = {"driver": "GTiff", "height": height, "width": width, "count": bands, "dtype": numbers.dtype}
    with rasterio.open(path, "w", **kind | UTM | profile) as file:
        file.write(numbers.transpose(2, 0, 1))
    return path
