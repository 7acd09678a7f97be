import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from scenescope.data.formats import regions
from scenescope.data.formats.regions import Regions
from scenescope.errors import ImageError

LABELS = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 0, 1, 1, 2, 255])
)


def test_four_pixels_by_hand():
    probabilities = np.array([[[0.5, 0.75], [0.25, 0.0]], [[0.5, 0.25], [0.75, 1.0]]], np.float32)
    upper, lower = Regions(np.array([[0, 0], [1, 0]], np.uint8), probabilities)
    assert (upper.label, upper.area, upper.box) == (0, 3, (0, 0, 2, 2))
    assert upper.centroid == pytest.approx((3.5 / 3, 2.5 / 3))
    assert upper.probability == pytest.approx(1.25 / 3)
    assert (lower.label, lower.area, lower.box, lower.centroid) == (1, 1, (0, 1, 1, 2), (0.5, 1.5))
    assert lower.probability == 0.75
    assert [ring.tolist() for ring in lower.rings] == [[[0, 1], [1, 1], [1, 2], [0, 2]]]


@given(LABELS)
def test_regions_are_those_of_a_slow_loop(labels):
    """scipy.ndimage.label class by class, and the numbers of each area from its pixels."""
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), labels.shape).transpose(2, 0, 1).astype(np.float32)
    expected = []
    for label in range(3):
        areas, count = ndimage.label(labels == label)
        for number in range(1, count + 1):
            y, x = np.nonzero(areas == number)
            box = (x.min(), y.min(), x.max() + 1, y.max() + 1)
            expected.append((y[0], x[0], label, len(x), box, x.mean() + 0.5, y.mean() + 0.5,
                             probabilities[label, y, x].mean()))  # fmt: skip
    found = Regions(labels, probabilities)
    assert len(found) == len(expected)
    for region, (_, _, label, area, box, x, y, probability) in zip(found, sorted(expected), strict=True):
        assert (region.label, region.area, region.box) == (label, area, box)
        assert region.centroid == pytest.approx((x, y))
        assert region.probability == pytest.approx(probability)
    assert (found.areas == 0).tolist() == (labels == 255).tolist()


def test_more_areas_than_are_written_are_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(regions, "MAX_REGIONS", 3)
    checkered = np.indices((2, 2)).sum(axis=0).astype(np.uint8) % 2
    with pytest.raises(ImageError, match=r"fall into 4 areas, more than the 3 .* \(--min-area 10\)"):
        Regions(checkered)
