"""What the tests of formats share: small images, and an import with what it has written."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scenescope.workflows.import_data import import_data
from scenescope.yaml_reader import read_yaml


@dataclass
class Imported:
    """Masks by the names of their images without endings, class names, and the rows of ``dropped.csv``."""

    masks: dict[str, np.ndarray]
    names: list[str]
    dropped: list[list[str]]
    notes: str
    summary: Any


def run(source: Path, output: Path, **options: Any) -> Imported:
    """Import a source, and read what was written."""
    summary = import_data(str(source), output, **options)
    masks = output / "masks"
    found = {
        path.relative_to(masks).with_suffix("").as_posix(): np.asarray(Image.open(path))
        for path in masks.rglob("*.png")
    }
    told = read_yaml(output / "classes.yaml", ValueError)
    rows = list(csv.reader((output / "dropped.csv").read_text().splitlines()))[1:]
    return Imported(found, told["names"], rows, "\n".join(summary.notes), summary)


def write_image(path: Path, width: int = 8, height: int = 6, seed: int = 0) -> None:
    """Write an image of noise, in the format of the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, with folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
