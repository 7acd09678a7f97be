"""A label map without specks: small holes are filled, small areas left out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scenescope.data.formats.keyholes import Ring
from scenescope.data.formats.outlines import trace
from scenescope.data.formats.runs import Labels, Runs
from scenescope.labels import IGNORE


def tidied(labels: Labels, min_area: int = 0, fill_holes: int = 0) -> Labels:
    """Return a label map without small holes and then without small areas.

    Args:
        labels: H x W.
        min_area: connected areas of fewer pixels lose their class: they become 255.
        fill_holes: holes of fewer pixels get the class of the area around them, whatever is in them; of holes within
            each other the outermost counts. A hole is what nothing but one connected area surrounds, seen along the
            edges of pixels; what touches the image's border is none.
    """
    if fill_holes > 1:
        labels = _filled(labels, fill_holes)
    if min_area > 1:
        runs = Runs(labels)
        is_small = np.concatenate(([False], runs.sizes() < min_area))
        labels = np.where(is_small[runs.areas()], np.uint8(IGNORE), labels)
    return labels


def _filled(labels: Labels, fill_holes: int) -> Labels:
    runs = Runs(labels)
    outlines = trace(runs.areas())
    filled = labels.copy()
    # The largest last: it covers those within it.
    for hole in np.argsort(-outlines.pixels, kind="stable"):
        if 0 < -outlines.pixels[hole] < fill_holes:
            ring = outlines.points[outlines.starts[hole] : outlines.starts[hole + 1]]
            left, top = ring.min(axis=0)
            inside = _inside(ring - (left, top))
            place = filled[top : top + inside.shape[0], left : left + inside.shape[1]]
            place[inside] = runs.labels[outlines.areas[hole] - 1]
    return filled


def _inside(ring: Ring) -> npt.NDArray[np.bool_]:
    """Return the pixels within a ring, in an array of its size: those with an odd number of its lines to their left."""
    width, height = ring.max(axis=0)
    crossed = np.zeros((height, width), bool)
    following = np.roll(ring, -1, axis=0)
    for (x, y), (_, other) in zip(ring.tolist(), following.tolist(), strict=True):
        if x < width:
            crossed[min(y, other) : max(y, other), x] ^= True
    return np.logical_xor.accumulate(crossed, axis=1)
