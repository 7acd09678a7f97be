import numpy as np
import pytest

from scenescope.explore.figure import side_by_side


def test_panels_stand_in_order_without_overlap():
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    panels = [(f"panel {number}", np.full((300, 200, 3), colour, np.uint8)) for number, colour in enumerate(colours)]
    figure = np.asarray(side_by_side(panels))
    end = -1
    for colour in colours:
        columns = np.flatnonzero((figure == colour).all(-1).any(0))
        assert len(columns) == 200
        assert (np.diff(columns) == 1).all()
        assert columns[0] > end
        end = columns[-1]


@pytest.mark.parametrize(("height", "shown"), [(60, 240), (500, 500), (3000, 720)])
def test_panels_are_of_a_size_that_can_be_looked_at(height, shown):
    figure = np.asarray(side_by_side([("", np.zeros((height, height // 2, 3), np.uint8))]))
    rows, columns = np.nonzero((figure == 0).all(-1))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (shown, shown // 2)
