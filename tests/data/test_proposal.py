from __future__ import annotations

from collections.abc import Sequence

import pytest

from scenescope.data.camvid import CLASSES as CAMVID
from scenescope.data.cityscapes import ORIGINAL_IDS
from scenescope.data.masks import LabelTable, pack
from scenescope.data.proposal import propose
from scenescope.labels import Classes, Colour, voc_colour

BLACK = (0, 0, 0)


def numbers(num_classes: int, seen: Sequence[int]) -> str | None:
    """What is proposed where the classes are 0, 1, ... and the masks hold some values."""
    classes = Classes.named([f"c{number}" for number in range(num_classes)])
    table = LabelTable.of_values([[number] for number in range(num_classes)])
    return propose(table, classes, dict.fromkeys(seen, 1), colours=False)


def colours(num_classes: int, seen: Sequence[Colour]) -> str | None:
    """The same where the masks hold colours, each less often than the one before it."""
    classes = Classes.named([f"c{number}" for number in range(num_classes)])
    table = LabelTable.of_values([[number] for number in range(num_classes)])
    return propose(table, classes, {pack(colour): 99 - place for place, colour in enumerate(seen)}, colours=True)


def test_nothing_is_proposed_where_nothing_is_unknown() -> None:
    assert numbers(3, [0, 2]) is None
    assert numbers(3, []) is None


@pytest.mark.parametrize(
    ("num_classes", "seen", "words"),
    [
        (2, [0, 255], "`values: [0, 255]`"),
        (3, [0, 128, 255], "`values: [0, 128, 255]`"),
        (2, [10, 20], "`values: [10, 20]`"),
        (2, [0, 1, 255], "`ignore: 255`"),
        (3, [0, 1, 255], "`ignore: 255`"),
        (3, [0, 1, 2, 3], "if 0 is unlabelled, `values: [1, 2, 3]`, `ignore: 0`; if 3 is, `ignore: 3`"),
        (19, [0, 1, 7, 26, 33], f"original ids of Cityscapes: `values: {list(ORIGINAL_IDS)}`, `ignore: [0, 1, 2"),
        (3, [0, 5, 6, 7], "Unknown are 5, 6, 7: give each to a class by `values`, or to `ignore`"),
        (1, range(100), "38, 39, 40, ...: give each"),
    ],
)
def test_values(num_classes: int, seen: Sequence[int], words: str) -> None:
    proposal = numbers(num_classes, seen)
    assert proposal is not None
    assert words in proposal


@pytest.mark.parametrize(
    ("num_classes", "seen", "words"),
    [
        (3, [(0, 0, 0), (1, 1, 1), (2, 2, 2)], "equal to the class's number: `colours: [[0, 0, 0], [1, 1, 1], [2, 2"),
        (
            3,
            [voc_colour(2), BLACK, (224, 224, 192)],
            "VOC, the first class black: `colours: [[0, 0, 0], [128, 0, 0], [0, 128, 0]]`, `ignore: [[224, 224, 192]]`",
        ),
        (
            2,
            [voc_colour(2), voc_colour(1), BLACK],
            "have here: `colours: [[128, 0, 0], [0, 128, 0]]`, `ignore: [[0, 0, 0]]`",
        ),
        (11, [CAMVID.palette[4], CAMVID.palette[0]], "of CamVid: `colours: [[128, 128, 128], [128, 0, 0]"),
        (
            2,
            [(9, 9, 0), BLACK, (5, 4, 3)],
            "2 colours and black: `colours: [[9, 9, 0], [5, 4, 3]]`, to be put into the order of `names`, `ignore: [[0",
        ),
        (3, [(9, 9, 0), (5, 4, 3)], "2 colours for 3 classes: `colours: [[9, 9, 0], [5, 4, 3]]`"),
        (2, [(red, 0, 7) for red in range(99)], "99 or more colours that are no labels"),
    ],
)
def test_colours_where_numbers_are_expected(num_classes: int, seen: Sequence[Colour], words: str) -> None:
    proposal = colours(num_classes, seen)
    assert proposal is not None
    assert words in proposal


def test_colours_that_are_nearly_known() -> None:
    table = LabelTable.of_colours([[(255, 0, 0)], [(0, 0, 255)]], [BLACK])
    classes = Classes.named(["red", "blue"])
    seen = {pack((255, 0, 0)): 50, pack((250, 3, 0)): 9, pack((0, 0, 16)): 8, pack((0, 99, 0)): 7}
    assert propose(table, classes, seen, colours=True) == (
        "(250, 3, 0) is nearly (255, 0, 0), red: add it there; (0, 0, 16) is nearly (0, 0, 0), ignored: add it there; "
        "(0, 99, 0) is like none: `ignore`, or a class."
    )
    assert propose(table, classes, {pack((255, 0, 0)): 1}, colours=True) is None
    many = {pack((200, green, 200)): 1 for green in range(60)}
    assert "60 or more colours" in str(propose(table, classes, many, colours=True))
    assert "`values: [0, 4]` in place of `colours`" in str(propose(table, classes, {4: 1, 0: 1}, colours=False))
