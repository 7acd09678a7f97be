"""A network whose answers are known, and data sets held in memory."""

import numpy as np
import pytest
import torch
from torch import nn

from scenescope.cells import Cells
from scenescope.data.dataset import LabeledImage
from scenescope.labels import Classes
from scenescope.outputs import SegmentationOutput


class Strongest(nn.Module):
    """Says of each pixel which color channel is strongest."""

    num_classes = 3
    align_corners = False

    def __init__(self):
        super().__init__()
        self.norm = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5))
        self.batches = []

    def prepare(self, images):
        return images.float()

    def forward(self, images, stretch=False):
        self.batches.append(tuple(images.shape))
        if self.norm[0].training:
            raise AssertionError("asked in training mode")
        return SegmentationOutput(images, {})

    def low_resolution(self, images, stretch=False):
        return self(images)

    def cells(self, logits, size, stretch=False):
        return Cells.stretched(logits.shape[-2:], size, align_corners=self.align_corners)


class Scenes:
    """Random scenes of given sizes; about three of four labels are what Strongest answers."""

    split = "val"
    root = "memory"
    classes = Classes.named(["red", "green", "blue"])

    def __init__(self, sizes):
        generator = np.random.default_rng(0)
        self.scenes = []
        for number, size in enumerate(sizes):
            image = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
            chance = generator.random(size)
            labels = np.where(chance < 0.25, generator.integers(0, 3, size), image.argmax(-1))
            self.scenes.append(LabeledImage(image, np.where(chance > 0.9, 255, labels).astype(np.uint8), str(number)))

    def __len__(self):
        return len(self.scenes)

    def __getitem__(self, index):
        return self.scenes[index]

    def name(self, index):
        return self.scenes[index].name

    def files(self, index):
        return ()

    def slow_matrix(self):
        """Count every pixel with a loop."""
        matrix = [[0] * 3 for _ in range(3)]
        for scene in self.scenes:
            for pixel, label in zip(
                scene.image.reshape(-1, 3).tolist(), scene.labels.reshape(-1).tolist(), strict=True
            ):
                if label != 255:
                    matrix[label][pixel.index(max(pixel))] += 1
        return matrix


@pytest.fixture
def strongest():
    return Strongest()


@pytest.fixture
def scenes():
    """Return a data set of seven scenes, of which neighbors share a size."""
    return Scenes([(4, 6), (4, 6), (4, 6), (5, 3), (4, 6), (5, 3), (5, 3)])


@pytest.fixture(autouse=True)
def same_generators():
    """Hold every test here to leaving torch's global generator alone."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)
