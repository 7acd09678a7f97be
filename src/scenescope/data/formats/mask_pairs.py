"""Which mask belongs to which image where other tools gave them names: ``a_mask.png``, ``gt_a.png``, ``a.jpg.png``."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from scenescope.data.formats.splits import split_of
from scenescope.data.images import SUFFIXES

MAX_TRIED = 20
"""Images whose names are compared with those of all masks."""

_DIGITS = "0123456789"
_MASK_WORD = re.compile(
    r"(?:^|[/_. -])(masks?|labels?|labelids|gt\w*|seg\w*|ann\w*|targets?|(?:ground_?)?truth|l)(?=$|[/_. -])", re.I
)


def find_pairs(root: Path, files: Iterable[Path]) -> dict[Path, Path]:
    """Return the mask of each image that has one, going by the names of files and folders.

    Args:
        root: what lies above it says nothing.
        files: those below it.
    """
    images: dict[Path, dict[str, Path]] = {}
    masks: dict[Path, dict[str, Path]] = {}
    for path in (path for path in files if path.suffix.lower() in SUFFIXES):
        place = path.parent.relative_to(root)
        of_mask = _MASK_WORD.search(place.as_posix()) or _MASK_WORD.search(path.stem)
        (masks if of_mask else images).setdefault(place, {})[path.stem] = path
    chosen: list[tuple[int, dict[Path, Path]]] = []
    for place, some in images.items():
        split = split_of(*reversed(place.parts))
        # Of folders whose names fit equally, the one that shares most of the path: masks/val for images/val. Never
        # those of another split.
        near = [
            (len(set(place.parts) & set(other.parts)), others)
            for other, others in masks.items()
            if not split or split_of(*reversed(other.parts)) in ("", split)
        ]
        best: tuple[int, dict[Path, Path]] = (0, {})
        for shared, others in sorted(near, key=lambda each: -each[0]):
            found = partners(sorted(some), sorted(others))
            if len(found) > len(best[1]):
                best = shared, {some[image]: others[mask] for image, mask in found.items()}
            if len(found) == len(some):
                break  # of thousands of folders each has one of its own
        chosen.append(best)
    pairs: dict[Path, Path] = {}
    used: set[Path] = set()
    # A mask serves one image: the one whose path it shares most of.
    for _, those in sorted(chosen, key=lambda each: -each[0]):
        pairs |= {image: mask for image, mask in those.items() if mask not in used}
        used.update(those.values())
    return pairs


def partners(images: Collection[str], masks: Collection[str]) -> dict[str, str]:
    """Pair stems by what a mask's adds to its image's, or by what is left without what each side has in common.

    ``a`` belongs to ``a``, ``a_mask`` or ``gt_a``, and ``a_sat`` to ``a_mask``.
    """
    added: Counter[tuple[str, str]] = Counter()
    for image in list(images)[:MAX_TRIED]:
        for mask in masks:
            before, found, after = mask.rpartition(image)
            added.update([(before, after)] if found else [])
    ways = [{f"{before}{image}{after}": image for image in images} for (before, after), _ in added.most_common(1)]
    if len(images) > 1 and len(masks) > 1:
        core_of, mask_of = _cores(images), {core: mask for mask, core in _cores(masks).items()}
        ways.append({mask_of[core]: image for image, core in core_of.items() if core in mask_of})
    there = set(masks)
    pairs = [{image: mask for mask, image in way.items() if mask in there} for way in ways]
    return max(pairs, key=len, default={})


def _cores(stems: Collection[str]) -> dict[str, str]:
    """Each stem without what all of them begin and end with; numbers stay whole, or 10 ... 19 would be 0 ... 9."""
    first = min(stems)
    begin = len(first[: shared_beginning(stems)].rstrip(_DIGITS))
    ends = [stem[begin:][::-1] for stem in stems]
    end = len(ends[0][: shared_beginning(ends)].rstrip(_DIGITS))
    return {stem: stem[begin : len(stem) - end] for stem in stems}


def shared_beginning(texts: Collection[str]) -> int:
    """The number of characters that all texts begin with: as many as the first and the last in order."""
    both = zip(min(texts), max(texts), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], both))
