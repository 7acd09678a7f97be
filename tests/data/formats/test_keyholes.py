import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from scenescope.data.formats.keyholes import bridged, through_centers
from scenescope.data.formats.regions import Regions

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools and numpy 2

# Mostly of one class: with many holes.
LABELS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 0, 0, 0, 1]))


def drawn_by_coco(ring, height, width):
    polygons = coco.frPyObjects([[float(part) for part in ring.reshape(-1)]], height, width)
    return coco.decode(coco.merge(polygons)).astype(bool)


def drawn_with_its_border(points, height, width):
    canvas = Image.new("1", (width, height))
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in points.tolist()], outline=1, fill=1)
    return np.array(canvas)


def test_a_frame_by_hand():
    (frame,) = Regions(np.pad(np.full((1, 1), 255, np.uint8), 1))
    # The bridge leads from (1, 1) to (0, 1).
    assert bridged(frame.rings).tolist() in [
        np.roll(
            [[0, 0], [3, 0], [3, 3], [0, 3], [0, 1], [1, 1], [1, 2], [2, 2], [2, 1], [0, 1]], shift, axis=0
        ).tolist()
        for shift in range(10)
    ]


def test_a_pixel_has_three_points_as_tools_ask_for():
    (pixel,) = Regions(np.array([[255, 255], [255, 4]], np.uint8))
    assert through_centers(bridged(pixel.rings)).tolist() == [[1, 1]] * 3


@settings(max_examples=300)
@given(LABELS)
def test_one_ring_gives_the_same_pixels(labels):
    height, width = labels.shape
    found = Regions(labels)
    for number, region in enumerate(found, start=1):
        ring = bridged(region.rings)
        np.testing.assert_array_equal(drawn_by_coco(ring, height, width), found.areas == number)
        centers = through_centers(ring)
        assert len(centers) >= 3
        np.testing.assert_array_equal(drawn_with_its_border(centers, height, width), found.areas == number)


@given(LABELS)
def test_the_ring_winds_once_around_each_pixel(labels):
    """So tools that fill by the winding number, as browsers do, fill the same."""
    for region in Regions(labels):
        x, y = bridged(region.rings).astype(int).T
        assert np.sum(x * (np.roll(y, -1) - y)) == region.area
