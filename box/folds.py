"""Compare the choices of the box on streets left out of training, and write box/folds.md.

    python box/folds.py CAMVID [--runs runs/folds]

train of CamVid is three sequences. For each in turn, DANet of the box is trained on the other two for some steps of its
recipe, goes on from there in each of the ways below, and is scored on the sequence left out: a street that it has not
seen, which val is not. The last row is the model whose weights are the mean of those of the three ways. Steps are few,
so that all fits in an hour of two cores, and the ways take about the same time. Called again it goes on where it was
cut.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from make import UNWEIGHTED, averaged, finer, scored, train
from measure import table, write_page  # found by way of make

from scenescope.data.camvid import CLASSES
from scenescope.inference.settings import InferenceSettings
from scenescope.training.log import read_log

SEQUENCES = ("0001TP", "0006R0", "0016E5")
RECIPE = "camvid/box-danet"
START = ["train.steps=200", "train.validate_every=200"]
WAYS = {
    "as it began, for twice as many steps": ["train.lr=4e-4", "train.steps=160", "train.warmup_steps=20"],
    "magnified by 1.5, Lovász-softmax": finer("4e-4", 80),
    "and no class weights": finer("4e-4", 80, UNWEIGHTED),
}
"""What is compared, each way but the first with what the one before it has; and the settings of it."""
MEAN = "the mean of the weights of these"


def main() -> None:
    """Train what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path, help="folder with train/")
    parser.add_argument("--runs", type=Path, default=Path("runs/folds"), help="folder of the trainings")
    arguments = parser.parse_args()
    scores: dict[str, list[dict[str, float | None]]] = {name: [] for name in ("before", *WAYS, MEAN)}
    for sequence in SEQUENCES:
        fold = [f"data.train_split=train-without-{sequence}", f"data.val_split=train-only-{sequence}"]
        start = arguments.runs / sequence
        train(RECIPE, arguments.camvid, start, [*fold, *START])
        scores["before"].append(last_scores(start))
        ways = [arguments.runs / f"{sequence}-{number}" for number, _ in enumerate(WAYS, start=1)]
        for run, (name, settings) in zip(ways, WAYS.items(), strict=True):
            train(RECIPE, arguments.camvid, run, [*fold, *settings, f"train.init_from={start / 'last'}"])
            scores[name].append(last_scores(run))
        # The last way first: the mean sees its images as that one does, magnified.
        mean = scored(averaged(ways[::-1]), arguments.camvid, InferenceSettings(), f"train-only-{sequence}")
        scores[MEAN].append({"mean": mean.mean_iou, **mean.iou_by_class()})
        write_page(__file__, "The choices of the box, on streets left out", __doc__, told(scores))


def last_scores(run: Path) -> dict[str, float | None]:
    """Return the IoU of each class after the last step of a run, None for an absent one, and their mean as ``mean``."""
    row = [row for row in read_log(run / "log.jsonl") if "val/miou" in row][-1]
    return {"mean": row["val/miou"], **row["val/iou"]}


def told(scores: dict[str, list[dict[str, float | None]]]) -> str:
    """Return the table of sequences and that of classes."""

    def percent(folds: list[dict[str, float | None]], name: str) -> str:
        there = [iou for fold in folds if (iou := fold[name]) is not None]
        return f"{100 * statistics.mean(there):.1f}" if there else ""

    by_sequence = [
        [way, *(percent([fold], "mean") for fold in folds), percent(folds, "mean")] for way, folds in scores.items()
    ]
    by_class = [[name, *(percent(folds, name) for folds in scores.values())] for name in CLASSES.names]
    done = SEQUENCES[: len(scores["before"])]
    return (
        f"{table(['mIoU in percent', *(f'on {sequence}' for sequence in done), 'mean'], by_sequence)}\n\n"
        "IoU of each class in percent, the mean of the sequences that have it:\n\n"
        f"{table(['class', *scores], by_class)}\n"
    )


if __name__ == "__main__":
    main()
