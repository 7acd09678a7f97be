"""Plant faults in the masks of CamVid, let scenescope check look for them, and write label_faults.md.

    python benchmarks/label_faults.py CAMVID [--model MODEL ...] [--split val] [--faults 200]

In a copy of the masks of a split, connected regions of at least 100 pixels, drawn with a seed, are given another class:
in a first run any of the others, with equal chance, and in a second that which most of their surroundings have, so that
an object vanishes in what lies behind it. Then the command is run as a user would, and its `suspects.csv` is read.

A fault is found by a region of the mask's class that overlaps it, box against box, in more than half of what both cover
together. What is counted are the faults found within the first 5 % of all the regions that were ranked, those that are
believed too. Real faults of CamVid's own labels and what the model cannot tell apart take places there as well.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measure import table, write_page
from PIL import Image
from scipy import ndimage

from scenescope.data.camvid import CLASSES
from scenescope.labels import IGNORE

SMALLEST = 100
SIZES = (100, 200, 500, 2000)
FIRST = 0.05
WAYS = {"any other class": False, "the class around it": True}


@dataclass(frozen=True)
class Fault:
    """A region that was given another class."""

    image: str
    was: int
    now: int
    pixels: int
    box: tuple[int, int, int, int]


def main() -> None:
    """Run what is asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path, help="folder with train/ and val/")
    parser.add_argument("--model", action="append", help="a model, or several; the first in the box")
    parser.add_argument("--split", action="append", help="val")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--every", type=int, default=1, help="take every so many-th image of the split")
    arguments = parser.parse_args()
    told = []
    for split in arguments.split or ["val"]:
        for model in arguments.model or ["camvid-danet-lite0"]:
            for way, around in WAYS.items():
                with tempfile.TemporaryDirectory() as folder:
                    told.append(
                        measured(
                            arguments, split, model, way, plant(arguments, split, Path(folder), around), Path(folder)
                        )
                    )
                write_page(__file__, "Planted faults of labels, found", __doc__, "\n\n".join(told))


def plant(arguments: argparse.Namespace, split: str, folder: Path, around: bool) -> list[Fault]:
    """Write a split with faults in its masks below a folder, and return them."""
    generator = np.random.default_rng(0)
    place = arguments.camvid / split
    (folder / split / "images").mkdir(parents=True)
    (folder / split / "masks").mkdir()
    masks: dict[str, np.ndarray] = {}
    for path in sorted((place / "masks").iterdir())[:: arguments.every]:
        labels = np.array(Image.open(path))
        masks[path.stem] = np.where(labels < len(CLASSES), labels, IGNORE).astype(np.uint8)
        image = next((place / "images").glob(f"{path.stem}.*"))
        (folder / split / "images" / image.name).symlink_to(image.resolve())
    candidates = [(stem, *region) for stem, labels in masks.items() for region in regions(labels)]
    chosen = generator.choice(len(candidates), min(arguments.faults, len(candidates)), replace=False)
    faults, written = [], {stem: labels.copy() for stem, labels in masks.items()}
    for stem, was, inside, box in (candidates[each] for each in chosen):
        ring = masks[stem][ndimage.binary_dilation(inside, np.ones((3, 3))) & ~inside]
        ring = ring[ring != IGNORE]
        others = [number for number in range(len(CLASSES)) if number != was]
        now = int(np.bincount(ring).argmax()) if around and len(ring) else int(generator.choice(others))
        written[stem][inside] = now
        faults.append(Fault(stem, was, now, int(inside.sum()), box))
    for stem, labels in written.items():
        stored = np.where(labels == IGNORE, len(CLASSES), labels).astype(np.uint8)
        Image.fromarray(stored).save(folder / split / "masks" / f"{stem}.png")
    return faults


def regions(labels: np.ndarray) -> list[tuple[int, np.ndarray, tuple[int, int, int, int]]]:
    """Return class, pixels and box of each connected region that is large enough."""
    found = []
    for number in range(len(CLASSES)):
        ids, _ = ndimage.label(labels == number, np.ones((3, 3)))
        for place, (rows, columns) in enumerate(ndimage.find_objects(ids), start=1):
            inside = ids == place
            if inside.sum() >= SMALLEST:
                box = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
                found.append((number, inside, box))
    return found


def measured(arguments: argparse.Namespace, split: str, model: str, way: str, faults: list[Fault], folder: Path) -> str:
    """Run the command and return what it found, as Markdown."""
    command = ["check", f"camvid:{folder}", "--split", split, "--model", model, "--output", str(folder / "out")]
    start = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-m", "scenescope", *command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200"},
    )
    seconds = time.monotonic() - start
    counted = re.search(r"Labels of (\d+) images: (\d+) of (\d+) regions", run.stdout)
    if counted is None:
        raise SystemExit(run.stdout + run.stderr)
    images, suspects, ranked = (int(number) for number in counted.groups())
    with (folder / "out" / "suspects.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if keep := os.environ.get("KEEP_SHEET"):
        (folder / "out" / "suspects.png").rename(keep)
    ranks = [rank_of(fault, rows) for fault in faults]
    within = round(FIRST * ranked)

    def recall(chosen: list[int | None], limit: float) -> str:
        hits = sum(rank is not None and rank <= limit for rank in chosen)
        return f"{hits} of {len(chosen)}" + (f" ({hits / len(chosen):.0%})" if chosen else "")

    by_size = [
        [f"{low} pixels or more" if high is None else f"{low} to {high - 1} pixels", recall(part, within)]
        for low, high in zip(SIZES, [*SIZES[1:], None], strict=True)
        if (
            part := [
                r for f, r in zip(faults, ranks, strict=True) if f.pixels >= low and (high is None or f.pixels < high)
            ]
        )
    ]
    by_class = [
        [name, recall(part, within)]
        for number, name in enumerate(CLASSES.names)
        if (part := [rank for fault, rank in zip(faults, ranks, strict=True) if fault.was == number])
    ]
    total = [
        [f"first 5 % ({within} regions)", recall(ranks, within)],
        [f"first {len(faults)} regions", recall(ranks, len(faults))],
        [f"all {suspects} that are disbelieved", recall(ranks, suspects)],
    ]
    about = f"{len(faults)} faults in {images} images, {ranked} regions, {seconds:.0f} s"
    return (
        f"**{Path(model).name}, {split}, {way}**: {about}.\n\n{table(['found within the', 'faults'], total)}\n\n"
        f"Within the first 5 %:\n\n{table(['size of the fault', 'found'], by_size)}\n\n"
        f"{table(['its class was', 'found'], by_class)}"
    )


def rank_of(fault: Fault, rows: list[dict[str, str]]) -> int | None:
    """Return the rank of the first region that shows a fault."""
    for row in rows:
        if row["image"] == fault.image and row["mask_class"] == CLASSES.names[fault.now]:
            box = tuple(int(row[name]) for name in ("left", "top", "width", "height"))
            if overlap(box, fault.box) > 0.5:
                return int(row["rank"])
    return None


def overlap(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    """Return the IoU of two boxes, each left, top, width and height."""
    sides = [
        max(0, min(first[axis] + first[axis + 2], second[axis] + second[axis + 2]) - max(first[axis], second[axis]))
        for axis in (0, 1)
    ]
    common = sides[0] * sides[1]
    return common / (first[2] * first[3] + second[2] * second[3] - common)


if __name__ == "__main__":
    main()
