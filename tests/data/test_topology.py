import numpy as np
import pytest

from scenescope.data.geometry import areas_of, burnt, shoelace
from scenescope.data.topology import meeting_points, simplified

FINE = 8


def blobs(seed, height=60, width=70, grain=4, classes=4):
    """Labels of areas with ragged edges, small islands among them, and a part with nothing."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, classes, (height // grain + 1, width // grain + 1))
    labels = coarse.repeat(grain, 0).repeat(grain, 1)[:height, :width].astype(np.uint8)
    noisy = random.random(labels.shape) < 0.08
    labels[noisy] = random.integers(0, classes, noisy.sum())
    labels[:10, :15] = 255
    return labels


def rings_of(labels):
    areas = list(areas_of(labels, 255))
    return areas, [ring for _, rings in areas for ring in rings]


def covered(areas, rings, shape):
    """How many areas hold each point of a grid eight times as fine."""
    rings, count = iter(rings), np.zeros([side * FINE for side in shape], np.int32)
    for _, of_area in areas:
        own = [next(rings) for _ in of_area]
        polygon = {"type": "Polygon", "coordinates": own}
        count += burnt([(polygon, 1)], (1 / FINE, 0, 0, 0, 1 / FINE, 0), *count.shape, 0, 0, 0)
    return count


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 2.5, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_neighbors_neither_part_nor_overlap(seed, tolerance):
    labels = blobs(seed)
    areas, rings = rings_of(labels)
    simpler = simplified(rings, meeting_points(labels, 255), tolerance)
    assert all(ring[0] == ring[-1] and len(ring) >= 4 for ring in simpler)
    assert all(abs(shoelace(np.array(ring, float))) > 0 for ring in simpler)
    count = covered(areas, simpler, labels.shape)
    assert count.max() == 1
    # What holds nothing may move by the tolerance as well, but within the map there is no gap.
    inner = np.pad(labels, 1, constant_values=255) == 255
    reach = int(np.ceil(tolerance)) + 1
    near = np.zeros_like(inner)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            near |= np.roll(inner, (down, right), (0, 1))
    near = near[1:-1, 1:-1].repeat(FINE, 0).repeat(FINE, 1)
    assert (count[~near] == 1).all()


def test_a_stair_becomes_a_line():
    labels = np.tri(40, dtype=np.uint8)
    _, rings = rings_of(labels)
    simpler = simplified(rings, meeting_points(labels, 255), 1.0)
    assert sorted(map(len, simpler)) == [4, 6]
    assert sum(map(len, rings)) > 150


def test_no_tolerance_changes_nothing():
    _, rings = rings_of(blobs(0))
    assert simplified(rings, set(), 0) == rings


def test_points_stay_near_the_outline():
    labels = blobs(1, grain=9)
    _, rings = rings_of(labels)
    for before, after in zip(rings, simplified(rings, meeting_points(labels, 255), 1.5), strict=True):
        line = np.array(after, float)
        starts, ends = line[:-1], line[1:]
        for point in np.array(before, float):
            along = ((point - starts) * (ends - starts)).sum(1) / np.maximum(((ends - starts) ** 2).sum(1), 1e-9)
            foot = starts + np.clip(along, 0, 1)[:, None] * (ends - starts)
            assert np.hypot(*(point - foot).T).min() <= 1.5 + 1e-9


def test_an_island_of_one_pixel_stays_where_it_is():
    """Beside a stair that would be cut off: the chord must not pass to the other side of the island."""
    labels = np.tri(30, dtype=np.uint8)
    labels[12, 14] = 2  # a pixel off the stair, within its reach
    areas, rings = rings_of(labels)
    simpler = simplified(rings, meeting_points(labels, 255), 4.0)
    count = covered(areas, simpler, labels.shape)
    assert count.min() == count.max() == 1
    assert sum(label == 2 for label, _ in areas) == 1


def test_meeting_points_by_hand():
    labels = np.array([[0, 1], [0, 2]], np.uint8)
    corners = {(0, 0), (2, 0), (0, 2), (2, 2)}
    # Three areas in the middle; on the border wherever two meet.
    assert meeting_points(labels, 255) == {(1, 1), (1, 0), (2, 1), (1, 2)} | corners


def test_meeting_points_do_not_hang_on_the_rows_taken_at_once(monkeypatch):
    labels = blobs(3)
    whole = meeting_points(labels, 255)
    monkeypatch.setattr("scenescope.data.topology._ROWS", 7)
    assert meeting_points(labels, 255) == whole
