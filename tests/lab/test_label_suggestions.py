"""Guesses that ``tests/cases/test_advice.py`` does not follow through whole data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from scenescope.data.camvid import CLASSES as CAMVID
from scenescope.data.cityscapes import ORIGINAL_IDS
from scenescope.data.masks import LabelTable, pack
from scenescope.lab.label_suggestions import propose
from scenescope.labels import Classes, Color, voc_color

BLACK, WHITE, BORDER = (0, 0, 0), (255, 255, 255), (224, 224, 192)


def numbers(num_classes: int, seen: Sequence[int] | Mapping[int, int]) -> str | None:
    """What is proposed where the classes are 0, 1, ... and the masks hold some values, equally often if not told."""
    classes = Classes.named([f"c{number}" for number in range(num_classes)])
    table = LabelTable.of_values([[number] for number in range(num_classes)])
    return propose(table, classes, seen if isinstance(seen, Mapping) else dict.fromkeys(seen, 1), colors=False)


def colors(num_classes: int, seen: Sequence[Color], last: int = 1) -> str | None:
    """The same where the masks hold colors, each a pixel less often than the one before, the last rarer still."""
    classes = Classes.named([f"c{number}" for number in range(num_classes)])
    table = LabelTable.of_values([[number] for number in range(num_classes)])
    codes = {pack(color): 99 - place for place, color in enumerate(seen)} | {pack(seen[-1]): last}
    return propose(table, classes, codes, colors=True)


def test_nothing_is_proposed_where_all_is_known_or_nothing_differs() -> None:
    assert numbers(3, [0, 1, 2]) is None
    assert numbers(3, []) is None
    assert numbers(3, [255]) is None
    assert "`names: [c0, c2]`, `values: [0, 2]`" in str(numbers(3, [0, 2]))


@pytest.mark.parametrize(
    ("num_classes", "seen", "words"),
    [
        (3, [0, 128, 255], "`values: [0, 128, 255]`"),
        (2, {0: 50, 1: 40, 255: 10}, "`ignore: 255`"),
        (2, {0: 20, 1: 10, 255: 60}, "`names: [background, c0, c1]`, `values: [0, 1, 255]`"),
        (3, {0: 50, 1: 45, 255: 5}, "`values: [0, 1, 255]`"),
        (9, {0: 50, 1: 40, 5: 9, 255: 5}, "`names: [c0, c1, c5]`, `values: [0, 1, 5]`, `ignore: 255`; fewer labels"),
        (
            3,
            {0: 50, 1: 40, 2: 9, 3: 9, 255: 5},
            "`names: [background, c0, c1, c2]`, `values: [0, 1, 2, 3]`, `ignore: 25",
        ),
        (3, [0, 5, 6, 7], "`names: [background, c0, c1, c2]`, `values: [0, 5, 6, 7]`"),
        (3, [4, 5, 6, 7], "`names: [background, c0, c1, c2]`, `values: [4, 5, 6, 7]`"),
        (
            19,
            [*ORIGINAL_IDS, 0, 1],
            f"original ids of Cityscapes for 19 names, .*`values: {list(ORIGINAL_IDS)}`, `igno",
        ),
        (
            19,
            {number: 9 for number in range(17)} | {255: 9},
            "c16]`, `values: [0, 1, 2, 3, .*16]`, `ignore: 255`; fewer",
        ),
        (19, range(17), "c16]`, `values: [0, 1, 2, 3, .*16]`; fewer labels than names, without: c17, c18."),
        (1, range(100), "100 or more values for one name: are these numbers of things"),
    ],
)
def test_values(num_classes: int, seen: Sequence[int] | Mapping[int, int], words: str) -> None:
    proposal = numbers(num_classes, seen)
    assert proposal is not None
    for part in words.split(".*"):
        assert part in proposal


@pytest.mark.parametrize(
    ("num_classes", "seen", "words"),
    [
        (
            3,
            [voc_color(1), voc_color(2), BLACK, BORDER],
            "VOC, .*[[0, 0, 0], [128, 0, 0], [0, 128, 0]]`, `ignore: [[224",
        ),
        (
            2,
            [voc_color(2), BLACK, voc_color(1)],
            "classes have here.*`names: [background, c0, c1]`.*[128, 0, 0], [0, 1",
        ),
        (11, [*CAMVID.palette, BLACK], "of CamVid.*`colors: [[128, 128, 128], [128, 0, 0].*`ignore: [[0, 0, 0]]`"),
        (3, [(9, 9, 0), (5, 4, 3)], "`names: [c0, c1]`, `colors: [[9, 9, 0], [5, 4, 3]]`; the order of colors"),
        (
            2,
            [(9, 9, 0), BLACK, WHITE],
            "`names: [background, c0, c1]`, `colors: [[0, 0, 0], [9, 9, 0], [255, 255, 255]]",
        ),
    ],
)
def test_colors_where_numbers_are_expected(num_classes: int, seen: Sequence[Color], words: str) -> None:
    proposal = colors(num_classes, seen)
    assert proposal is not None
    for part in words.split(".*"):
        assert part in proposal


def test_colors_that_are_nearly_known() -> None:
    table = LabelTable.of_colors([[(255, 0, 0)], [(0, 0, 255)]], [BLACK])
    classes = Classes.named(["red", "blue"])
    seen = {pack((255, 0, 0)): 50, pack((0, 0, 255)): 9, pack((250, 3, 0)): 9, pack((0, 0, 16)): 8, pack((0, 99, 0)): 7}
    told = str(propose(table, classes, seen, colors=True))
    assert "`names: [red, blue, class_2]`" in told
    assert "`colors: [[[255, 0, 0], [250, 3, 0]], [0, 0, 255], [0, 99, 0]]`, `ignore: [[0, 0, 0], [0, 0, 16]]`" in told
    assert "(250, 3, 0) is nearly (255, 0, 0), red; (0, 0, 16) is nearly (0, 0, 0), ignored" in told
    known = {pack((255, 0, 0)): 1, pack((0, 0, 255)): 1}
    assert propose(table, classes, known, colors=True) is None
    assert "`values: [0, 4]`, `ignore: []` in place of `colors`" in str(
        propose(table, classes, {4: 1, 0: 1}, colors=False)
    )


def test_labels_at_edges_only_are_told_as_such_and_not_listed() -> None:
    table, classes = LabelTable.of_values([[0], [1]]), Classes.named(["bg", "glasses"])
    codes = {0: 700, 255: 200, 128: 30} | dict.fromkeys(range(40, 60), 5)
    lone = {0: 20, 255: 20, 128: 25} | dict.fromkeys(range(40, 60), 4)
    told = str(propose(table, classes, codes, False, lone))
    assert "23 or more values, most of them at edges only: they were compressed, resized or drawn" in told
    assert "The most frequent are 0 (68.0%), 255 (19.4%); if these are the labels: `values: [0, 255]`." in told
    # So many areas are no edges, whatever they are.
    assert "edges" not in str(propose(table, classes, codes, False, dict.fromkeys(codes, 2)))
