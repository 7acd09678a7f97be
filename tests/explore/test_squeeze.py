import numpy as np
import pytest
import torch

from scenescope.explore.trace import attend
from scenescope.models.catalog import create_model


@pytest.fixture(scope="module")
def sanet():
    torch.manual_seed(0)
    return create_model("sanet", backbone="resnet18", num_classes=3, output_stride=16)


@pytest.fixture
def image():
    """Return an image that is not filled up: its sides are multiples of 16, and no shorter than a square to squeeze."""
    return np.random.default_rng(0).integers(0, 256, (128, 160, 3), np.uint8)


def test_all_four_heads_even_those_that_a_prediction_does_without(sanet, image):
    heads = attend(sanet, image).heads
    assert len(heads) == 4
    with torch.no_grad():
        stages = sanet.eval().backbone(sanet.prepare(torch.from_numpy(image.transpose(2, 0, 1)[None].copy())))
        for head, module, stage in zip(heads, sanet.head.attentions, stages, strict=True):
            attention = module.attention_channel(stage)[0].numpy()
            np.testing.assert_allclose(head.channels("attention"), attention, atol=1e-5)
            np.testing.assert_allclose(head.channels("main"), module.main(stage)[0].numpy(), atol=1e-5)
            np.testing.assert_allclose(head.channels("output"), module(stage)[0].numpy(), atol=1e-5)


def test_distances_by_a_slow_loop(sanet, image):
    head = attend(sanet, image).heads[0]
    attention = head.channels("attention").astype(np.float64)
    channels, rows, columns = attention.shape
    x, y = 61, 40
    (found,) = head.distances([(x, y)])
    row, column = y * rows // 128, x * columns // 160
    assert found[row, column] == 0
    for at in ((0, 0), (rows - 1, 3), (2, columns - 1)):
        square = sum((attention[channel][at] - attention[channel, row, column]) ** 2 for channel in range(channels))
        assert found[at] == pytest.approx(square**0.5, rel=1e-4, abs=1e-6)


def test_the_most_active_channels(sanet, image):
    head = attend(sanet, image).heads[3]
    maps = head.channels("output")
    means = [float(channel.mean()) for channel in maps]
    first, second = head.most_active("output", 2)
    assert means[first] == max(means)
    assert means[second] == sorted(means)[-2]
    (at,) = head.most_active("main", point=(159, 127))
    assert head.channels("main")[at, -1, -1] == head.channels("main")[:, -1, -1].max()
