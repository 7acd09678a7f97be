import numpy as np

from scenescope.explore.points import cell_labels, chosen_points


def test_the_label_of_a_cell_is_that_under_its_centre():
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    # Centres of 2 x 2 cells: rows 1 and 3, columns 1.5 and 4.5, which lie in pixels 1 and 4.
    np.testing.assert_array_equal(cell_labels(labels, 2, 2), [[7, 10], [19, 22]])
    np.testing.assert_array_equal(cell_labels(labels, 4, 6), labels)


def test_points_are_in_the_largest_classes_in_order():
    labels = np.zeros((20, 30), np.uint8)
    labels[:, 18:] = 3
    labels[0, 0] = 1
    points = chosen_points(labels, 2)
    assert [labels[y, x] for x, y in points] == [0, 3]
    assert len(chosen_points(labels, 9)) == 3
