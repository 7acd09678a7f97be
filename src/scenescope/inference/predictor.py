"""Scores for every pixel: whole image or sliding window, one scale or several, with or without flip.

Combined as in mmsegmentation: logits are averaged where windows overlap, then resized to the picture, then
probabilities are averaged over scales and flips. The official DANet code sums exp(logits) instead.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from scenescope.inference.modes import evaluating
from scenescope.inference.settings import InferenceSettings
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput

__all__ = ["InferenceSettings", "predict_logits", "window_starts"]


def predict_logits(network: SegmentationNetwork, images: Tensor, settings: InferenceSettings | None = None) -> Tensor:
    """Score every pixel of a batch of pictures; the network is in eval mode meanwhile.

    Args:
        images: B x 3 x H x W uint8 RGB on the network's device.

    Returns:
        B x K x H x W float32: logits with one scale and no flip, else probabilities, the mean over scales and flips.
    """
    settings = settings or InferenceSettings()
    with evaluating(network):
        prepared = network.prepare(images)
        if not settings.averages:
            return _logits_at_scale(network, prepared, settings.scales[0], settings)
        total: Tensor | None = None
        for scale in settings.scales:
            probabilities = torch.softmax(_logits_at_scale(network, prepared, scale, settings), dim=1)
            if settings.flip:
                mirrored = _logits_at_scale(network, prepared.flip(-1), scale, settings).flip(-1)
                probabilities = (probabilities + torch.softmax(mirrored, dim=1)) / 2
            total = probabilities if total is None else total + probabilities
        assert total is not None  # settings hold at least one scale
        return total / len(settings.scales)


def window_starts(length: int, window: int, step: int) -> list[int]:
    """Return where windows begin along a side of ``length`` pixels; the last ends exactly at the border."""
    if length <= window:
        return [0]
    return [*range(0, length - window, step), length - window]


def _logits_at_scale(network: SegmentationNetwork, images: Tensor, scale: float, settings: InferenceSettings) -> Tensor:
    """Return B x K x H x W logits at the size of the images, looked at ``scale`` times as large."""
    height, width = images.shape[-2:]
    scaled_size = (max(round(height * scale), 1), max(round(width * scale), 1))
    logits = _windowed(network, _resize(network, images, scaled_size), settings)
    return _resize(network, logits, (height, width))


def _windowed(network: SegmentationNetwork, images: Tensor, settings: InferenceSettings) -> Tensor:
    """Return the logits of every window, averaged where they overlap; a smaller image is its own window."""
    if settings.window is None:
        return _logits(network, images)
    height, width = images.shape[-2:]
    window_height, window_width = min(settings.window, height), min(settings.window, width)
    total: Tensor | None = None
    count = images.new_zeros(height, width)
    for top in window_starts(height, window_height, settings.step):
        for left in window_starts(width, window_width, settings.step):
            place = (..., slice(top, top + window_height), slice(left, left + window_width))
            logits = _logits(network, images[place])
            if total is None:
                total = logits.new_zeros(*logits.shape[:2], height, width)
            total[place] += logits
            count[place] += 1
    assert total is not None  # every side has at least one window
    return total / count


def _logits(network: SegmentationNetwork, images: Tensor) -> Tensor:
    output: SegmentationOutput = network(images)
    return output.logits.float()


def _resize(network: SegmentationNetwork, pictures: Tensor, size: tuple[int, int]) -> Tensor:
    if pictures.shape[-2:] == size:
        return pictures
    return functional.interpolate(pictures, size, mode="bilinear", align_corners=network.align_corners)
