"""What ``check`` advises, followed to the letter on data sets of random labels; and its words on any console."""

import json
import os
import random
import re
import subprocess
import sys

import numpy as np
import yaml
from PIL import Image

from scenescope.workflows.check import check_dataset

SIDE = 16
WORDS = ["crack", "hole", "rust", "paint"]


def random_codes(generator, kinds):
    """Return a number or a color for each kind, the first for what is nothing else."""
    match generator.randrange(5):
        case 0:
            return list(range(kinds))
        case 1:
            return sorted(generator.sample(range(256), kinds))
        case 2:
            return [0, *sorted(generator.sample(range(1, 255), kinds - 2)), 255]
        case 3:
            return [(0, 0, 0), *[tuple(generator.sample(range(40, 250), 3)) for _ in range(kinds - 1)]]
        case _:
            return [(0, 0, 0), *[tuple(generator.sample(range(40, 250), 3)) for _ in range(kinds - 2)], (255, 255, 255)]


def plant(root, generator):
    """Write a data set whose classes.yaml does not fit its labels; return the number of pixels of each label."""
    kinds = generator.randrange(2, 5)
    codes = np.array(random_codes(generator, kinds), dtype=np.uint8)
    numbers = np.random.default_rng(generator.randrange(2**32))
    # Every label in a quarter of the pixels or more, so that none is rare, and in areas.
    maps = []
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        cells = numbers.permutation(np.arange(16) % kinds).reshape(4, 4)
        maps.append(np.kron(cells, np.ones((SIDE // 4, SIDE // 4), dtype=np.int64)))
        image = numbers.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / "images" / split / "0.png")
        Image.fromarray(codes[maps[-1]]).save(root / "masks" / split / "0.png")
    names = WORDS[: kinds - generator.randrange(2)]
    names = generator.choice([names, ["background", *names[1:]]])
    (root / "classes.yaml").write_text(json.dumps({"names": names}))
    return sorted(np.bincount(maps[0].ravel(), minlength=kinds).tolist())


def test_advice_that_is_followed_is_right(times, promise, tmp_path):
    tried = times(1000, 25)
    right = 0
    for number in range(tried):
        root = tmp_path / str(number)
        pixels = plant(root, random.Random(number))
        found = check_dataset("folder", str(root), num_workers=0)
        if not found.fit:
            lines = yaml.safe_load((root / "classes.yaml").read_text())
            for line in re.findall(r"`((?:names|values|colors|ignore): [^`]*)`", found.proposals[0]):
                lines |= yaml.safe_load(line)
            (root / "classes.yaml").write_text(json.dumps(lines))
            found = check_dataset("folder", str(root), num_workers=0)
        right += found.fit and sorted(found.splits[0].pixels) == pixels
    promise("check: a proposal that is followed makes masks fit, every label a class", tried, right)


def test_a_console_that_lacks_characters_costs_nothing(promise, tmp_path):
    root = tmp_path / "data"
    plant(root, random.Random(0))
    names = ["Straße", "道路", "🚗", "дом"]
    (root / "classes.yaml").write_text(json.dumps({"names": names}), encoding="utf-8")
    encodings, survived = ("ascii", "cp1252", "utf-8"), 0
    for encoding in encodings:
        out = tmp_path / encoding
        ended = subprocess.run(
            [sys.executable, "-m", "scenescope", "check", f"folder:{root}", "--output", str(out)],
            env=os.environ | {"PYTHONIOENCODING": encoding},
            capture_output=True,
        )
        written = json.loads((out / "check.json").read_text())["splits"][0]["pixels"]
        survived += ended.returncode == 2 and b"Traceback" not in ended.stderr and list(written) == names
    promise("names beyond a console's encoding: shown with ?, nothing lost", len(encodings), survived)
