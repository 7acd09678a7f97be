import numpy as np
import pytest

from scenescope.errors import DataError
from scenescope.inference.prediction import Prediction
from scenescope.inference.renaming import read_names, renamed
from scenescope.labels import Classes

CLASSES = Classes.named(["car", "bus", "sky", "road"], [(1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)])


def test_classes_of_one_name_become_one_and_those_not_listed_stay():
    classes, table = renamed(CLASSES, {"bus": "vehicle", "car": "vehicle", "sky": None})
    assert classes.names == ("vehicle", "road")
    assert classes.palette == ((1, 1, 1), (4, 4, 4))
    assert table[[0, 1, 2, 3, 255]].tolist() == [0, 0, 255, 1, 255]


def test_a_name_may_join_a_class_that_stays():
    classes, table = renamed(CLASSES, {"sky": "car"})
    assert classes.names == ("car", "bus", "road")
    assert table[:4].tolist() == [0, 1, 0, 2]


def test_two_classes_may_change_their_names():
    classes, table = renamed(CLASSES, {"car": "bus", "bus": "car"})
    assert classes.names == ("bus", "car", "sky", "road")
    assert table[:4].tolist() == [0, 1, 2, 3]


def test_probabilities_of_a_joined_class_are_added():
    probabilities = np.array([0.1, 0.2, 0.3, 0.4], np.float32).reshape(4, 1, 1)
    before = Prediction(np.array([[3]], np.uint8), np.zeros((1, 1, 3), np.uint8), CLASSES, probabilities)
    after = before.renamed({"car": "vehicle", "bus": "vehicle", "sky": None})
    assert after.labels.tolist() == [[1]]
    assert after.probabilities.reshape(-1) == pytest.approx([0.3, 0.4])
    assert before.classes is CLASSES
    assert next(iter(after.regions())).probability == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"cra": "x"}, r"'cra' is renamed, but is none of the classes car, bus, sky, road. Did you mean 'car'\?"),
        (dict.fromkeys(CLASSES.names), "Every class is renamed to null"),
    ],
)
def test_what_cannot_be_renamed_is_told(names, told):
    with pytest.raises(DataError, match=told):
        renamed(CLASSES, names)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("car: [1]", r"car gets the name \[1\], which is not text"),
        ("car: ''", "car gets the name ''"),
        ("- car", "list"),
    ],
)
def test_a_file_with_something_else_is_refused(tmp_path, text, told):
    (tmp_path / "names.yaml").write_text(text)
    with pytest.raises(DataError, match=told):
        read_names(tmp_path / "names.yaml")


def test_a_file_is_read(tmp_path):
    (tmp_path / "names.yaml").write_text("car: Fahrzeug\nsky: null\n")
    assert read_names(tmp_path / "names.yaml") == {"car": "Fahrzeug", "sky": None}
