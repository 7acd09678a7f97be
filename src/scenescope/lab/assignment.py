"""Which class a value or color of masks may be: what is known keeps its class, the others take the names left over.

A label is a class before it is ignored: 255 and white are left out only where they are rare and the others account
for the classes without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scenescope.data.masks import pack, shown_color
from scenescope.labels import IGNORE

RARE = 0.2
"""What covers less than this share of the pixels may be meant not to be scored."""

NEARLY = 16
"""Colors that differ by no more than this in red, green and blue were meant to be the same."""

BLACK = 0
"""The value and the packed color that are usually what is nothing else."""

VOC_BORDER = pack((224, 224, 192))

_BACKGROUND = re.compile(
    r"[_ ]*(background|back|bg|others?|rest|none|nothing|void|un-?label+ed|negative)[_ ]*", re.IGNORECASE
)

Meanings = Mapping[int, int]
"""Each value, or packed color, with its train id or IGNORE."""


@dataclass(frozen=True)
class Assignment:
    """What ``classes.yaml`` is to say: names, the codes of each, codes that are not scored, and what to know of it."""

    names: list[str]
    groups: list[list[int]]
    ignored: list[int]
    remarks: list[str]


def white(colors: bool) -> int:
    """The value, or the color, that is often used for what is not scored."""
    return pack((255, 255, 255)) if colors else 255


def is_anchored(codes: Iterable[int], meanings: Meanings) -> bool:
    """Whether a class of these meanings occurs; black alone says nothing, for nearly all masks hold it."""
    return any(code != BLACK and meanings.get(code, IGNORE) != IGNORE for code in codes)


def background_name(names: Sequence[str]) -> str | None:
    """The name of the class of what is nothing else, if one has such a name."""
    return next((name for name in names if _BACKGROUND.fullmatch(name)), None)


def assign(names: Sequence[str], codes: Mapping[int, int], meanings: Meanings, colors: bool) -> Assignment:
    """Give every label that occurs to a class, or leave it out.

    Args:
        names: of the classes.
        codes: each value, or packed color, with the number of its pixels.
        meanings: what may be known of them.
        colors: whether these are colors.
    """
    scored = [code for code in codes if meanings.get(code) != IGNORE]
    ignored = [code for code, label in meanings.items() if label == IGNORE]
    if len(scored) < 2:
        scored, ignored = list(codes), []  # what is ignored leaves nothing to tell apart
    # With a label for what is nothing else, if no name is its.
    num_classes = len(names) + (background_name(names) is None and BLACK in scored)
    extra = _perhaps_ignored(scored, codes, meanings, colors)
    known = _trusted(len(names), num_classes, scored, extra, meanings, colors)
    others = len(scored) - len(extra)
    if others >= 2 and (known or others >= num_classes):
        ignored += extra
        scored = [code for code in scored if code not in extra]
    taught = {known[code] for code in scored if code in known}
    groups: dict[str, list[int]] = {
        name: [code for code, label in known.items() if label == index and index in taught]
        for index, name in enumerate(names)
    }
    unknown = sorted((code for code in scored if code not in known), key=lambda code: -codes[code] if colors else code)
    remarks: list[str] = []
    if known and colors:
        unknown = [code for code in unknown if not _joined(code, meanings, names, groups, ignored, remarks)]
    groups = _named(unknown, groups, codes, colors, bool(known), remarks)
    if gone := [name for name in names if not groups[name]]:
        remarks.append(f"fewer labels than names, without: {', '.join(gone[:9])}{', ...' if len(gone) > 9 else ''}")
    left = {name: group for name, group in groups.items() if group}
    return Assignment(list(left), list(left.values()), sorted(set(ignored)), remarks)


def _perhaps_ignored(scored: Sequence[int], codes: Mapping[int, int], meanings: Meanings, colors: bool) -> list[int]:
    """The labels that are often used for what is not scored, where they are rare and nothing else is known of them."""
    rare = RARE * sum(codes.values())
    unscored = white(colors), VOC_BORDER
    return [code for code in scored if code not in meanings and code in unscored and codes[code] < rare]


def _named(
    unknown: list[int],
    groups: dict[str, list[int]],
    codes: Mapping[int, int],
    colors: bool,
    anchored: bool,
    remarks: list[str],
) -> dict[str, list[int]]:
    """Give unknown labels to the names that have none: what is nothing else to its own, the others in their order."""
    free = [name for name, group in groups.items() if not group]
    background = background_name(list(groups))
    rest = BLACK if BLACK in unknown else None
    if rest is None and unknown and not anchored:
        rest = max(unknown, key=codes.__getitem__)
    if rest is not None and background is None and len(unknown) > len(free):
        groups = {"background": [rest]} | groups
        unknown = [code for code in unknown if code != rest]
        remarks.append(
            "a class for what is nothing else is missing (where nobody labeled it, leave it out and ignore it)"
        )
    elif rest is not None and background in free and (colors or rest == BLACK):
        groups[background] = [rest]
        unknown = [code for code in unknown if code != rest]
        free.remove(background)
    for name, code in zip(free, unknown, strict=False):
        groups[name].append(code)
    for code in unknown[len(free) :]:
        groups[f"class_{len(groups) if colors else code}"] = [code]
    if len(unknown) > len(free):
        remarks.append("rename what is called class_...")
    if colors and len(unknown) > 1:
        remarks.append("the order of colors is to be put into that of `names`")
    return groups


def _joined(
    code: int,
    meanings: Meanings,
    names: Sequence[str],
    groups: dict[str, list[int]],
    ignored: list[int],
    remarks: list[str],
) -> bool:
    """Put a color that was nearly certainly meant to be a known one where that is."""
    near = min(meanings, key=lambda other: distance(code, other))
    if distance(code, near) > NEARLY:
        return False
    label = meanings[near]
    (ignored if label == IGNORE else groups[names[label]]).append(code)
    meant = "ignored" if label == IGNORE else names[label]
    remarks.append(f"{shown_color(code)} is nearly {shown_color(near)}, {meant}")
    return True


def distance(code: int, other: int) -> int:
    """The largest difference of two packed colors in red, green or blue."""
    return max(abs((code >> shift & 255) - (other >> shift & 255)) for shift in (0, 8, 16))


def _trusted(
    num_names: int, num_classes: int, scored: list[int], extra: list[int], meanings: Meanings, colors: bool
) -> dict[int, int]:
    """The classes that are known, unless labels like these say that they are others."""
    known = {code: label for code, label in meanings.items() if label != IGNORE}
    rest = sorted(code for code in scored if code not in extra)
    if any(code not in known for code in scored):
        # Two labels are what is looked for and all else, whatever their numbers.
        if len(scored) == 2:
            return {}
        # As many numbers as classes are in the order of these, though they start or step otherwise.
        in_order = not colors and all(code == label for code, label in known.items())
        agree = all(known.get(code, place) == place for place, code in enumerate(sorted(scored)))
        if in_order and len(scored) == num_names and agree:
            return {}
        if in_order and len(rest) == num_classes and any(code not in known for code in rest):
            return {}
    return known if is_anchored(rest, meanings) else {}
