"""What the labels of masks may mean: a guess from the values or colors that occur, as lines for ``classes.yaml``.

A person has to judge the guess; above all the order of the classes cannot be seen in colors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from scenescope.data.camvid import CLASSES as CAMVID
from scenescope.data.cityscapes import CLASSES as CITYSCAPES
from scenescope.data.cityscapes import IGNORED_IDS, ORIGINAL_IDS
from scenescope.data.masks import LabelTable, pack, shown_color
from scenescope.lab.assignment import (
    BLACK,
    NEARLY,
    VOC_BORDER,
    Assignment,
    Meanings,
    assign,
    background_name,
    distance,
    is_anchored,
    white,
)
from scenescope.labels import IGNORE, Classes, voc_color

FEW = 4
"""More labels than this that lie at edges only come from compression, resizing or smooth edges, not from a person."""

SEVERAL = 8
"""So many labels are shown, the most frequent."""

MAX_LISTED = 40
"""With more labels than this, and more than names, none of them is a class on purpose."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*( [A-Za-z0-9_-]+)*")
_WORDS_OF_YAML = ("true", "false", "null")


def propose(
    table: LabelTable,
    classes: Classes,
    codes: Mapping[int, int],
    colors: bool,
    lone: Mapping[int, int] | None = None,
    forms: Collection[frozenset[int]] = (),
) -> str | None:
    """Guess what the labels of a data set mean.

    Args:
        table: what is known.
        classes: the classes.
        codes: each value, or packed color, of its masks with the number of pixels.
        colors: whether these are colors; the table may be one of numbers all the same, or the other way round.
        lone: of these pixels, how many differ from the one above and from the one to the left.
        forms: the sets of codes that masks hold.

    Returns:
        A sentence, or None when every label is known and every class occurs, or when there are no two labels.
    """
    kind, other = ("colors", "values") if colors else ("values", "colors")
    given = table.train_ids if colors == table.colors else {}
    if len(codes) < 2 or (codes.keys() <= given.keys() and _taught(given, codes) == len(classes) > 1):
        return None
    if codes.keys() == {0, 1, 255} and len(classes) <= 2 and forms and not any({1, 255} <= form for form in forms):
        lines = assign(classes.names, {0: codes[0], 255: codes[1] + codes[255]}, {}, False)
        lines = replace(lines, groups=[[1, 255] if group == [255] else group for group in lines.groups])
        return f"Some masks hold 0 and 1, others 0 and 255: {_told(lines, classes, table, colors)}."
    at_edges = {code for code, number in (lone or {}).items() if code not in given and 2 * number > codes[code]}
    if len(at_edges) > FEW and 2 * len(at_edges) > len(codes):
        meant = _dominant(codes, classes, colors)
        told = _told(_assigned(classes, meant, given, colors)[1], classes, table, colors) if len(meant) > 1 else ""
        return (
            f"The masks hold {len(codes)} or more {kind}, most of them at edges only: they were compressed, resized or "
            "drawn with smooth edges. Export them again from the tool, as PNG without anti-aliasing and resized by "
            f"nearest neighbor only. The most frequent are {_shown(meant, codes, colors)}"
            f"{f'; if these are the labels: {told}' if told else ''}."
        )
    if len(codes) > max(MAX_LISTED, len(classes) + 1):
        return (
            f"The masks hold {len(codes)} or more {kind} for {_count(classes)}: are these numbers of things, or the "
            f"labels of another data set? Give every one of them to a class by `{kind}`, or to `ignore`."
        )
    origin, lines = _assigned(classes, codes, given, colors)
    replaced = table.colors != colors and any(code != label != IGNORE for code, label in table.train_ids.items())
    instead = f" in place of `{other}`" if replaced else ""
    return (
        f"The masks hold {origin or f'{len(codes)} {kind}'} for {_count(classes)}, {_shown(codes, codes, colors)}: "
        f"{_told(lines, classes, table, colors)}{instead}{''.join(f'; {remark}' for remark in lines.remarks)}."
    )


def _taught(meanings: Meanings, codes: Mapping[int, int]) -> int:
    return len({meanings[code] for code in codes if meanings.get(code, IGNORE) != IGNORE})


