from __future__ import annotations

from pathlib import Path

import pytest

from scenescope.data import class_names
from scenescope.data.class_names import read_names, read_numbered_names

LISTS = sorted(path.stem for path in Path(class_names.__file__).with_name("name_lists").iterdir())


@pytest.mark.parametrize("name", LISTS)
def test_every_list_holds_one_name_a_line_and_none_twice(name: str) -> None:
    lines = read_names(name)
    assert len(set(lines)) == len(lines)
    assert all(line and line == line.strip() and line.isascii() for line in lines)


def test_numbered_names_keep_their_spaces_and_order() -> None:
    numbered = read_numbered_names("coco_stuff")
    assert numbered[10] == "traffic light"
    assert list(numbered) == sorted(numbered)
