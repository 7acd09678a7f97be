import numpy as np
import torch

from scenescope.cells import Cells
from scenescope.explore.points import cell_labels, cell_numbers, chosen_points


def test_the_label_of_a_cell_is_that_under_its_center():
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    # Centers of 2 x 2 cells: rows 1 and 3, columns 1.5 and 4.5, which lie in pixels 1 and 4.
    cells = Cells.stretched((2, 2), (4, 6), align_corners=False)
    np.testing.assert_array_equal(cell_labels(labels, cells, (2, 2)), [[7, 10], [19, 22]])
    np.testing.assert_array_equal(cell_labels(labels, Cells.where_they_look(1, (0, 0)), (4, 6)), labels)
    # Cells of 4 pixels, of which the last columns lie past the image: centers in columns 2 and 6, which is 5 at most.
    np.testing.assert_array_equal(cell_labels(labels, Cells.where_they_look(4, (0, 0)), (1, 2)), [[14, 17]])


def test_the_cell_of_a_point_is_the_nearest():
    features = torch.zeros(1, 1, 2, 3)
    points = [(0, 0), (7, 7), (8, 7), (17, 9)]
    halves, aligned = Cells.where_they_look(8, (0, 0)), Cells.where_they_look(8, (1, 1))
    assert cell_numbers(points, (10, 18), halves, features).tolist() == [0, 0, 1, 5]
    # With corners aligned the cells are at pixels 0, 8 and 16.
    assert cell_numbers([(3, 0), (4, 0), (12, 5)], (10, 18), aligned, features).tolist() == [0, 1, 5]


def test_points_are_in_the_largest_classes_in_order():
    labels = np.zeros((20, 30), np.uint8)
    labels[:, 18:] = 3
    labels[0, 0] = 1
    points = chosen_points(labels, 2)
    assert [labels[y, x] for x, y in points] == [0, 3]
    assert len(chosen_points(labels, 9)) == 3
