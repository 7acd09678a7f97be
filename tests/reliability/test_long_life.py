import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from measure import peak_memory
from PIL import Image

from scenescope.inference.predictor import predict_labels, predict_logits
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.jobs.batch import predict_files
from scenescope.jobs.inputs import find_images
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from tests.inference.conftest import Answering

CLASSES = Classes.named(["red", "green", "blue"])


def resident():
    """Return the bytes of memory that this process holds, and the number of files it has open."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))


def test_many_predictions_leave_memory_and_files_as_they_were(times, promise, tmp_path):
    tried = times(10_000, 100)
    network = create_model("danet", backbone="test_resnet", num_classes=3, output_stride=32)
    segmenter = Segmenter(network, CLASSES)
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)).save(path)

    def predict(count):
        for number in range(count):
            segmenter.predict(path, probabilities=number % 10 == 0)

    predict(min(tried // 5, 500))
    memory, files = resident()
    predict(tried)
    grown, open_now = resident()[0] / memory - 1, resident()[1]
    assert open_now == files
    assert grown < 0.05, f"memory grew by {grown:.1%}"
    promise("predictions one after the other: memory grows under 5 %, open files constant", tried, tried)


def test_a_network_that_gives_its_input_back_shows_no_seams(times, promise):
    tried, seamless = times(200, 20), 0
    generator = random.Random(0)
    identity = Answering(lambda images: images)
    for _ in range(tried):
        height, width, window = (generator.randrange(1, 60) for _ in range(3))
        stride, border = generator.randrange(1, window + 1), generator.choice(["shift", "pad"])
        settings = InferenceSettings(window=window, stride=stride, border=border)
        images = torch.from_numpy(np.random.default_rng(window).integers(0, 256, (1, 3, height, width), np.uint8))
        same = torch.equal(predict_logits(identity, images, settings), images.float())
        labels = predict_labels(identity, images, settings).long()
        seamless += same and torch.equal(images.gather(1, labels[:, None])[:, 0], images.amax(dim=1))
    promise("windows of any size and overlap: an identity network gives its input back", tried, seamless)


def test_a_huge_photograph_through_windows(whole, promise):
    if not whole:
        pytest.skip("minutes; make reliability does it")
    network = create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=32)
    segmenter = Segmenter(network, CLASSES, settings=InferenceSettings(window=768, stride=768))
    image = np.random.default_rng(0).integers(0, 256, (9000, 12000, 3), np.uint8)
    found = []
    grown = peak_memory(lambda: found.append(segmenter.predict(image).labels.shape))
    assert found == [(9000, 12000)]
    promise(f"a photograph of 12,000 x 9,000 through windows: {grown / 1e9:.1f} GB, under 2", 1, int(grown < 2e9))


def test_a_folder_goes_on_where_it_was(times, promise, tmp_path):
    tried, survived = times(20, 2), 0
    generator = random.Random(0)
    segmenter = Segmenter(Answering(lambda images: images), CLASSES)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        Image.new("RGB", (9, 7), (number, 20, 30)).save(photos / f"{number}.png")
    whole = tmp_path / "whole"
    predict_files(segmenter, find_images([str(photos)], whole), whole)
    for number in range(tried):
        output = tmp_path / f"out-{number}"
        files = find_images([str(photos)], output)
        stop = generator.randrange(len(files))

        def interrupted(files=files, stop=stop):
            yield from files[:stop]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            predict_files(segmenter, interrupted(), output)
        asked = len(segmenter.network.sizes)
        predict_files(segmenter, files, output, resume=True)
        names = sorted(path.name for path in whole.iterdir())
        same = all((whole / name).read_bytes() == (output / name).read_bytes() for name in names)
        survived += same and len(segmenter.network.sizes) - asked == len(files) - stop
    promise("a folder stopped and restarted: goes on where it was, ends with the same files", tried, survived)
