from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scenescope.data.classes_yaml import read_class_file
from scenescope.errors import DataError
from scenescope.labels import IGNORE, voc_color


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "classes.yaml"
    path.write_text(text)
    return path


def test_names_alone_are_numbered_from_zero(tmp_path: Path) -> None:
    classes, table = read_class_file(written(tmp_path, "names: [sky, road]\nignore: 255\n"))
    assert classes.names == ("sky", "road")
    assert classes.palette == (voc_color(1), voc_color(2))
    assert table.to_labels(np.array([[0, 1, 255]], dtype=np.uint8), tmp_path).tolist() == [[0, 1, IGNORE]]


def test_names_may_be_numbered_in_any_order(tmp_path: Path) -> None:
    classes, _ = read_class_file(written(tmp_path, "names:\n  1: road\n  0: sky\n  2: car\n"))
    assert classes.names == ("sky", "road", "car")


def test_nothing_is_ignored_that_the_file_does_not_name(tmp_path: Path) -> None:
    _, table = read_class_file(written(tmp_path, "names: [sky, road]\n"))
    with pytest.raises(
        DataError, match=r"value 255 .*add it to `names` or `ignore` in classes.yaml, or repair the mask"
    ):
        table.to_labels(np.array([[255]], dtype=np.uint8), tmp_path)


def test_raw_values_and_several_for_one_class(tmp_path: Path) -> None:
    text = "names: [sky, road]\nvalues: [10, [20, 3000]]\nignore: [0, 1]\n"
    _, table = read_class_file(written(tmp_path, text))
    assert table.to_labels(np.array([[10, 20, 3000, 1]], dtype=np.uint16), tmp_path).tolist() == [[0, 1, 1, IGNORE]]


def test_colors_are_also_the_palette(tmp_path: Path) -> None:
    text = "names: [sky, road]\ncolors:\n  - [0, 0, 255]\n  - [[90, 90, 90], [80, 80, 80]]\nignore: [0, 0, 0]\n"
    classes, table = read_class_file(written(tmp_path, text))
    assert classes.palette == ((0, 0, 255), (90, 90, 90))
    raw = np.array([[[0, 0, 255], [80, 80, 80], [90, 90, 90], [0, 0, 0]]], dtype=np.uint8)
    assert table.to_labels(raw, tmp_path).tolist() == [[0, 1, 1, IGNORE]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "names: [a, b]\ncolor: []\n",
            "unknown key 'color'; known are names, ignore, values, colors, bands, range. Did you mean 'col",
        ),
        ("ignore: 255\n", "`names` must list the classes"),
        ("names: {a: 1}\n", "`names` must list the classes"),
        (
            "names: {1: a, 4: b}\n",
            "without a gap; if these are the values in the masks, write names: [a, b], values: [1, 4].",
        ),
        ("names: []\n", "`names` must list the classes"),
        ("names: [a, 12]\n", "the class name 12 is not text; put it in quotes"),
        ("names: [a, null]\n", "the class name None is not text"),
        ("names: [a, a]\n", "'a' is given twice"),
        ("names: [a, b]\nvalues: [1]\n", "`values` has 1 entries for 2 names"),
        ("names: [a]\nvalues: 1\n", "`values` must be a list with one entry per class"),
        ("names: [a]\nvalues: [[]]\n", "`values` of class 'a' is empty"),
        ("names: [a]\nvalues: [x]\n", "`values` holds 'x'; expected a whole number"),
        ("names: [a]\nvalues: [true]\n", "`values` holds True"),
        ("names: [a]\nvalues: [[[128, 0, 0]]]\n", "For RGB colors, use `colors`"),
        ("names: [a]\nvalues: [-1]\n", "-1 is out of range"),
        ("names: [a, b]\nvalues: [1, 1]\n", "1 means both class 0 and class 1"),
        ("names: [a, b]\nignore: 1\n", "1 means both class 1 and ignored"),
        ("names: [a]\nvalues: [1]\ncolors: [[0, 0, 0]]\n", "both given"),
        ("names: [a]\ncolors: [red]\n", "expected an RGB color such as [128, 0, 0]"),
        ("names: [a]\ncolors: [[1, 2]]\n", "expected an RGB color"),
        ("names: [a]\ncolors: [[[1, 2]]]\n", "three whole numbers"),
        ("names: [a]\ncolors: [[0, 0, 999]]\n", "out of range"),
        ("names: [a]\ncolors: [[0, 0, 9]]\nignore: 255\n", "`ignore` holds 255; expected an RGB color"),
        ("names: [a]\nnames: [b]\n", "line 2: the key 'names' is given twice"),
        ("- a\n", "must hold keys and values"),
    ],
)
def test_faults_name_the_file_and_what_was_expected(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_class_file(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert words in message
    assert "\n" not in message


def test_a_missing_file_shows_an_example(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist; write one .* names: \[background, person\]"):
        read_class_file(tmp_path / "classes.yaml")
