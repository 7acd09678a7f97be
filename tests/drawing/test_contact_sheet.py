import numpy as np

from scenescope.drawing.contact_sheet import contact_sheet


def test_images_stand_in_rows_of_four_with_names_below():
    images = [(f"name{number}", np.full((20 + number, 30, 3), number, np.uint8)) for number in range(6)]
    sheet = contact_sheet(images, side=30)
    places = {}
    for number in range(6):
        ys, xs = np.nonzero((sheet == number).all(axis=2))
        places[number] = (xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1)
    assert [places[number][2:] for number in range(6)] == [(30, 20 + number) for number in range(6)]
    assert len({places[number][1] for number in range(4)}) == 1
    assert places[4][0] == places[0][0] < places[1][0] < places[2][0] < places[3][0]
    assert places[5][0] == places[1][0]
    # The second row begins below the tallest of the first and its name.
    assert places[4][1] >= places[0][1] + 23 + 11
    below = sheet[places[0][1] + 20 : places[0][1] + 38, places[0][0] : places[0][0] + 30]
    assert (below < 128).any()


def test_a_long_name_keeps_its_end_and_its_place():
    image = np.zeros((4, 40, 3), np.uint8)
    short, long = (contact_sheet([(name, image), ("", image)], side=40) for name in ("a", "a" * 100 + "z"))
    assert short.shape == long.shape
    between = slice(8 + 40, 8 + 40 + 8)
    assert (long[:, between] == 255).all()
