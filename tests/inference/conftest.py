"""Small networks whose answers are known."""

import pytest
import torch
from torch import nn

from scenescope.cells import Cells
from scenescope.outputs import SegmentationOutput


class Answering(nn.Module):
    """A network with a given answer to raw pixel values, B x 3 x h x w in and B x 3 x h x w out."""

    num_classes = 3
    align_corners = False

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.sizes = []
        self.modes = []

    def prepare(self, images):
        return images.float()

    def forward(self, images, stretch=False):
        self.sizes.append(tuple(images.shape[-2:]))
        self.modes.append((self.training, torch.is_inference_mode_enabled()))
        return SegmentationOutput(self.answer(images), {})

    def low_resolution(self, images, stretch=False):
        return self(images)

    def cells(self, logits, size, stretch=False):
        return Cells.stretched(logits.shape[-2:], size, align_corners=self.align_corners)


@pytest.fixture(scope="session")
def answering():
    """Return a maker of networks: ``answering(function)``."""
    return Answering


@pytest.fixture
def identity():
    """Return a network whose logits are the pixel values."""
    return Answering(lambda images: images)
