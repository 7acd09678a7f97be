"""What a check of labels leaves: two tables, and a sheet of the regions that are disbelieved most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from scenescope.bands import as_shown
from scenescope.data.dataset import LabeledImage
from scenescope.drawing.contact_sheet import contact_sheet
from scenescope.drawing.overlay import blend, present, with_legend
from scenescope.evaluation.label_regions import Region
from scenescope.files import write_atomically, write_csv
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.workflows.label_check import LabelFindings, look_again

REGIONS, IMAGES, SHEET = "suspects.csv", "suspect_images.csv", "suspects.png"

SHOWN = 24
"""Regions on the sheet."""
_PANEL, _GAP = 198, 4
_OUTLINE = (255, 0, 255)
_COLUMNS = (
    *("rank", "split", "image", "mask_class", "model_class", "score", "left", "top", "width", "height", "pixels"),
    *("share", "mask_probability", "seen", "mask"),
)
_SEEN = {True: "yes", False: "no", None: "unknown"}


def write_label_findings(found: LabelFindings, models: Sequence[Segmenter], directory: Path) -> None:
    """Write ``suspects.csv``, ``suspect_images.csv`` and, if there is a suspect, ``suspects.png``.

    Raises:
        StorageError: the place cannot be written.
    """
    names = found.classes.names
    rows: list[list[str | float | None]] = [list(_COLUMNS)]
    for rank, each in enumerate(found.suspects, start=1):
        scene, region = each.scene, each.region
        place = [*region.box, region.area, round(region.share, 4), round(region.probability, 4)]
        classes = names[region.label], names[region.answer]
        score = round(each.score, 4)
        rows.append([rank, scene.dataset.split, scene.name, *classes, score, *place, _SEEN[scene.seen], scene.mask])
    write_csv(directory / REGIONS, rows)
    rows = [["rank", "split", "image", "score", "suspects", "agreement", "seen", "mask"]]
    for rank, (scene, score, number) in enumerate(found.images(), start=1):
        told = rank, scene.dataset.split, scene.name, round(score, 4), number, round(scene.agreement, 4)
        rows.append([*told, _SEEN[scene.seen], scene.mask])
    write_csv(directory / IMAGES, rows)
    if found.suspects:
        page = _sheet(found, models)
        write_atomically(directory / SHEET, lambda place: page.save(place, format="PNG"))


def _sheet(found: LabelFindings, models: Sequence[Segmenter]) -> Image.Image:
    """The first suspects: of each the image with its outline, and the mask laid over it."""
    names, first = found.classes.names, found.suspects[:SHOWN]
    panels: dict[int, npt.NDArray[np.uint8]] = {}
    seen: list[npt.NDArray[np.uint8]] = []
    for scene in {id(each.scene): each.scene for each in first}.values():
        here = [rank for rank, each in enumerate(first) if each.scene is scene]
        labeled, pixels = look_again(scene, [first[rank].region for rank in here], models)
        for rank, inside in zip(here, pixels, strict=True):
            panels[rank], labels = _panel(labeled, first[rank].region, inside, found.classes)
            seen.append(np.unique(labels))
    told = [f"{names[each.region.label]}, rather {names[each.region.answer]} ({each.score:.1f})" for each in first]
    shown = [(f"{rank + 1}. {each.scene.name}: {told[rank]}", panels[rank]) for rank, each in enumerate(first)]
    there = present(found.classes, *seen)
    return with_legend(contact_sheet(shown, 2 * _PANEL + _GAP), there.names, there.palette)


def _panel(
    labeled: LabeledImage, region: Region, pixels: npt.NDArray[np.bool_], classes: Classes
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the surroundings of a region as image and as mask, side by side, and the labels there."""
    left, top, width, height = region.box
    margin = max(24, max(width, height) // 2)
    inside = np.zeros(labeled.labels.shape, dtype=bool)
    inside[top : top + height, left : left + width] = pixels
    cut = slice(max(0, top - margin), top + height + margin), slice(max(0, left - margin), left + width + margin)
    labels, inside = labeled.labels[cut], inside[cut]
    scale = _PANEL / max(labels.shape)
    size = max(1, round(labels.shape[1] * scale)), max(1, round(labels.shape[0] * scale))
    plain = np.array(Image.fromarray(as_shown(labeled.image[cut])).resize(size, Image.Resampling.BICUBIC))
    drawn, within = (
        np.array(Image.fromarray(each).resize(size, Image.Resampling.NEAREST)) for each in (labels, inside)
    )
    painted = blend(plain, drawn, classes.palette, 0.6)
    edge = ndimage.binary_dilation(within, iterations=2) & ~within
    plain[edge], painted[edge] = _OUTLINE, _OUTLINE
    both = np.full((size[1], 2 * _PANEL + _GAP, 3), 255, dtype=np.uint8)
    both[:, : size[0]], both[:, _PANEL + _GAP : _PANEL + _GAP + size[0]] = plain, painted
    return both, labels
