"""Maps through windows: memory of a huge one, time beside windows in memory, equal labels.

    python benchmarks/maps.py speed            # a real network, alternately by map and in memory
    python benchmarks/maps.py machinery        # the same with a network that costs next to nothing
    python benchmarks/maps.py huge --side 40000

Each prints a line of results; ``huge`` runs in a process of its own, whose peak of memory is the operating system's.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from measure import in_fresh_process
from rasterio.transform import from_origin
from rasterio.windows import Window
from torch import Tensor, nn

from scenescope.bands import BandRule
from scenescope.files import staged_files
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.jobs.maps import predict_map
from scenescope.labels import Classes
from scenescope.outputs import SegmentationOutput

CLASSES = 11
BLOCK = 512


class Trivial(nn.Module):
    """Eleven classes from four bands by a product per pixel: what is measured is all but the network."""

    num_classes, align_corners, in_channels = CLASSES, False, 4
    band_rule = BandRule((0, 1, 2, 3))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(4, CLASSES, 1)

    def prepare(self, images: Tensor) -> Tensor:
        """Return floats."""
        return images.float()

    def forward(self, images: Tensor, stretch: bool = False) -> SegmentationOutput:
        """Return the product."""
        return SegmentationOutput(self.conv(images), {})

    def low_resolution(self, images: Tensor, stretch: bool = False) -> SegmentationOutput:
        """Return the product."""
        return self(images)

    def cells(self, logits: Tensor, size: tuple[int, int], stretch: bool = False) -> None:
        """Windows are never drawn smaller."""


def made_map(path: Path, side: int, bands: int, filled: float) -> None:
    """Write a map of tiles of 512 pixels, each one texture of a few kinds; tiles without data are left out."""
    random = np.random.default_rng(0)
    textures = random.integers(1, 250, (16, bands, BLOCK, BLOCK)) // 32 * 32 + 1
    profile = {"driver": "GTiff", "width": side, "height": side, "count": bands, "dtype": "uint8", "nodata": 0}
    profile |= {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate", "zlevel": 1}
    profile |= {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_500_000, 0.5, 0.5), "sparse_ok": True}
    with rasterio.open(path, "w", bigtiff="yes", interleave="pixel", photometric="minisblack", **profile) as file:
        for top in range(0, side, BLOCK):
            for left in range(0, side, BLOCK):
                if random.random() >= filled:
                    continue
                height, width = min(BLOCK, side - top), min(BLOCK, side - left)
                part = textures[random.integers(16)][:, :height, :width].astype(np.uint8)
                file.write(part, window=Window(left, top, width, height))


def by_map(segmenter: Segmenter, path: Path, labels: Path) -> float:
    """Segment a map and return the seconds of CPU."""
    start = time.process_time()
    with staged_files() as files:
        predict_map(segmenter, path, files, labels)
    return time.process_time() - start


def in_memory(segmenter: Segmenter, array: np.ndarray) -> tuple[float, np.ndarray]:
    """Segment the same as one image, through the same windows, and return seconds of CPU and labels."""
    batch = torch.from_numpy(array.transpose(2, 0, 1)[None].copy())
    start = time.process_time()
    labels = segmenter.labels(batch)[0].numpy()
    return time.process_time() - start, labels


def compare(segmenter: Segmenter, side: int, bands: int, rounds: int, folder: Path) -> None:
    """Print the times of both ways, one thread, and whether their labels are equal."""
    torch.set_num_threads(1)
    path, labels = folder / "map.tif", folder / "labels.tif"
    made_map(path, side, bands, 1.0)
    with rasterio.open(path) as file:
        array = file.read().transpose(1, 2, 0)
    maps, memory = [], []
    for _ in range(rounds):
        maps.append(by_map(segmenter, path, labels))
        seconds, expected = in_memory(segmenter, array)
        memory.append(seconds)
    with rasterio.open(labels) as file:
        equal = np.array_equal(file.read(1), expected)
    pixels = side * side / 1e6
    ratio = statistics.median(one / other for one, other in zip(maps, memory, strict=True))
    print(
        f"{side} x {side} x {bands}: map {statistics.median(maps) / pixels:.3f} s/Mpx, in memory"
        f" {statistics.median(memory) / pixels:.3f} s/Mpx, ratio {ratio:.3f} (median of {rounds}), equal: {equal}"
    )


def map_alone(path: Path, labels: Path) -> tuple[float, float, float]:
    """Segment a map; return the seconds on the clock, and the megabytes of the process before and at its peak."""
    segmenter, start = trivial(), time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    by_map(segmenter, path, labels)
    return time.perf_counter() - start, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def huge(side: int, filled: float, folder: Path) -> None:
    """Print time and peak memory of a map of this side, of which this share of tiles holds anything."""
    path, labels = folder / "huge.tif", folder / "huge_labels.tif"
    made_map(path, side, 4, filled)
    seconds, before, peak = in_fresh_process(map_alone, path, labels)
    print(
        f"{side} x {side} x 4, {filled:.0%} of it filled: file {path.stat().st_size / 1e9:.2f} GB, labels"
        f" {labels.stat().st_size / 1e9:.2f} GB, {seconds:.0f} s, peak {peak:.0f} MB (before: {before:.0f} MB)"
    )
    for top, left in ((0, 0), (side // 2, side // 3), (side - 2048, side - 2048)):
        check_part(trivial(), path, labels, max(left, 0), max(top, 0))


def check_part(segmenter: Segmenter, path: Path, labels: Path, left: int, top: int) -> None:
    """Compare a part of the labels with the network's own: for a product per pixel windows change nothing."""
    part = Window(left, top, 2048, 2048)
    with rasterio.open(path) as file, rasterio.open(labels) as made:
        array, found = file.read(window=part), made.read(1, window=part)
    with torch.inference_mode():
        network = segmenter.form
        expected = network(network.prepare(torch.from_numpy(array[None]))).logits[0].argmax(0).numpy().astype(np.uint8)
    expected[(array == 0).all(axis=0)] = 255
    print(f"  labels at {left}, {top}: {(found != expected).mean():.2e} of them differ")


def trivial() -> Segmenter:
    """Return the network that costs next to nothing."""
    names = Classes.named([f"class {number}" for number in range(CLASSES)])
    return Segmenter(Trivial(), names, settings=InferenceSettings(window=512))


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "machinery", "huge"])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--filled", type=float, default=0.3, help="share of tiles with anything, for huge")
    parser.add_argument("--model", help="for speed; the first in the box")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "huge":
            huge(arguments.side, arguments.filled, Path(folder))
        elif arguments.what == "machinery":
            compare(trivial(), arguments.side, 4, arguments.rounds, Path(folder))
        else:
            settings = InferenceSettings(window=512)
            segmenter = Segmenter.load(arguments.model, precision="float32", settings=settings)
            compare(segmenter, arguments.side, 3, arguments.rounds, Path(folder))


if __name__ == "__main__":
    main()
