import errno
import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from scenescope.checkpoints.model_directory import load_model, save_model
from scenescope.errors import CheckpointError, StorageError
from scenescope.files import CHECKSUMS
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.training import checkpoint
from scenescope.training.checkpoint import find_checkpoint
from tests.reliability.runs import SETTINGS, final_weights, run, strays, train
from tests.training.tiny import tiny_training

CLASSES = Classes.named(["road", "sky", "car"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a run with two checkpoints."""
    place = tmp_path_factory.mktemp("trained")
    assert run(train, place) == 0
    return place


def fill_the_disk(directory, share):
    """Train until the disk is full in the midst of the second checkpoint; leave with what was said."""
    torch.set_num_threads(1)
    write = checkpoint.write_tensors

    def part(state, path):
        write(state, path)
        if (directory / "checkpoints" / "step-00000002").exists():
            os.truncate(path, int(share * path.stat().st_size))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    checkpoint.write_tensors = part
    try:
        tiny_training(directory, **SETTINGS).run()
    except StorageError as error:
        (directory / "said").write_text(str(error))
        raise SystemExit(2) from error


def test_no_space_while_saving(times, promise, tmp_path):
    tried, survived = times(20, 1), 0
    generator = random.Random(0)
    for number in range(tried):
        place = tmp_path / str(number)
        assert run(fill_the_disk, place, generator.random()) == 2
        said = (place / "said").read_text()
        names_it = (str(place) in said and "bytes" in said.lower()) or "MB" in said
        found, notes = find_checkpoint(place / "checkpoints")
        intact = found is not None and found.name == "step-00000002" and not notes
        survived += names_it and intact and not strays(place)
    promise("no space while saving: one line with path and size, the old checkpoint intact", tried, survived)


def damage(path: Path, generator: random.Random) -> None:
    """Flip one bit, or cut the file short."""
    content = bytearray(path.read_bytes())
    if generator.random() < 0.5:
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
    else:
        os.truncate(path, generator.randrange(len(content)))


def test_damaged_checkpoints_are_found_and_passed_over(trained, times, promise, tmp_path):
    tried, survived = times(300, 10), 0
    generator = random.Random(2)
    checkpoints = tmp_path / "checkpoints"
    shutil.copytree(trained / "checkpoints", checkpoints)
    newest, before = sorted(checkpoints.iterdir(), reverse=True)[:2]
    files = [path.name for path in newest.iterdir()]
    for _ in range(tried):
        name = generator.choice(files)
        whole = (newest / name).read_bytes()
        damage(newest / name, generator)
        found, notes = find_checkpoint(checkpoints)
        passed_over = found == before and len(notes) == 1 and newest.name in notes[0]
        survived += passed_over or (found == newest and name == CHECKSUMS)  # the end of its last line is no loss
        (newest / name).write_bytes(whole)
    assert find_checkpoint(checkpoints) == (newest, [])
    promise("a checkpoint with a flipped bit or cut short: found, the one before is taken", tried, survived)


def test_damaged_models_are_never_loaded(times, promise, tmp_path):
    tried, survived = times(200, 10), 0
    generator = random.Random(3)
    model = tmp_path / "model"
    save_model(create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=32), CLASSES, model)
    for _ in range(tried):
        name = generator.choice(["config.json", "model.safetensors", CHECKSUMS])
        whole = (model / name).read_bytes()
        damage(model / name, generator)
        try:
            load_model(model)
        except CheckpointError as error:
            survived += str(model) in str(error)
        else:
            # Nothing is lost with the end of the last line of the checksums, or where it says binary for text.
            survived += name == CHECKSUMS
        (model / name).write_bytes(whole)
    load_model(model)
    promise("a model with a flipped bit or cut short: refused by name", tried, survived)


def test_odd_names_hold_a_run_and_its_images(trained, times, promise, tmp_path):
    names = ["with spaces", "🚦 ampel", "ünïcode", "a" * 200, "quote'\"s", "semi;colon & more", "-dash", "new\nline"]
    names = names[: times(len(names), 3)]
    survived = 0
    for name in names:
        place = tmp_path / name
        assert run(train, place) == 0
        survived += final_weights(place) == final_weights(trained) and load_model(place / "last") is not None
    promise("a run in a folder with an odd name", len(names), survived)


def test_places_that_cannot_be_written(promise, tmp_path):
    network = create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=32)
    (tmp_path / "file").write_text("mine")
    tried = survived = 0
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("a" * 255 + "b"), Path("/proc/none/run")):
        tried += 2
        for write in (lambda at: save_model(network, CLASSES, at), lambda at: tiny_training(at, **SETTINGS).run()):
            try:
                write(place)
            except StorageError as error:
                survived += "\n" not in str(error)
    assert (tmp_path / "file").read_text() == "mine"
    promise("a place that cannot be written: one line, nothing changed", tried, survived)


def test_a_model_from_a_read_only_folder_loads(tmp_path):
    network = create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=32)
    save_model(network, CLASSES, tmp_path / "model")
    (tmp_path / "model").chmod(0o555)
    assert Segmenter.load(tmp_path / "model", "cpu").classes == CLASSES
    (tmp_path / "model").chmod(0o755)
