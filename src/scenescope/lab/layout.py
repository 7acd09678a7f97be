"""What a folder whose images and masks do not pair seems to hold: names and places that other tools give them.

Nothing here is read as a data set; each is told with what makes it one, mostly a list of pairs.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from scenescope.data.file_pairs import OUTLINES_REMEDY, is_hidden
from scenescope.data.images import SUFFIXES

MAX_TRIED = 20
"""Images whose names are compared with those of all masks."""

MAX_SEARCHED = 10_000
"""Files and folders below a root that are looked at, which may be the root of a disk."""

_MASK_WORD = re.compile(
    r"(?:^|[/_. -])(masks?|labels?|labelids|gt\w*|seg\w*|ann\w*|targets?|(?:ground_?)?truth|l)(?=$|[/_. -])", re.I
)
_OF_LABEL_STUDIO = re.compile(r"(.*/)?task-\d+-annotation-.*")


def explain_unpaired(root: Path, split: str, images: Mapping[str, Path], masks: Mapping[str, Path]) -> str | None:
    """Say how images and masks most of which have no stem in common may belong together.

    Args:
        root: the folder of the data set.
        split: the one that is asked for.
        images: the images by stem.
        masks: the masks by stem.

    Returns:
        A sentence, or None where no way is seen.
    """
    unpaired, left = sorted(images.keys() - masks.keys()), sorted(masks.keys() - images.keys())
    if 2 * len(unpaired) <= len(images) or not left:
        return None
    tried = unpaired[:MAX_TRIED]
    several = [own for stem in tried if len(own := [mask for mask in left if _begins(mask, stem)]) > 1]
    if _OF_LABEL_STUDIO.fullmatch(left[0]) or 2 * len(several) > len(tried):
        shown = [masks[stem].relative_to(root).as_posix() for stem in (several[0] if several else left)[:2]]
        return (
            f"There are several masks for each image, such as {' and '.join(shown)}, one for each class or object it "
            "seems, but one for each image is read: join those of an image into one PNG with the number of the class "
            f"in each pixel, named as the image; or, if one of them has all classes, list that in {root / split}.txt, "
            "image and mask on one line."
        )
    found = partners(unpaired, left)
    if 2 * len(found) < len(unpaired):
        return None
    image, mask = min(found.items())
    return (
        f"Masks have other names than their images, {masks[mask].name} for {images[image].name} ({len(found)} of "
        f"{len(images)} images so): give both one name, or {_how_to_list(root, split, images[image], masks[mask])}."
    )


def explain_folder(root: Path, split: str) -> str | None:
    """Say where a folder without a layout that is read seems to hold images and masks; None where no way is seen."""
    images: list[dict[str, Path]] = []
    masks: list[dict[str, Path]] = []
    outlines: list[Path] = []
    searched = 0
    for directory, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        paths = [Path(directory, name) for name in sorted(names) if not is_hidden(name)]
        outlines += [path for path in paths if path.suffix.lower() in (".json", ".xml")]
        by_stem = {path.stem: path for path in paths if path.suffix.lower() in SUFFIXES}
        of_masks = _MASK_WORD.search(Path(directory).relative_to(root).as_posix()) is not None
        masks.append({stem: path for stem, path in by_stem.items() if of_masks or _MASK_WORD.search(stem)})
        images.append({stem: path for stem, path in by_stem.items() if stem not in masks[-1]})
        searched += len(paths) + len(folders)
        if searched > MAX_SEARCHED:
            break
    pairs: dict[Path, Path] = {}
    for some in images:
        found = [(partners(sorted(some), sorted(others)), others) for others in masks if some and others]
        most, others = max(found, key=lambda each: len(each[0]), default=({}, {}))
        pairs |= {some[image]: others[mask] for image, mask in most.items()}
    if pairs:
        image, mask = min(pairs.items(), key=lambda pair: (split not in str(pair[0]), pair))
        return (
            f"{root} seems to hold {len(pairs)} images with masks, such as {image.relative_to(root)} with "
            f"{mask.relative_to(root)}: put them into images/{split} and masks/{split}, or "
            f"{_how_to_list(root, split, image, mask)}."
        )
    if outlines and any(images):
        return f"{outlines[0]} is text, in which tools keep outlines or boxes, which are not read: {OUTLINES_REMEDY}."
    return None


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


def _begins(mask: str, image: str) -> bool:
    """Whether the name of a mask is that of an image with something added, whatever their folders."""
    name, stem = Path(mask).name, Path(image).name
    return name.startswith(stem) and not name[len(stem) : len(stem) + 1].isalnum()


def _cores(stems: Collection[str]) -> dict[str, str]:
    """Each stem without what all of them begin and end with."""
    begin = _shared(stems)
    end = _shared([stem[begin:][::-1] for stem in stems])
    return {stem: stem[begin : len(stem) - end] for stem in stems}


def _shared(texts: Collection[str]) -> int:
    """The number of characters that all texts begin with: as many as the first and the last in order."""
    both = zip(min(texts), max(texts), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], both))


def _how_to_list(root: Path, split: str, image: Path, mask: Path) -> str:
    names = image.relative_to(root).as_posix(), mask.relative_to(root).as_posix()
    separator = "," if any(" " in name for name in names) else " "
    return f"list the pairs in {root / split}.txt, image and mask on one line, such as '{separator.join(names)}'"
