"""Folders of predictions: killed, resumed by others, on full disks, and with overlays larger than the memory."""

import csv
import os
import random
import shutil
import signal
from functools import partial

import numpy as np
import pytest
import torch
from measure import peak_memory
from PIL import Image

from scenescope.errors import StorageError
from scenescope.files import StagedFiles
from scenescope.inference.prediction import Prediction
from scenescope.inference.segmenter import Segmenter
from scenescope.jobs import batch
from scenescope.jobs.batch import predict_files
from scenescope.jobs.inputs import find_images
from scenescope.labels import Classes
from tests.inference.conftest import Answering
from tests.reliability.runs import run

CLASSES = Classes.named(["red", "green", "blue"])
NUM_IMAGES = 4


def segmenter(turn=0):
    """Return a segmenter that answers with the strongest channel, the channels turned by so many."""
    answering = Segmenter(Answering(partial(torch.roll, shifts=turn, dims=1)), CLASSES)
    answering.network.turn = turn
    return answering


def make_photos(place, seed=0):
    place.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for number in range(NUM_IMAGES):
        Image.fromarray(generator.integers(0, 256, (7, 9, 3), np.uint8)).save(place / f"{number}.png")
    return place


def written(output):
    """Return the files that a user sees."""
    return {path.name: path.read_bytes() for path in output.iterdir() if path.name != batch.Record(output).path.name}


def predict(photos, output, turn, **options):
    return predict_files(segmenter(turn), find_images([str(photos)], output), output, **options)


def predict_and_die(photos, output, turn, after, before_moving):
    """Predict, and be killed while the file of a number is written or before it is moved into its place."""
    count = [0]
    write = StagedFiles.write

    def dying(self, path, fill, num_bytes=None):
        count[0] += 1
        if count[0] == after and not before_moving:
            fill = partial(die_half_way, fill)
        write(self, path, fill, num_bytes)
        if count[0] == after:
            os.kill(os.getpid(), signal.SIGKILL)

    StagedFiles.write = dying
    predict(photos, output, turn)


def die_half_way(fill, temporary):
    fill(temporary)
    os.truncate(temporary, temporary.stat().st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_predictions_leave_nothing_half_written(times, promise, tmp_path):
    tried, survived = times(40, 3), 0
    generator = random.Random(0)
    photos = make_photos(tmp_path / "photos")
    whole = tmp_path / "whole"
    predict(photos, whole, 1)
    for number in range(tried):
        output = tmp_path / f"out-{number}"
        predict(photos, output, 0)
        after, before_moving = generator.randrange(1, 2 * NUM_IMAGES + 1), generator.random() < 0.5
        assert run(predict_and_die, photos, output, 1, after, before_moving) == -signal.SIGKILL
        result = predict(photos, output, 1, resume=True)
        survived += len(result.done) == NUM_IMAGES and written(output) == written(whole)
    promise("predict killed over another model's folder, then resumed: all files its own, no strays", tried, survived)


def test_a_full_disk_leaves_older_predictions_as_they_were(times, promise, tmp_path, monkeypatch):
    tried, survived = times(2 * NUM_IMAGES, 4), 0
    photos = make_photos(tmp_path / "photos")
    old, new = tmp_path / "old", tmp_path / "new"
    predict(photos, old, 0)
    predict(photos, new, 1)
    write = StagedFiles.write
    for stop in range(tried):
        output, count = tmp_path / f"out-{stop}", [0]
        shutil.copytree(old, output)

        def full(self, path, fill, num_bytes=None, count=count, stop=stop):
            count[0] += 1
            if count[0] > stop and path.suffix == ".png":
                raise StorageError("No space left on device") from OSError(28, "No space left on device")
            write(self, path, fill, num_bytes)

        with monkeypatch.context() as patch:
            patch.setattr(StagedFiles, "write", full)
            with pytest.raises(StorageError):
                predict(photos, output, 1)
        done = {f"{number}_{what}.png" for number in range(stop // 2) for what in ("labels", "overlay")}
        files = written(output)
        with (output / "summary.csv").open() as file:
            listed = len(list(csv.reader(file))) - 1
        del files["summary.csv"]
        expected = {name: written(new if name in done else old)[name] for name in files}
        survived += files == expected and len(files) == 2 * NUM_IMAGES and listed == NUM_IMAGES
    promise(
        "a disk full while predicting over older predictions: those not replaced stay, in the summary too",
        tried,
        survived,
    )


def test_nothing_old_is_taken_for_done(times, promise, tmp_path):
    """Between two calls the model, the image or a written file changes; each with --resume."""
    tried, survived = times(60, 6), 0
    generator = random.Random(1)
    for number in range(tried):
        photos, output = make_photos(tmp_path / f"{number}" / "photos", number), tmp_path / f"{number}" / "out"
        turn, victim = generator.randrange(3), generator.randrange(NUM_IMAGES)
        predict(photos, output, turn)
        match number % 3:
            case 0:
                turn = (turn + 1) % 3
            case 1:
                Image.new("RGB", (9, 7), (3, 2, 1)).save(photos / f"{victim}.png")
            case 2:
                (output / f"{victim}_overlay.png").unlink()
        predict(photos, output, turn, resume=True)
        predict(photos, tmp_path / f"{number}" / "anew", turn)
        survived += written(output) == written(tmp_path / f"{number}" / "anew")
    promise("predict --resume after another model, image or file: as if made anew", tried, survived)


def test_an_overlay_takes_little_more_memory_than_its_image(promise):
    side = 4000
    image = np.zeros((side, side, 3), np.uint8)
    prediction = Prediction(np.zeros((side, side), np.uint8), image, CLASSES)
    grown = peak_memory(prediction.overlay) / image.nbytes
    # Pillow keeps 4 bytes for each pixel of RGB.
    assert grown < 2, f"{grown:.1f} times the image"
    promise("the overlay of an image: memory under twice the image's own", 1, 1)
