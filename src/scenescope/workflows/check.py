"""Is a data set fit to train on? Every scene is read once, and all that is found is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenescope.data.band_facts import BandCounts, propose_rule
from scenescope.data.catalog import open_dataset
from scenescope.data.copies import copies_remark
from scenescope.data.dataset import FileDataset, SegmentationDataset, notes, rule_of_images
from scenescope.data.file_pairs import format_names
from scenescope.data.inspection import FaultKind, Inspection
from scenescope.data.oddities import OddityCounts
from scenescope.data.scan import scan
from scenescope.drawing.contact_sheet import contact_sheet
from scenescope.drawing.overlay import with_legend
from scenescope.errors import DataError, SplitError
from scenescope.files import write_atomically
from scenescope.lab_names import from_lab
from scenescope.labels import IGNORE, Classes
from scenescope.losses import median_frequency_weights

USUAL_SPLITS = ("train", "val", "test")
"""What is looked at unless the user names splits: train, and one of val and test, have to be there."""

MAX_TOLD = 3
"""As many faults of one kind, and identical pairs, are kept in words; the others are counted."""

THUMBNAILS = 12
"""Scenes on a contact sheet."""


@dataclass
class SplitFindings:
    """What was found in a split; filled scene by scene.

    Attributes:
        classes: of the data set.
        num_scenes: scenes that were read.
        sizes: number of images of each (width, height).
        counts: number of pixels of each train id and of IGNORE, 256 in all.
        unlabeled: scenes without a scored pixel, though nothing else is wrong with them.
        faulty: number of scenes of each kind of fault.
        faults: the first sentences of each kind.
        oddities: what is odd, but no fault for sure.
        bands: what the images hold that are not plain 8 bit.
        notes: what is no fault, but should be known.
        thumbnails: name and overlay of some scenes.
    """

    split: str
    classes: Classes
    num_scenes: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    unlabeled: int = 0
    faulty: Counter[FaultKind] = field(default_factory=Counter)
    faults: dict[FaultKind, list[str]] = field(default_factory=dict)
    oddities: OddityCounts = field(default_factory=OddityCounts)
    bands: BandCounts = field(default_factory=BandCounts)
    notes: list[str] = field(default_factory=list)
    thumbnails: list[tuple[str, np.ndarray]] = field(default_factory=list)

    @property
    def pixels(self) -> list[int]:
        """Number of pixels of each class."""
        return [int(count) for count in self.counts[: len(self.classes)]]

    @property
    def absent(self) -> list[str]:
        """Names of the classes without a pixel."""
        return [name for name, pixels in zip(self.classes.names, self.pixels, strict=True) if pixels == 0]

    def add(self, found: Inspection) -> None:
        """Take up what was found in a scene."""
        self.num_scenes += 1
        self.counts += found.counts
        if found.size is not None:
            self.sizes[found.size] += 1
        self.unlabeled += not found.faults and not found.counts[: len(self.classes)].any()
        for kind, sentence in found.faults:
            self.faulty[kind] += 1
            told = self.faults.setdefault(kind, [])
            if len(told) < MAX_TOLD:
                told.append(sentence)
        self.oddities.add(found.name, found.oddities)
        if found.bands is not None:
            self.bands.add(found.bands)
        if found.thumbnail is not None:
            self.thumbnails.append((found.name, found.thumbnail))

    def to_json(self) -> dict[str, Any]:
        """Return everything but the thumbnails as an object that JSON can hold."""
        return {
            "split": self.split,
            "scenes": self.num_scenes,
            "sizes": [{"width": w, "height": h, "images": n} for (w, h), n in self.sizes.most_common()],
            "pixels": dict(zip(self.classes.names, self.pixels, strict=True)),
            "ignored_pixels": int(self.counts[IGNORE]),
            "absent": self.absent,
            "scenes_without_labels": self.unlabeled,
            "faults": [{"kind": kind, "scenes": n, "first": self.faults[kind]} for kind, n in self.faulty.items()],
            "notes": self.notes,
            "bands": self.bands.to_json(),
            **self.oddities.to_json(),
        }


@dataclass(frozen=True)
class Findings:
    """What was found in a data set.

    Attributes:
        splits: of each split that could be opened.
        unopened: why the others could not.
        num_identical: pairs of identical images in two splits.
        identical: the first of them, in words.
        unteachable: why nothing can be learned, or not all that the classes name, though no scene is at fault.
        proposals: what the labels may mean.
        class_weights: (median frequency / frequency) ** 0.5 of each class in the first split; None when it is at fault.
    """

    source: str
    splits: list[SplitFindings]
    unopened: list[str]
    num_identical: int
    identical: list[str]
    unteachable: list[str]
    proposals: list[str]
    class_weights: list[float] | None

    @property
    def fit(self) -> bool:
        """Whether a training would neither stop on these data nor learn nothing."""
        return not self.unopened and not self.unteachable and not any(found.faulty for found in self.splits)

    def to_json(self) -> dict[str, Any]:
        """Return everything as an object that JSON can hold."""
        return {
            "data": self.source,
            "fit": self.fit,
            "splits": [split.to_json() for split in self.splits],
            "unopened": self.unopened,
            "identical_images_across_splits": {"pairs": self.num_identical, "first": self.identical},
            "unteachable": self.unteachable,
            "proposals": self.proposals,
            "class_weights": self.class_weights,
        }


def check_dataset(
    kind: str,
    root: str,
    splits: Sequence[str] = (),
    *,
    num_workers: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> Findings:
    """Read every scene of a data set once and tell all that is wrong with it.

    Args:
        kind: a key of ``DATASETS``.
        root: its folder; for ``scenes`` a seed or nothing.
        splits: which to look at, the one to train on first; without any, see ``USUAL_SPLITS``.
        num_workers: threads that read; None takes all cores.
        progress: called with the split, the scenes done and their number.
        options: of ``open_dataset``.
    """
    datasets, unopened, remarks = _open(kind, root, splits, options)
    found: list[SplitFindings] = []
    seen: dict[str, tuple[str, str]] = {}
    identical: list[str] = []
    num_identical = 0
    codes: dict[bool, Counter[int]] = {False: Counter(), True: Counter()}
    lone: dict[bool, Counter[int]] = {False: Counter(), True: Counter()}
    forms: set[frozenset[int]] = set()
    for dataset in datasets:
        findings = SplitFindings(dataset.split, dataset.classes, notes=notes(dataset))
        step = max(1, len(dataset) // THUMBNAILS)
        shown = frozenset(range(0, step * THUMBNAILS, step))
        for inspection in scan(dataset, num_workers, shown):
            findings.add(inspection)
            codes[inspection.colors].update(inspection.codes)
            lone[inspection.colors].update(inspection.lone)
            forms.add(frozenset(inspection.codes))
            split, name = seen.setdefault(inspection.digest, (dataset.split, inspection.name))
            if inspection.digest and split != dataset.split:
                num_identical += 1
                if len(identical) < MAX_TOLD:
                    identical.append(f"{name} of {split} is {inspection.name} of {dataset.split}")
            if progress is not None:
                progress(dataset.split, findings.num_scenes, len(dataset))
        findings.notes += findings.bands.sentences(dataset.split, rule_of_images(dataset))
        findings.notes += findings.oddities.sentences(dataset.split)
        found.append(findings)
    copies = [copies_remark(datasets[0], other) for other in datasets[1:]]
    if found:
        found[0].notes += remarks + [remark for remark in copies if remark is not None]
    own = kind == "folder"
    # Where labels are unread or unknown, the shares of the classes are wrong.
    faulty = any(findings.faulty for findings in found)
    unteachable = [] if faulty else _unteachable(found, own)
    proposals = _proposals(datasets[0], codes, lone, forms) if own and found and (faulty or unteachable) else []
    if own and datasets and rule_of_images(datasets[0]) is None:
        proposals += filter(None, [propose_rule(findings.bands for findings in found)])
    weights = _class_weights(found[0].pixels) if found and not found[0].faulty else None
    return Findings(f"{kind}:{root}", found, unopened, num_identical, identical, unteachable, proposals, weights)


def _unteachable(found: Sequence[SplitFindings], own: bool) -> list[str]:
    """Why a network could not learn from the first split, or not be scored on the others.

    Args:
        own: whether the user names the classes; those of a published data set need not all occur in a part of it.
    """
    # The labels of a test split are often not public; it may have none, unless it is the one to train on.
    empty = [each for each in found if not any(each.pixels) and (each.split != "test" or each is found[0])]
    reasons = [f"{each.split}: no pixel has a class; check masks and ignored values." for each in empty]
    if not found or found[0] in empty:
        return reasons
    taught = [name for name in found[0].classes.names if name not in found[0].absent]
    nowhere = [name for name in found[0].absent if all(name in each.absent for each in found)]
    if len(taught) == 1:
        reasons.append(
            f"{found[0].split}: {taught[0]!r} fills 100 % of the scored pixels, so there is nothing to tell apart; "
            "a class for all else is missing, or is ignored."
        )
    elif nowhere and own:
        reasons.append(
            f"No mask of {format_names(each.split for each in found)} has a pixel of {format_names(nowhere)}: take the "
            "name out of classes.yaml, or correct the values or colors of the class."
        )
    return reasons


def _proposals(
    dataset: SegmentationDataset,
    codes: Mapping[bool, Mapping[int, int]],
    lone: Mapping[bool, Mapping[int, int]],
    forms: Collection[frozenset[int]],
) -> list[str]:
    """What labels, numbers and colors, may mean."""
    if not isinstance(dataset, FileDataset):
        return []
    if all(codes.values()):
        return ["Some masks hold numbers and others colors, which no classes.yaml fits: save all masks alike."]
    propose = from_lab("propose")
    guesses = (propose(dataset.table, dataset.classes, codes[each], each, lone[each], forms) for each in (False, True))
    return [guess for guess in guesses if guess is not None]


def write_contact_sheet(findings: SplitFindings, path: Path) -> None:
    """Write the overlays of a split with the legend of its classes as a PNG.

    Raises:
        StorageError: the place cannot be written.
    """
    total = max(1, sum(findings.pixels))
    shares = [pixels / total for pixels in findings.pixels]
    sheet = contact_sheet(findings.thumbnails)
    page = with_legend(sheet, findings.classes.names, findings.classes.palette, shares)
    write_atomically(path, lambda temporary: page.save(temporary, format="PNG"))


def _open(
    kind: str, root: str, splits: Sequence[str], options: dict[str, Any]
) -> tuple[list[SegmentationDataset], list[str], list[str]]:
    """The splits that open, why others do not, and what is worth a remark."""
    datasets: list[SegmentationDataset] = []
    faults: dict[str, DataError] = {}
    for split in splits or USUAL_SPLITS:
        try:
            datasets.append(open_dataset(kind, root, split, **options))
        except DataError as error:
            faults[split] = error
    opened = {dataset.split for dataset in datasets}
    remarks = []
    if not splits:
        # One of val and test is enough to score on; a split that is there but broken is a fault all the same.
        if isinstance(faults.get("test"), SplitError):
            del faults["test"]
        if isinstance(faults.get("val"), SplitError) and "test" in opened:
            remarks.append("There is no split 'val'; score on test (data.val_split=test).")
            del faults["val"]
    # A folder that does not exist is told once and not for every split.
    return datasets, list(dict.fromkeys(str(error) for error in faults.values())), remarks


def _class_weights(pixels: list[int]) -> list[float] | None:
    if not any(pixels):
        return None
    return [round(weight, 4) for weight in median_frequency_weights(torch.tensor(pixels), 0.5).tolist()]
