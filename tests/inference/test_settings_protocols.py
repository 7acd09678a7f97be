"""Each protocol against a loop written straight from its description, on networks that make mistakes visible."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from scenescope.inference.predictor import predict_logits
from scenescope.inference.settings import PROTOCOLS, InferenceSettings

MEAN, STD = 0.4, 0.25


@pytest.fixture
def network(answering):
    """Return a network that knows left, right, top and bottom of what it sees, and its size."""

    def answer(images):
        height, width = images.shape[-2:]
        rows = torch.arange(height).view(-1, 1) / height
        columns = torch.arange(width).view(1, -1) / width
        mixed = images + 0.5 * images.flip(1) * columns + images.mean(dim=(-2, -1), keepdim=True)
        return mixed + torch.stack([3 * columns * rows, 2 * rows - columns, 0.02 * width + 0 * rows * columns])

    network = answering(answer)
    network.prepare = lambda images: (images.float() / 255 - MEAN) / STD
    return network


def random_images(height, width):
    generator = np.random.default_rng(height * 100 + width)
    return torch.from_numpy(generator.integers(0, 256, (2, 3, height, width), dtype=np.uint8))


def resized(network, images, height, width):
    return functional.interpolate(images, (height, width), mode="bilinear", align_corners=network.align_corners)


def slow_official(network, given, scales, base_size, window, stride):
    """One image, 1 x 3 x H x W uint8, by the words of the description."""
    image = network.prepare(given)
    height, width = image.shape[-2:]
    total = 0
    for scale in scales:
        long_side = math.ceil(base_size * scale)
        if height > width:
            tall, wide = long_side, int(width * long_side / height + 0.5)
        else:
            tall, wide = int(height * long_side / width + 0.5), long_side
        scaled = resized(network, image, tall, wide)
        sums, counts = torch.zeros(1, 3, tall, wide), torch.zeros(tall, wide)
        rows = 1 + max(math.ceil((tall - window) / stride), 0)
        columns = 1 + max(math.ceil((wide - window) / stride), 0)
        for top in (row * stride for row in range(rows)):
            for left in (column * stride for column in range(columns)):
                bottom, right = min(top + window, tall), min(left + window, wide)
                view = torch.full((1, 3, window, window), (0 - MEAN) / STD)
                view[..., : bottom - top, : right - left] = scaled[..., top:bottom, left:right]
                both = network(view).logits + network(view.flip(-1)).logits.flip(-1)
                sums[..., top:bottom, left:right] += both[..., : bottom - top, : right - left].exp()
                counts[top:bottom, left:right] += 1
        total = total + resized(network, sums / counts, height, width)
    return total


def slow_mmseg(network, given, scales, flip, base_size, window, stride):
    image = network.prepare(given)
    height, width = image.shape[-2:]
    probabilities = []
    for scale in scales:
        long_side, short_side = int(base_size[0] * scale), int(base_size[1] * scale)
        factor = min(long_side / max(height, width), short_side / min(height, width))
        scaled = resized(network, image, int(height * factor + 0.5), int(width * factor + 0.5))
        for mirrored in (False, True) if flip else (False,):
            view = scaled.flip(-1) if mirrored else scaled
            tall, wide = view.shape[-2:]
            sums, counts = torch.zeros(1, 3, tall, wide), torch.zeros(tall, wide)
            side = window or max(tall, wide)
            step = stride or side
            for row in range(1 + max(math.ceil((tall - side) / step), 0)):
                for column in range(1 + max(math.ceil((wide - side) / step), 0)):
                    bottom, right = min(row * step + side, tall), min(column * step + side, wide)
                    top, left = max(bottom - side, 0), max(right - side, 0)
                    sums[..., top:bottom, left:right] += network(view[..., top:bottom, left:right]).logits
                    counts[top:bottom, left:right] += 1
            scores = resized(network, sums / counts, height, width).softmax(1)
            probabilities.append(scores.flip(-1) if mirrored else scores)
    return torch.stack(probabilities).mean(0)


SIZES = [(13, 22), (22, 13), (9, 9), (31, 5), (3, 4)]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "window", "stride"), [("official", 11, 7), ("official-ms", 11, 5)])
def test_official_equals_a_loop_from_its_description(network, name, window, stride, size, align_corners):
    network.align_corners = align_corners
    images = random_images(*size)
    settings = dataclasses.replace(PROTOCOLS[name], base_size=19, window=window)
    found = predict_logits(network, images, settings)
    slow = [slow_official(network, image[None], settings.scales, 19, window, stride) for image in images]
    expected = torch.cat(slow)
    assert torch.allclose(found, expected / expected.sum(1, keepdim=True), atol=1e-5)
    # The network notices windows that are moved back to the border.
    moved = predict_logits(network, images, dataclasses.replace(settings, border="shift"))
    assert not torch.allclose(found, moved, atol=1e-3)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["mmseg", "mmseg-ms"])
@pytest.mark.parametrize(("window", "stride"), [(None, None), (11, 7)])
def test_mmseg_equals_a_loop_from_its_description(network, name, window, stride, size, align_corners):
    network.align_corners = align_corners
    images = random_images(*size)
    settings = dataclasses.replace(PROTOCOLS[name], base_size=(21, 13), window=window)
    found = predict_logits(network, images, settings)
    found = found if settings.averages else found.softmax(1)
    slow = [
        slow_mmseg(network, image[None], settings.scales, settings.flip, (21, 13), window, stride) for image in images
    ]
    assert torch.allclose(found, torch.cat(slow), atol=1e-5)


def test_the_table_holds_the_published_numbers():
    official, official_ms = PROTOCOLS["official"], PROTOCOLS["official-ms"]
    assert (official.scales, official.window, official.step) == ((1.0,), 768, 512)
    assert official_ms.scales == (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.2)
    assert (official_ms.window, official_ms.step) == (1024, 512)
    assert official.flip
    assert official_ms.flip
    assert official.size_at(1.0, 1024, 2048) == (1024, 2048)
    assert official_ms.size_at(2.2, 1024, 2048) == (2253, 4506)
    mmseg, mmseg_ms = PROTOCOLS["mmseg"], PROTOCOLS["mmseg-ms"]
    assert (mmseg.scales, mmseg.flip, mmseg.window) == ((1.0,), False, None)
    assert (mmseg_ms.scales, mmseg_ms.flip) == ((0.5, 0.75, 1.0, 1.25, 1.5, 1.75), True)
    assert dataclasses.replace(mmseg, window=769).step == 513
    assert mmseg.size_at(1.0, 1024, 2048) == (1024, 2048)
    assert dataclasses.replace(mmseg, base_size=(2048, 512)).size_at(1.0, 375, 500) == (512, 683)


def test_the_surer_view_decides_in_exp_and_both_alike_in_softmax(answering):
    sure, unsure = torch.tensor([3.0, 4.0, -9.0]), torch.tensor([1.0, -9.0, -9.0])
    network = answering(lambda view: (sure if view.shape[-1] == 2 else unsure).view(1, 3, 1, 1) + 0 * view)
    # Class 0: 20.1 + 2.7 against class 1: 54.6 in exp; 0.27 + 1 against 0.73 in softmax.
    for combine, answer in (("exp", 1), ("softmax", 0)):
        scores = predict_logits(network, random_images(2, 2), InferenceSettings(scales=(1.0, 2.0), combine=combine))
        assert set(scores.argmax(1).unique().tolist()) == {answer}


@pytest.mark.parametrize("height", [900.0, -900.0])
def test_logits_beyond_what_exp_can_hold_keep_their_shares(answering, height):
    settings = dataclasses.replace(PROTOCOLS["official-ms"], base_size=10, window=6)
    plain, moved = (
        predict_logits(
            answering(lambda view, level=level: (view - view.amax(1, keepdim=True)) / 64 + level),
            random_images(7, 10),
            settings,
        )
        for level in (0.0, height)
    )
    assert torch.allclose(moved, plain, atol=1e-3)
    assert torch.allclose(moved.sum(1), torch.ones(2, 7, 10))
