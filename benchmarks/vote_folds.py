"""What the vote does on streets that the training has not seen, and write benchmarks/vote_folds.md.

    python benchmarks/vote_folds.py CAMVID [--runs runs/vote-folds]

train of CamVid is three sequences. For each in turn, DANet of the box is trained on the other two for 200 steps of its
recipe, then goes on for 100 in each of two ways, all else equal: as it was, and with `loss.attention=0.3` and alpha
begun at 1. Both are checked on the street left out (`attend --check`). Called again it goes on where it was cut.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from measure import table, write_page
from vote import checked

from scenescope.checkpoints.model_directory import load_model, save_model

SEQUENCES = ("0001TP", "0006R0", "0016E5")
START = ["train.steps=200", "train.validate_every=200"]
MORE = ["train.lr=4e-4", "train.steps=100", "train.warmup_steps=20", "train.validate_every=100"]
WAYS: dict[str, list[str]] = {"as it was": [], "with the vote": ["loss.attention=0.3"]}


def train(camvid: Path, run: Path, settings: list[str]) -> Path:
    """Return the model after a training; one that was cut goes on."""
    if not (run / "last").exists():
        resume = ["--resume"] if (run / "recipe.yaml").exists() else []
        command = ["train", "camvid/box-danet", f"data.root={camvid}", *settings, "--output", str(run), *resume]
        subprocess.run([sys.executable, "-m", "scenescope", *command], check=True)
    return run / "last"


def awake(model: Path, place: Path) -> Path:
    """Write a model with alpha at 1."""
    if not place.exists():
        loaded = load_model(model)
        torch.nn.init.ones_(loaded.network.head.position.alpha)  # type: ignore[union-attr, arg-type]
        save_model(loaded.network, loaded.classes, place, training={})
    return place


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table in Markdown."""

    def percent(values: list[float]) -> list[str]:
        return [f"{100 * value:.1f}" for value in [*values, statistics.mean(values)]]

    rows = []
    for way, checks in found.items():
        without = [each["without"]["position attention"]["mean_iou"] for each in checks]
        rows.append([way, "mIoU", *percent([each["mean_iou"] for each in checks])])
        rows.append([way, "without position attention", *percent(without)])
        rows.append([way, "attention on the own class", *percent([c["position"]["own_class_share"] for c in checks])])
        rows.append([way, "area of the own class", *percent([c["position"]["area_share"] for c in checks])])
    done = SEQUENCES[: len(next(iter(found.values())))]
    return table(["DANet", "in percent", *(f"on {sequence}" for sequence in done), "mean"], rows)


def main() -> None:
    """Train what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path, help="folder with train/")
    parser.add_argument("--runs", type=Path, default=Path("runs/vote-folds"), help="folder of the trainings")
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for sequence in SEQUENCES:
        fold = [f"data.train_split=train-without-{sequence}", f"data.val_split=train-only-{sequence}"]
        start = train(arguments.camvid, arguments.runs / sequence, [*fold, *START])
        for number, (way, settings) in enumerate(WAYS.items()):
            run = arguments.runs / f"{sequence}-{number}"
            begun = awake(start, arguments.runs / f"{sequence}-awake") if settings else start
            model = train(arguments.camvid, run, [*fold, *MORE, *settings, f"train.init_from={begun}"])
            found[way].append(checked("--check", model, arguments.camvid, run / "check", f"train-only-{sequence}"))
        told = page(found)
        write_page(__file__, "The vote on streets left out", __doc__, told)
    print(told)


if __name__ == "__main__":
    main()
