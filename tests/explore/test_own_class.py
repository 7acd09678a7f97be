import numpy as np
import pytest

from scenescope.errors import ImageError, ModelError
from scenescope.explore.own_class import OwnClass, own_class
from scenescope.explore.trace import attend
from scenescope.models.catalog import create_model

NAMES = ["road", "sky", "car"]


def test_shares_are_those_of_a_slow_count(network, image):
    """Position by position: its weight in the row of S goes to the class of the pixel under its center."""
    trace = attend(network, image)
    for point in ((50, 13), (99, 69), (0, 0)):
        row = trace.position.maps([point])[0]
        left, top, right, bottom = trace.extent(trace.position)
        paid, area = [0.0] * 4, [0.0] * 4
        for line in range(5):
            for column in range(7):
                x = min(int(left + (column + 0.5) * (right - left) / 7), 99)
                y = min(int(top + (line + 0.5) * (bottom - top) / 5), 69)
                paid[trace.labels[y, x]] += float(row[line, column])
                area[trace.labels[y, x]] += 1 / 35
        found = own_class(trace, point)
        assert found.label == trace.labels[point[1], point[0]]
        np.testing.assert_allclose(found.paid, paid, atol=1e-6)
        np.testing.assert_allclose(found.area, area, atol=1e-9)
        assert found.share == found.paid[found.label]
        assert sum(found.paid) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("paid", "area", "words"),
    [
        ((0.86, 0.10, 0.04), (0.25, 0.5, 0.25), "Looks mostly at its own class: 86 % on road, which covers 25 % (3.4"),
        ((0.30, 0.50, 0.20), (0.10, 0.5, 0.40), "Looks at its own class more than chance: 30 % on road, which covers"),
        ((0.25, 0.50, 0.25), (0.25, 0.5, 0.25), "about as much as chance: 25 % on road, which covers 25 %."),
        (
            (0.03, 0.57, 0.40),
            (0.28, 0.5, 0.22),
            "less than chance: 3 % on road, which covers 28 %; most goes to sky (57",
        ),
        ((0.50, 0.30, 0.20), (0.90, 0.05, 0.05), "less than chance: 50 % on road, which covers 90 %."),
        ((0.00, 0.60, 0.40), (0.00, 0.6, 0.40), "road is smaller than a position of attention here"),
    ],
)
def test_verdicts(paid, area, words):
    assert words in OwnClass(0, paid, area).verdict(NAMES).replace("\u00a0", " ")


def test_what_has_no_answer(network, image):
    with pytest.raises(ImageError, match="x may be 0 to 99"):
        own_class(attend(network, image), (100, 0))
    plain = create_model("fcn", backbone="test_resnet", num_classes=4, output_stride=32)
    with pytest.raises(ModelError, match="no position attention"):
        own_class(attend(plain, image), (0, 0))