def _dominant(codes: Mapping[int, int], classes: Classes, colors: bool) -> dict[int, int]:
    """The most frequent codes that are not nearly more frequent ones, as many as there are classes to expect."""
    most = len(classes) + (background_name(classes.names) is None)
    near = NEARLY if colors else min(NEARLY, (max(codes) - min(codes)) // (2 * most))
    meant: dict[int, int] = {}
    for code in sorted(codes, key=lambda code: -codes[code]):
        apart = all((distance(code, other) if colors else abs(code - other)) > near for other in meant)
        # One more than there are names has to be as frequent as these, for it may come from an edge.
        frequent = len(meant) < max(len(classes), 2) or codes[code] * SEVERAL > min(meant.values())
        if len(meant) < most and apart and frequent:
            meant[code] = codes[code]
    return dict(sorted(meant.items()))


def _assigned(classes: Classes, codes: Mapping[int, int], given: Meanings, colors: bool) -> tuple[str, Assignment]:
    """What follows from the first known meaning that accounts for the labels, and its name."""
    usual = _usual(classes, given, codes, colors) if codes.keys() - given.keys() else ()
    for origin, meanings in usual:
        if is_anchored(codes, meanings) and codes.keys() <= {*meanings, BLACK, VOC_BORDER, white(colors)}:
            return origin, assign(classes.names, codes, meanings, colors)
    return "", assign(classes.names, codes, given, colors)


def _usual(classes: Classes, given: Meanings, codes: Mapping[int, int], colors: bool) -> Iterator[tuple[str, Meanings]]:
    """Meanings of labels that are in use, where other than the given ones are asked for."""
    count = range(len(classes))
    if not colors:
        ids = {value: label for label, value in enumerate(ORIGINAL_IDS)} | dict.fromkeys(IGNORED_IDS, IGNORE)
        # One or two more than the train ids have are something else.
        if len(classes) == len(ORIGINAL_IDS) and len(codes.keys() & ids.keys() - given.keys()) > 2:
            yield "the original ids of Cityscapes", ids
        if not given:
            yield "", {number: number for number in count}
    elif not is_anchored(codes, given):
        for origin, palette, ignored in (
            ("red, green and blue equal to the class's number", [(index, index, index) for index in count], {}),
            ("the colors of VOC, the first class black,", [voc_color(index) for index in count], {}),
            ("the colors that its classes have here", classes.palette, {}),
            ("the colors of Cityscapes", CITYSCAPES.palette, {BLACK: IGNORE}),
            ("the colors of CamVid", CAMVID.palette, {BLACK: IGNORE}),
        ):
            if len(palette) == len(classes):
                yield origin, {pack(color): label for label, color in enumerate(palette)} | ignored


def _told(lines: Assignment, classes: Classes, table: LabelTable, colors: bool) -> str:
    """The keys of ``classes.yaml`` that change."""
    given = table.train_ids if table.colors == colors else {}
    told = []
    if lines.names != list(classes.names):
        told.append(f"names: [{', '.join(map(_name, lines.names))}]")
    groups = [[code for code, label in given.items() if label == index] for index in range(len(classes))]
    if lines.groups != groups:
        written = ", ".join(
            _written(group[0], colors) if len(group) == 1 else _list(group, colors) for group in lines.groups
        )
        told.append(f"{'colors' if colors else 'values'}: [{written}]")
    before = sorted(code for code, label in table.train_ids.items() if label == IGNORE)
    if lines.ignored != before or (before and not given):
        one = len(lines.ignored) == 1 and not colors
        told.append(f"ignore: {lines.ignored[0] if one else _list(lines.ignored, colors)}")
    return ", ".join(f"`{line}`" for line in told)


def _name(name: str) -> str:
    """A name as YAML reads it back."""
    plain = _PLAIN.fullmatch(name) and name.lower() not in _WORDS_OF_YAML
    return name if plain else json.dumps(name, ensure_ascii=False)


def _shown(shown: Mapping[int, int], codes: Mapping[int, int], colors: bool) -> str:
    """Labels with their shares of all pixels, the most frequent first."""
    total = sum(codes.values())
    most = sorted(shown, key=lambda code: -codes[code])[:SEVERAL]
    listed = ", ".join(f"{_written(code, colors)} ({codes[code] / total:.1%})" for code in most)
    return listed + (", ..." if len(shown) > SEVERAL else "")


def _list(codes: Iterable[int], colors: bool) -> str:
    return f"[{', '.join(_written(code, colors) for code in codes)}]"


def _written(code: int, colors: bool) -> str:
    return shown_color(code).replace("(", "[").replace(")", "]") if colors else str(code)


def _count(classes: Classes) -> str:
    return "one name" if len(classes) == 1 else f"{len(classes)} names"
