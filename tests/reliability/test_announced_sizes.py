"""Model directories and checkpoints that announce more than they hold: refused before the memory is taken."""

import json
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from measure import in_fresh_process, peak_memory

from scenescope.checkpoints.foreign import read_checkpoint
from scenescope.checkpoints.model_directory import load_model, save_model
from scenescope.errors import CheckpointError
from scenescope.files import CHECKSUMS
from scenescope.models.catalog import create_model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
LARGER = [
    {"backbone": "convnext_xxlarge"},
    {"backbone": "regnety_1280"},
    {"width": 20_000},
    {"width": 10**13},
    {"refinement_channels": 10**6},
    {"num_classes": 255, "refinement_channels": 10**5},
    {"input_scale": 10**9},
    {"multi_grid": [1] * 10**5},
]
TEXTS = ["[" * 200_000, '{"a":' * 10**6, "[" * 200_000 + "]" * 200_000, '"' + "a" * 10**6]
HOLES = (2**30, 3 * 2**30, 2**40)


def refused_with(read, paths):
    """Return how many of the files are refused in one line with less than 256 MiB, in this process."""
    count = 0
    for path in paths:
        said = []

        def attempt(path=path, said=said):
            try:
                read(path)
            except CheckpointError as error:
                said.append(str(error))

        grown = peak_memory(attempt)
        count += len(said) == 1 and "\n" not in said[0] and grown < 2**28
    return count


def models_refused(good, paths):
    load_model(good)  # what every load needs is not counted
    return refused_with(load_model, paths)


def checkpoints_refused(good, paths):
    read_checkpoint(good)
    return refused_with(read_checkpoint, paths)


def test_models_that_announce_more_than_their_weights(promise, tmp_path):
    good = tmp_path / "good"
    network = create_model("deeplabv3", backbone="test_resnet", num_classes=3, output_stride=32, width=16)
    save_model(network, ["road", "sky", "car"], good)
    (good / CHECKSUMS).unlink()
    config = json.loads((good / "config.json").read_text())
    texts = [json.dumps(config | {"model": config["model"] | change}) for change in LARGER] + TEXTS
    paths = []
    for number, text in enumerate([*texts, *HOLES]):
        path = tmp_path / str(number)
        path.mkdir()
        (path / "model.safetensors").hardlink_to(good / "model.safetensors")
        (path / "config.json").write_text(text if isinstance(text, str) else "{")
        if isinstance(text, int):
            with (path / "config.json").open("r+b") as file:
                file.truncate(text)
        paths.append(path)
    refused = in_fresh_process(models_refused, good, paths)
    promise("config.json that announces gigabytes: refused in one line before any memory", len(paths), refused)


def packed(source: Path, target: Path, padded: str) -> Path:
    """Write an archive again, compressed, with 500 MB of zeros behind one of its files."""
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in whole.infolist():
            with archive.open(entry.filename, "w", force_zip64=True) as file:
                file.write(whole.read(entry))
                for _ in range(500 if entry.filename.endswith(padded) else 0):
                    file.write(bytes(10**6))
    return target


def test_checkpoints_that_announce_more_than_they_hold(promise, tmp_path):
    good = tmp_path / "good.pth"
    torch.save({"state_dict": {"conv.weight": torch.ones(2, 3)}}, good)
    repeated = [
        {"a": torch.ones(1).expand(50_000, 30_000)},
        {"a": torch.ones(1000).expand(10**6, 1000)},
        {"a": torch.ones(1000).as_strided((10**6, 1000), (0, 1))},
        {f"a{number}": value for value in [torch.ones(10**5)] for number in range(10**4)},
    ]
    paths = []
    for number, state in enumerate(repeated):
        for legacy in (False, True):
            path = tmp_path / f"{number}-{legacy}.pth"
            torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=not legacy)
            paths.append(path)
    paths += [packed(good, tmp_path / f"{Path(name).name}.pth", name) for name in ("data.pkl", "data/0", "version")]
    refused = in_fresh_process(checkpoints_refused, good, paths)
    promise(
        "checkpoints that repeat numbers or are compressed: refused in one line before any memory", len(paths), refused
    )
