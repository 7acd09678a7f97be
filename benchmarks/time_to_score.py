"""How many steps and minutes runs took to reach a score on val, and write benchmarks/time_to_score.md.

    python benchmarks/time_to_score.py 0.60 RUN [RUN ...]

Reads the logs that trainings leave; the time is that of the steps, waiting for data included, validations not. A score
counts when a validation sees it, so ``train.validate_every`` is how finely a run is known.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import yaml
from measure import table, write_page

from scenescope.training.log import read_log


def reached(run: Path, score: float) -> list[str]:
    """Return a row: name, seconds of a step, step and minutes at which the score was reached, and the last score."""
    rows = read_log(run / "log.jsonl")
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    every = recipe["train"]["log_every"]
    seen = [(row["step"], row["val/miou"]) for row in rows if "val/miou" in row]
    first = next((step for step, miou in seen if miou >= score), None)
    timed = [row for row in rows if "seconds" in row]
    spent = sum(row["seconds"] for row in timed if first is not None and row["step"] <= first) * every / 60
    waited = sum(row["seconds_waiting"] for row in timed) / sum(row["seconds"] for row in timed)
    name = f"{recipe['model']['name']}, {recipe['train']['batch_size']} crops of {recipe['augment']['crop']}"
    return [
        f"{run.name}: {name}",
        f"{statistics.median(row['seconds'] for row in timed):.2f}",
        f"{waited:.1%}",
        "not reached" if first is None else f"{first}",
        "" if first is None else f"{spent:.1f}",
        f"{seen[-1][1]:.4f} at {seen[-1][0]}",
    ]


def main() -> None:
    """Read the runs and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("score", type=float)
    parser.add_argument("runs", nargs="+", type=Path)
    arguments = parser.parse_args()
    header = ["run", "s per step", "waiting for data", f"step with {arguments.score:.2f}", "minutes", "last"]
    told = table(header, [reached(run, arguments.score) for run in arguments.runs])
    write_page(__file__, f"Time to a val mIoU of {arguments.score:.2f}", __doc__, told)


if __name__ == "__main__":
    main()
