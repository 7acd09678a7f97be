"""What labels that a data set does not know may mean: guesses from the values or colours that its masks hold.

Each guess is a sentence with lines for ``classes.yaml``; a person has to judge it. Order of the classes cannot be seen
in a mask, so where it matters the sentence says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scenescope.data.camvid import CLASSES as CAMVID
from scenescope.data.cityscapes import CLASSES as CITYSCAPES
from scenescope.data.cityscapes import IGNORED_IDS, ORIGINAL_IDS
from scenescope.data.masks import LabelTable, pack, shown_colour
from scenescope.labels import Classes, Colour, voc_colour

MOST_LISTED = 40
"""With more unknown colours than this, none of them is a label on purpose."""

NEARLY = 16
"""Colours that differ by no more than this in red, green and blue were meant to be the same."""

_VOC_BORDER: Colour = (224, 224, 192)


def propose(table: LabelTable, classes: Classes, codes: Mapping[int, int], colours: bool) -> str | None:
    """Guess what the unknown labels of a data set mean.

    Args:
        table: what is known.
        classes: the classes.
        codes: each value, or packed colour, of its masks with the number of pixels.
        colours: whether these are colours; the table may be one of numbers all the same, or the other way round.

    Returns:
        A sentence, or None when nothing is unknown.
    """
    if not codes:
        return None
    if not colours:
        if table.colours:
            return f"The masks hold numbers: `values: {sorted(codes)}` in place of `colours`."
        unknown = sorted(code for code in codes if table.meaning(code) is None)
        return _of_values(sorted(codes), unknown, len(classes)) if unknown else None
    if not table.colours:
        return _of_a_palette(codes, classes)
    unknown = sorted((code for code in codes if table.meaning(code) is None), key=lambda code: -codes[code])
    return _of_colours(table, classes, unknown) if unknown else None


def _of_values(seen: Sequence[int], unknown: Sequence[int], num_classes: int) -> str:
    if num_classes == len(ORIGINAL_IDS) and set(seen) <= {*ORIGINAL_IDS, *IGNORED_IDS}:
        return (
            f"The masks hold the original ids of Cityscapes: `values: {list(ORIGINAL_IDS)}`, "
            f"`ignore: {list(IGNORED_IDS)}`."
        )
    if len(seen) == num_classes and list(unknown) == [value for value in seen if value != 0]:
        return f"The masks hold as many values as there are classes: `values: {list(seen)}`, in the order of `names`."
    if list(unknown) == [255]:
        return "255 is usually what is not to be scored: `ignore: 255`."
    if list(unknown) == [num_classes]:
        return (
            f"The masks hold one value more than there are classes: if 0 is unlabelled, "
            f"`values: {list(range(1, num_classes + 1))}`, `ignore: 0`; if {num_classes} is, `ignore: {num_classes}`."
        )
    shown = ", ".join(map(str, unknown[:MOST_LISTED])) + (", ..." if len(unknown) > MOST_LISTED else "")
    return f"Unknown are {shown}: give each to a class by `values`, or to `ignore`."


def _of_a_palette(codes: Mapping[int, int], classes: Classes) -> str:
    """Where numbers are expected and colours found."""
    if len(codes) > MOST_LISTED:
        return _blurred(len(codes))
    voc = Classes.named(classes.names, [voc_colour(index) for index in range(len(classes))])
    grey = Classes.named(classes.names, [(index, index, index) for index in range(len(classes))])
    for name, known in (
        ("red, green and blue equal to the class's number", grey),
        ("the colours of VOC, the first class black", voc),
        ("the colours that its classes have here", classes),
        ("the colours of Cityscapes", CITYSCAPES),
        ("the colours of CamVid", CAMVID),
    ):
        palette = list(dict.fromkeys(known.palette))
        rest = [colour for colour in ((0, 0, 0), _VOC_BORDER, (255, 255, 255)) if colour not in palette]
        if len(palette) == len(classes) and codes.keys() <= {pack(colour) for colour in (*palette, *rest)}:
            found = [list(colour) for colour in rest if pack(colour) in codes]
            ignored = f", `ignore: {found}`" if found else ""
            return f"The masks hold {name}: `colours: {[list(colour) for colour in palette]}`{ignored}."
    by_size = sorted(codes, key=lambda code: -codes[code])
    if len(codes) == len(classes) + 1 and pack((0, 0, 0)) in codes:
        by_size.remove(pack((0, 0, 0)))
        return f"The masks hold {len(by_size)} colours and black: {_colour_lines(by_size)}, `ignore: [[0, 0, 0]]`."
    return f"The masks hold {len(codes)} colours for {len(classes)} classes: {_colour_lines(by_size)}."


def _colour_lines(codes: Sequence[int]) -> str:
    """The colours, the most frequent first."""
    listed = ", ".join(shown_colour(code).replace("(", "[").replace(")", "]") for code in codes)
    return f"`colours: [{listed}]`, to be put into the order of `names`"


def _of_colours(table: LabelTable, classes: Classes, unknown: Sequence[int]) -> str:
    """Where colours are expected and others found."""
    if len(unknown) > MOST_LISTED:
        return _blurred(len(unknown))
    guesses = []
    for code in unknown:
        near = _nearest(code, table)
        if near is None:
            guesses.append(f"{shown_colour(code)} is like none: `ignore`, or a class")
        else:
            label = table.meaning(near)
            meaning = classes.names[label] if label is not None and label < len(classes) else "ignored"
            guesses.append(f"{shown_colour(code)} is nearly {shown_colour(near)}, {meaning}: add it there")
    return f"{'; '.join(guesses)}."


def _nearest(code: int, table: LabelTable) -> int | None:
    """The known colour that a colour was nearly certainly meant to be."""
    distances = {known: max(abs((code >> s & 255) - (known >> s & 255)) for s in (0, 8, 16)) for known in table.codes}
    near = min(distances, key=distances.__getitem__)
    return near if distances[near] <= NEARLY else None


def _blurred(count: int) -> str:
    return (
        f"The masks hold {count} or more colours that are no labels: they were drawn with smooth edges, resized or "
        "compressed; export them again without."
    )
