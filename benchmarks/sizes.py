"""Scores against the size of images, windows and scales: cells drawn where they look, and stretched as before.

    python benchmarks/sizes.py CAMVID [--demo demo/run/best] [--every 2] [--output FILE.md]

The models in the box see CamVid's val split cut on the right or below, the model of `make demo` its test scenes.
"Stretched" is how logits were resized before, and how the published codes resize them (`--protocol official`, `mmseg`):
over an image of any size, so that cells move by up to a whole one where its sides are no multiples of the output
stride. The models in the box have seen these images in training; only the differences between sizes count here. Where a
side is cut, other pixels are scored, so scores differ a little by what was cut away.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch
from measure import table, write_page

from scenescope.checkpoints.model_directory import LoadedModel, load_model
from scenescope.data.catalog import open_dataset, parse_source
from scenescope.data.dataset import LabeledImage, SegmentationDataset
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.scores import Scores
from scenescope.inference.settings import InferenceSettings


class Cut:
    """A SegmentationDataset: every so-many-th scene of a data set, cut to a height and width."""

    def __init__(self, whole: SegmentationDataset, height: int, width: int, every: int) -> None:
        self.whole, self.height, self.width, self.every = whole, height, width, every
        self.classes, self.root, self.split = whole.classes, whole.root, whole.split

    def __len__(self) -> int:
        return -(-len(self.whole) // self.every)

    def __getitem__(self, index: int) -> LabeledImage:
        scene = self.whole[index * self.every]
        place = (slice(self.height), slice(self.width))
        return dataclasses.replace(scene, image=scene.image[place], labels=scene.labels[place])

    def name(self, index: int, /) -> str:
        """Return the name of a scene."""
        return self.whole.name(index * self.every)

    def files(self, index: int, /) -> tuple[Path, ...]:
        """Return the files of a scene."""
        return self.whole.files(index * self.every)


def rows(
    name: str,
    model: LoadedModel,
    whole: SegmentationDataset,
    every: int,
    cases: list[tuple[str, int, int, InferenceSettings]],
) -> Iterator[list[str]]:
    """Score a model in each case: what it is, height, width, settings."""
    for told, height, width, settings in cases:
        scores = []
        for stretch in (True, False):
            cut = Cut(whole, height, width, every)
            confusion = evaluate(model.network, cut, dataclasses.replace(settings, stretch=stretch))
            scores.append(Scores.from_matrix(confusion, whole.classes.names).mean_iou or 0.0)
        row = [name, told, *(f"{100 * score:.2f}" for score in scores)]
        print(*row, sep="  ", flush=True)
        yield row


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path)
    parser.add_argument("--demo", type=Path, default=Path("demo/run/best"), help="Model of make demo.")
    parser.add_argument("--every", type=int, default=2, help="Take every so-many-th image of CamVid.")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plain, lines = InferenceSettings(), []
    scenes = open_dataset(*parse_source("scenes:"), "test")
    cases = [(f"{width} columns", 144, width, plain) for width in range(185, 193)]
    cases += [(f"windows of {side}", 144, 192, InferenceSettings(window=side, stride=72)) for side in (120, 121)]
    cases += [(f"scale {scale}", 144, 192, InferenceSettings(scales=(scale,))) for scale in (1.25, 1.26)]
    lines += rows("demo", load_model(arguments.demo), scenes, 1, cases)
    camvid = open_dataset("camvid", str(arguments.camvid), "val")
    cases = [(f"{width} columns", 360, width, plain) for width in (464, 467, 470, 474, 480)]
    cases += [(f"{height} rows", height, 480, plain) for height in (344, 347, 352, 356)]
    cases += [(f"windows of {side}", 360, 480, InferenceSettings(window=side)) for side in (240, 241)]
    for name in ("camvid-danet-lite0", "camvid-sanet-lite0"):
        lines += rows(name, load_model(name), camvid, arguments.every, cases)
    told = table(["model", "seen", "mIoU, stretched", "mIoU, where cells look"], lines)
    write_page(str(arguments.output), "Scores do not depend on the size of an image", __doc__, told)


if __name__ == "__main__":
    main()
