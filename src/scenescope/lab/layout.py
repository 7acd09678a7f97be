"""What a folder whose images and masks do not pair seems to hold: names and places that other tools give them.

Nothing here is read as a data set; each is told with what makes it one, mostly a list of pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scenescope.data.file_pairs import OUTLINES_REMEDY
from scenescope.data.formats.catalog import recognize
from scenescope.data.formats.image_finder import walk
from scenescope.data.formats.mask_pairs import MAX_TRIED, find_pairs, partners
from scenescope.data.images import SUFFIXES

MAX_SEARCHED = 10_000
"""Files and folders below a root that are looked at, which may be the root of a disk."""


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
    if 2 * len(images.keys() - masks.keys()) > len(images) and (seen := _explain_format(root)):
        return seen
    unpaired, left = sorted(images.keys() - masks.keys()), sorted(masks.keys() - images.keys())
    if 2 * len(unpaired) <= len(images) or not left:
        return None
    tried = unpaired[:MAX_TRIED]
    several = [own for stem in tried if len(own := [mask for mask in left if _begins(mask, stem)]) > 1]
    if 2 * len(several) > len(tried):
        shown = [masks[stem].relative_to(root).as_posix() for stem in several[0][:2]]
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
        f"{len(images)} images so): scenescope import {root} OUT makes a data set of it; or give both one name, or "
        f"{_how_to_list(root, split, images[image], masks[mask])}."
    )


def explain_folder(root: Path, split: str) -> str | None:
    """Say where a folder without a layout that is read seems to hold images and masks; None where no way is seen."""
    if seen := _explain_format(root):
        return seen
    files = list(walk(root, MAX_SEARCHED))
    pairs = find_pairs(root, files)
    if pairs:
        image, mask = min(pairs.items(), key=lambda pair: (split not in str(pair[0]), pair))
        return (
            f"{root} seems to hold {len(pairs)} images with masks, such as {image.relative_to(root)} with "
            f"{mask.relative_to(root)}: scenescope import {root} OUT makes a data set of it, or put them into "
            f"images/{split} and masks/{split}, or {_how_to_list(root, split, image, mask)}."
        )
    outlines = [path for path in files if path.suffix.lower() in (".json", ".xml")]
    if outlines and any(path.suffix.lower() in SUFFIXES for path in files):
        return f"{outlines[0]} is text in which a tool may keep outlines or boxes: {OUTLINES_REMEDY}."
    return None


def _explain_format(root: Path) -> str | None:
    """Say in which tool's format a folder is, if it is more than masks of other names."""
    found = recognize(root)
    if found is None or found[0] == "masks":
        return None
    return f"{root} holds {found[1]}: scenescope import {root} OUT makes a data set of it, folder:OUT."


def _begins(mask: str, image: str) -> bool:
    """Whether the name of a mask is that of an image with something added, whatever their folders."""
    name, stem = Path(mask).name, Path(image).name
    return name.startswith(stem) and not name[len(stem) : len(stem) + 1].isalnum()


def _how_to_list(root: Path, split: str, image: Path, mask: Path) -> str:
    names = image.relative_to(root).as_posix(), mask.relative_to(root).as_posix()
    separator = "," if any(" " in name for name in names) else " "
    return f"list the pairs in {root / split}.txt, image and mask on one line, such as '{separator.join(names)}'"
