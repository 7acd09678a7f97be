"""Train and score the CamVid runs and write benchmarks/camvid.md.

    python benchmarks/camvid.py DIR [--runs runs]

DIR holds train/ and val/. Runs that exist are resumed or, when complete, only scored, so the command can be cut and
called again. Runs are one after the other; OMP_NUM_THREADS=1 and two terminals do two at a time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from measure import machine, table

HERE = Path(__file__).resolve().parent
RUNS = {
    "camvid-danet": ("DANet, ImageNet weights", "camvid/danet-lite0", []),
    "camvid-fcn": ("FCN, ImageNet weights", "camvid/fcn-lite0", []),
    "camvid-danet-random": ("DANet, random weights", "camvid/danet-lite0", ["model.pretrained=false"]),
}
"""Run directory: name, recipe, settings replaced."""


def main() -> None:
    """Do what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="the folder with train/ and val/")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are")
    parser.add_argument("--only", choices=RUNS, help="train this run and write no page")
    arguments = parser.parse_args()
    for run, (_, recipe, changes) in RUNS.items():
        if arguments.only in (None, run):
            scenescope(*train_command(recipe, changes, arguments.data, arguments.runs / run), "--resume")
    if arguments.only is None:
        write_page(arguments.data, arguments.runs)


def train_command(recipe: str, changes: list[str], data: str, run: Path | str) -> list[str]:
    """Return the arguments of a training."""
    return ["train", recipe, f"data.root={data}", *changes, "--output", str(run)]


def scenescope(*arguments: str) -> None:
    """Run the command line in a process of its own."""
    subprocess.run([sys.executable, "-m", "scenescope", *arguments], check=True)


def write_page(data: str, runs: Path) -> None:
    """Score the last model of every run and write tables, commands and curves."""
    scores = {}
    for run in RUNS:
        scenescope(
            "evaluate", f"camvid:{data}", "--model", str(runs / run / "last"), "--output", str(runs / run / "val")
        )
        scores[run] = json.loads((runs / run / "val" / "scores.json").read_text())["scores"]
        shutil.copy(runs / run / "curves.png", HERE / f"{run}.png")
    (HERE / "camvid.md").write_text(page(scores, runs))


def page(scores: dict[str, dict], runs: Path) -> str:  # type: ignore[type-arg]
    """Return the page as Markdown."""
    names = [RUNS[run][0] for run in RUNS]
    overall = [("mIoU", "mean_iou"), ("pixel accuracy", "pixel_accuracy"), ("mean accuracy", "mean_accuracy"),
               ("frequency-weighted IoU", "frequency_weighted_iou")]  # fmt: skip
    gain = scores["camvid-danet"]["mean_iou"] - scores["camvid-danet-random"]["mean_iou"]
    lines = [
        "# CamVid, 480 x 360, 11 classes: train (367) to val (101)",
        "",
        "Scores of the model after the last step (none is chosen on val), single scale, no flip, at the labels' own",
        "size. val is one street of 101 near-duplicate frames, so a point or two between networks means little.",
        "",
        table(["", *names], [[title, *(f"{scores[run][key]:.4f}" for run in RUNS)] for title, key in overall]),
        "",
        f"ImageNet weights are worth {100 * gain:.1f} points of mIoU to DANet at equal steps.",
        "",
        "## IoU of each class",
        "",
        table(
            ["class", *names],
            [[name, *(shown(scores[run]["iou"][name]) for run in RUNS)] for name in scores["camvid-danet"]["iou"]],
        ),
        "",
        "## Validation during training (mIoU of the averaged weights)",
        "",
        validation_table(runs, names),
        "",
        "## Commands",
        "",
        "    python benchmarks/camvid.py DIR",
        "",
        "does all of this; its parts are",
        "",
        *(
            "    scenescope " + " ".join(train_command(RUNS[run][1], RUNS[run][2], "DIR", f"runs/{run}"))
            for run in RUNS
        ),
        "    scenescope evaluate camvid:DIR --model runs/camvid-danet/last --output runs/camvid-danet/val",
        "",
        "## Machine",
        "",
        steps(runs),
        "",
        "## Curves",
        "",
        *(f"{RUNS[run][0]}:\n\n![curves]({run}.png)\n" for run in RUNS),
    ]
    return "\n".join(lines)


def shown(value: float | None) -> str:
    """Return a score with three decimals; a class without pixels is absent."""
    return "absent" if value is None else f"{value:.3f}"


def rows_of(runs: Path, run: str) -> list[dict]:  # type: ignore[type-arg]
    """Return the rows of a run's log."""
    return [json.loads(line) for line in (runs / run / "log.jsonl").read_text().splitlines()]


def validation_table(runs: Path, names: list[str]) -> str:
    """Return the validation scores of all runs by step."""
    found = {run: {row["step"]: row["val/miou"] for row in rows_of(runs, run) if "val/miou" in row} for run in RUNS}
    steps = sorted(found["camvid-danet"])
    return table(["step", *names], [[str(step), *(f"{found[run][step]:.4f}" for run in RUNS)] for step in steps])


def steps(runs: Path) -> str:
    """Say on what the runs were made and how long a step took."""
    seconds = {run: sorted(row["seconds"] for row in rows_of(runs, run) if "seconds" in row) for run in RUNS}
    medians = ", ".join(f"{RUNS[run][0]} {times[len(times) // 2]:.2f} s" for run, times in seconds.items())
    return (
        f"{machine()}\nMedian step of 8 crops of 240 x 320, {arithmetic(runs)}: {medians}.\n"
        "Runs that were made side by side shared the cores, so these seconds compare nothing."
    )


def arithmetic(runs: Path) -> str:
    """Say in which number format and with how many threads the runs computed, as their checkpoints tell."""
    states = [json.loads(file.read_text()) for run in RUNS for file in (runs / run).glob("checkpoints/*/state.json")]
    formats = sorted({state["precision"] for state in states})
    threads = sorted({str(state["threads"]) for state in states})
    return f"{', '.join(formats) or 'unknown format'}, threads: {', '.join(threads) or 'unknown'}"


if __name__ == "__main__":
    main()
