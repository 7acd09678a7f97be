"""What the vote does to the attention of the DANet in the box, and write benchmarks/vote.md.

    python benchmarks/vote.py CAMVID [--runs runs/vote] [--steps 300]

The model in the box goes on for some steps of its last training, on train alone, with `loss.attention=0.3` and with
alpha, 0.07 as it is, begun at 1: what attention finds then counts. Both are checked on val (`attend --check`), and the
one with the vote is cut class by class (`attend --cut classes`). Called again it goes on where it was cut.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from measure import table, write_page

from scenescope.checkpoints.model_directory import load_model, save_model

MODEL = "camvid-danet-lite0"
SETTINGS = (
    "model.input_scale=1.5",
    "loss.lovasz=0.5",
    "loss.class_weights=[1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1]",
    "train.warmup_steps=20",
    "train.lr=2e-4",
    "train.log_every=10",
    "loss.attention=0.3",
)


def begun(place: Path) -> Path:
    """Write the model in the box with alpha at 1."""
    if not place.exists():
        model = load_model(MODEL)
        torch.nn.init.ones_(model.network.head.position.alpha)  # type: ignore[union-attr, arg-type]
        save_model(model.network, model.classes, place, training={})
    return place


def trained(camvid: Path, start: Path, run: Path, steps: int) -> Path:
    """Return the model after the training."""
    if not (run / "last").exists():
        resume = ["--resume"] if (run / "recipe.yaml").exists() else []
        more = [f"train.steps={steps}", f"train.validate_every={steps}", f"train.init_from={start}"]
        command = ["train", "camvid/box-danet", f"data.root={camvid}", *SETTINGS, *more, "--output", str(run), *resume]
        subprocess.run([sys.executable, "-m", "scenescope", *command], check=True)
    return run / "last"


def checked(what: str, model: str | Path, camvid: Path, output: Path, split: str = "val") -> Any:
    """Return what ``attend --check`` or ``attend --cut classes`` finds."""
    name = "attention.json" if what == "--check" else "cuts.json"
    command = ["attend", *what.split(), str(model), f"camvid:{camvid}", "--split", split, "--output", str(output)]
    subprocess.run([sys.executable, "-m", "scenescope", *command], check=True, stdout=subprocess.DEVNULL)
    return json.loads((output / name).read_text())


def page(before: Any, after: Any, cuts: Any, steps: int) -> str:
    """Return the tables in Markdown."""
    names = list(before["position"]["classes"])
    rows = []
    for title, key in (("as shipped", before), (f"{steps} steps with the vote", after)):
        position, without = key["position"], key["without"]["position attention"]
        paid = [f"{position['own_class_share']:.0%}", f"{position['lift']:.1f}"]
        spread = f"{position['attends_to']:.0f} of {position['positions']:.0f}"
        scores = [f"{100 * key['mean_iou']:.1f}", f"{100 * without['mean_iou']:.1f}", without["verdict"]]
        rows.append([title, f"{key['scales']['alpha']:+.2f}", *paid, spread, *scores])
    header = ["DANet", "alpha", "own class", "times chance", "attends to", "mIoU", "without position attention", ""]
    classes = [
        [name, *(f"{100 * each['position']['classes'][name][kind]:.0f}" for each, kind in columns)]
        for columns in [((before, "area"), (before, "own"), (after, "own"))]
        for name in names
    ]
    changes = [
        [names[row], *(f"{round(100 * (value or 0), 1) + 0.0:+.1f}" for value in cuts["change"][row])]
        for row in range(len(names))
    ]
    return "\n\n".join(
        [
            table(header, rows),
            "What lies on the own class of the attention of each class's positions, in percent, beside the area:",
            table(["class", "area", "as shipped", "with the vote"], classes),
            "With the vote: IoU of the class of a row without that of a column to attend to, change in points:",
            table(["class", *names], changes),
        ]
    )


def main() -> None:
    """Train, check, cut and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path, help="folder with train/ and val/")
    parser.add_argument("--runs", type=Path, default=Path("runs/vote"), help="folder of the training")
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    runs = arguments.runs
    model = trained(arguments.camvid, begun(runs / "start"), runs / "trained", arguments.steps)
    before = checked("--check", MODEL, arguments.camvid, runs / "before")
    after = checked("--check", model, arguments.camvid, runs / "after")
    cuts = checked("--cut classes", model, arguments.camvid, runs / "cuts")
    told = page(before, after, cuts, arguments.steps)
    write_page(__file__, "The vote", __doc__, told)
    print(told)


if __name__ == "__main__":
    main()
