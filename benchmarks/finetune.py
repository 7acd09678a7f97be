"""Training on a small folder of photographs from the models in the box, beside ImageNet weights alone.

    python benchmarks/finetune.py LABELMEFACADE [--steps 300] [--seeds 3]

LABELMEFACADE is a folder with ``images/``, ``labels/``, ``train.txt`` and ``test.txt``: github.com/cvjena/labelmefacade
(Froehlich, Rodner, Denzler, ICPR 2010), or some of it. Both rows of a network are the recipe ``folder/finetune-danet``
or ``folder/finetune-sanet`` with the same steps, those from ImageNet weights with ``train.init_from=null``. The score
is mIoU over ``test.txt`` after the last step; no choice was made by it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from measure import table, write_page

from scenescope.training.log import read_log

CLASSES = """names: [building, car, door, pavement, road, sky, vegetation, window]
colors:
  [[128, 0, 0], [128, 0, 128], [128, 128, 0], [128, 128, 128], [128, 64, 0], [0, 128, 128], [0, 128, 0], [0, 0, 128]]
ignore: [[0, 0, 0]]
"""
STARTS = {"the model in the box": [], "ImageNet weights": ["train.init_from=null"]}
NETWORKS = ("danet", "sanet")


def as_folder(source: Path, target: Path) -> int:
    """Copy the images and masks that the two lists name into the layout of ``folder:``; return how many."""
    count = 0
    for listed, split in (("train.txt", "train"), ("test.txt", "val")):
        for line in (source / listed).read_text().split():
            stem = Path(line).stem
            for kind, file in (("images", f"images/{stem}.jpg"), ("masks", f"labels/{stem}.png")):
                place = target / kind / split / Path(file).name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / file, place)
            count += 1
    (target / "classes.yaml").write_text(CLASSES)
    return count


def train(network: str, start: str, seed: int, steps: int, folder: Path, runs: Path, settings: list[str]) -> float:
    """Train, or take what a finished training has left, and return the mIoU of the last step."""
    run = runs / f"{network}-{'box' if not STARTS[start] else 'imagenet'}-{seed}"
    if not (run / "last").exists():
        resume = ["--resume"] if (run / "recipe.yaml").exists() else []
        command = ["train", f"folder/finetune-{network}", f"data.root={folder}", *STARTS[start], *settings,
                   f"train.steps={steps}", f"train.seed={seed}", "--output", str(run), *resume]  # fmt: skip
        subprocess.run([sys.executable, "-m", "scenescope", *command], check=True)
    scores = [row["val/miou"] for row in read_log(run / "log.jsonl") if "val/miou" in row]
    return float(scores[-1])


def row(network: str, start: str, scores: list[float]) -> list[str]:
    """Return network, start, mean score and the single ones."""
    each = ", ".join(f"{score:.4f}" for score in scores)
    return [network, start, f"{statistics.mean(scores):.4f}", each]


def main() -> None:
    """Train all and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelmefacade", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/finetune"), help="folder of the trainings")
    parser.add_argument("--set", nargs="*", default=[], help="further settings of every training")
    arguments = parser.parse_args()
    folder = arguments.runs / "data"
    if not folder.exists():
        as_folder(arguments.labelmefacade, folder)
    rows = []
    for network in NETWORKS:
        for start in STARTS:
            scores = [
                train(network, start, seed, arguments.steps, folder, arguments.runs, arguments.set)
                for seed in range(arguments.seeds)
            ]
            rows.append(row(network, start, scores))
    told = table(["network", "starts from", f"mIoU after {arguments.steps} steps", "each seed"], rows)
    write_page(__file__, "Fine-tuning the models in the box", __doc__, told)


if __name__ == "__main__":
    main()
