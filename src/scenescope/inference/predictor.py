"""Scores for every pixel: whole image or sliding window, one scale or several, with or without flip.

Views of an image are joined as in mmsegmentation, or as in the official DANet code; ``protocols.py`` tells how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import Tensor

from scenescope.device import traits
from scenescope.errors import ModelError
from scenescope.inference.exported import ExportedModel
from scenescope.inference.guards import eval_mode, require_finite, require_images, require_network
from scenescope.inference.resize_argmax import resize_argmax
from scenescope.inference.settings import Border, InferenceSettings
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput

__all__ = ["InferenceSettings", "predict_labels", "predict_logits", "predict_windows", "window_starts"]

_MAX_EXPONENT = 80.0
"""float32 ends near exp(88), and sums over scales and classes must fit as well."""

Model = SegmentationNetwork | ExportedModel
"""What predicts."""

_Answer = Callable[[Model, Tensor], Tensor]
"""What a network says of B x 3 x h x w prepared pixels: B x K x h x w."""


def predict_logits(network: Model, images: Tensor, settings: InferenceSettings | None = None) -> Tensor:
    """Score every pixel of a batch of images; the network is in eval mode meanwhile.

    Args:
        images: B x 3 x H x W uint8 RGB on the network's device; as its rule gives them where it has one.

    Returns:
        B x K x H x W float32: logits where ``settings`` join no views, else probabilities.

    Raises:
        ModelError: this is no network of scenescope, or its answer is no number everywhere.
        ImageError: these are no such images.
    """
    require_network(network)
    require_images(images, network)
    settings = settings or InferenceSettings()
    with eval_mode(network):
        prepared = network.prepare(images)
        if not settings.averages:
            return _at_scale(
                network, prepared, settings.scales[0], settings, partial(_logits, stretch=settings.stretch)
            )
        total: Tensor | None = None
        for scale in settings.scales:
            join = _sum_of_exponentials if settings.combine == "exp" else _mean_probabilities
            scores = join(network, prepared, scale, settings)
            total = scores if total is None else total + scores
        assert total is not None  # settings hold at least one scale
        return total / (total.sum(dim=1, keepdim=True) if settings.combine == "exp" else len(settings.scales))


def predict_labels(network: Model, images: Tensor, settings: InferenceSettings | None = None) -> Tensor:
    """Give every pixel of a batch of images a class: the largest of ``predict_logits``, with less time and memory.

    Where the settings ask for one look at the image in its own size, whole or through windows, logits of full size
    never exist.

    Args:
        images: B x 3 x H x W uint8 RGB on the network's device; as its rule gives them where it has one.

    Returns:
        B x H x W uint8.

    Raises:
        ModelError: this is no network of scenescope, or its answer is no number everywhere.
        ImageError: these are no such images.
    """
    require_network(network)
    require_images(images, network)
    settings = settings or InferenceSettings()
    height, width = images.shape[-2:]
    size = settings.size_at(settings.scales[0], height, width)
    drawn = not hasattr(network, "low_resolution") or _is_compiled(network)  # logits come in full size
    # Filled up with black, numbers in 0..1 would pass for prepared ones.
    padded = settings.border == "pad" and images.is_floating_point()
    if settings.averages or padded or size != (height, width) or (drawn and settings.window is None):
        # Several times as fast as argmax, which does not read the classes plane by plane.
        return predict_logits(network, images, settings).max(dim=1).indices.to(torch.uint8)
    with eval_mode(network):
        if settings.window is not None:
            return _windowed_labels(network, images, settings)
        assert not isinstance(network, ExportedModel)
        logits = network.low_resolution(network.prepare(images), stretch=settings.stretch).logits
    return resize_argmax(logits, size, network.cells(logits, size, stretch=settings.stretch))


def predict_windows(
    network: Model,
    size: tuple[int, int],
    settings: InferenceSettings,
    read: Callable[[slice], Tensor],
    take: Callable[[slice, slice, Tensor], None],
    wanted: Callable[[slice], bool],
) -> None:
    """Score an image that is too large to be held, through windows: the logits whose largest ``predict_labels`` gives.

    Args:
        size: height and width of the image.
        settings: with a window, and one look at the image in its own size.
        read: returns these rows of the image, 1 x C x h x W on the network's device; asked from the top, and rows that
            two rows of windows see twice.
        take: is given rows, columns and 1 x K x h x w, the sum of the logits of all windows that see these pixels;
            every pixel once, row of windows by row of windows from the left.
        wanted: whether the window with these columns, in the rows read last, is looked at at all.

    Raises:
        ModelError: this is no network of scenescope, its answer is no number everywhere, or ``require_windows``.
    """
    require_network(network)
    require_windows(settings)
    with eval_mode(network):
        _sum_windows(network, size, settings, read, take, wanted)


def require_windows(settings: InferenceSettings) -> None:
    """Refuse settings by which a map cannot be looked at part by part.

    Raises:
        ModelError: no window, or several looks.
    """
    if settings.window is None:
        raise ModelError("A map is looked at through windows; give their side, such as --window 512.")
    if settings.averages or settings.scales != (1.0,) or settings.base_size is not None:
        raise ModelError(
            "A map is looked at once, in its own size; leave --scales, --flip, --base-size and --protocol out."
        )


def windows_at_once(device: torch.device) -> int:
    """Return how many windows a device is given together."""
    return traits(device).windows


def window_starts(length: int, window: int, step: int, border: Border = "shift") -> list[int]:
    """Return where windows begin along a side of ``length`` pixels.

    The last one ends exactly at the border ("shift"), or begins a step after the one before and may reach past the
    border ("pad").
    """
    if length <= window:
        return [0]
    if border == "pad":
        return list(range(0, length - window + step, step))
    return [*range(0, length - window, step), length - window]


def _mean_probabilities(network: Model, images: Tensor, scale: float, settings: InferenceSettings) -> Tensor:
    """Return the probabilities of images in one scale, the mean over both directions with flip."""
    answer = partial(_logits, stretch=settings.stretch)
    probabilities = torch.softmax(_at_scale(network, images, scale, settings, answer), dim=1)
    if not settings.flip:
        return probabilities
    mirrored = _at_scale(network, images.flip(-1), scale, settings, answer).flip(-1)
    return (probabilities + torch.softmax(mirrored, dim=1)) / 2


def _sum_of_exponentials(network: Model, images: Tensor, scale: float, settings: InferenceSettings) -> Tensor:
    """Return exp(logits), with flip exp(logits + mirrored logits), formed window by window."""
    answer = partial(_exponentials, flip=settings.flip, stretch=settings.stretch)
    return _at_scale(network, images, scale, settings, answer)


def _at_scale(network: Model, images: Tensor, scale: float, settings: InferenceSettings, answer: _Answer) -> Tensor:
    """Return B x K x H x W answers at the size of the images, looked at in one scale."""
    height, width = images.shape[-2:]
    resized = _resize(network, images, settings.size_at(scale, height, width), settings)
    return _resize(network, _windowed(network, resized, settings, answer), (height, width), settings)


def _windowed_labels(network: Model, images: Tensor, settings: InferenceSettings) -> Tensor:
    """Return the labels of ``_windowed``, B x H x W uint8, without its logits of full size."""
    labels = torch.empty(len(images), *images.shape[-2:], dtype=torch.uint8, device=images.device)

    def take(rows: slice, columns: slice, sums: Tensor) -> None:
        # How many windows see a pixel is the same for all its classes: the largest sum is the largest mean.
        labels[:, rows, columns] = sums.max(dim=1).indices

    _sum_windows(network, images.shape[-2:], settings, lambda rows: images[..., rows, :], take)
    return labels


def _sum_windows(
    network: Model,
    size: tuple[int, ...],
    settings: InferenceSettings,
    read: Callable[[slice], Tensor],
    take: Callable[[slice, slice, Tensor], None],
    wanted: Callable[[slice], bool] = lambda _: True,
) -> None:
    """Hand over the logits of all windows that see a pixel, summed, piece by piece: once no further window reaches it.

    What is held: of the pixels a row of windows, of the logits one window and the rows that the next row of windows
    sees as well. See ``predict_windows``.
    """
    assert settings.window is not None
    window, (height, width) = settings.window, size
    tops = window_starts(height, window, settings.step, settings.border)
    lefts = window_starts(width, window, settings.step, settings.border)
    kept: Tensor | None = None  # the sums of the first rows of the next row of windows, B x K x h x W
    num_kept = 0
    deepest = max((min(top + window, height) - following for top, following in pairwise(tops)), default=0)

    def prepared_logits(parts: Tensor) -> Tensor:
        return _logits(network, network.prepare(parts), stretch=settings.stretch)

    for top, following in pairwise([*tops, height]):
        band = read(slice(top, min(top + window, height)))
        rows, done = band.shape[-2], following - top
        shape = (len(band), network.num_classes)
        if kept is None:
            kept = torch.empty(*shape, deepest, width, device=band.device)
        total = torch.zeros(*shape, rows, 0, device=band.device)  # of the columns that the window before saw as well
        answered = _in_row(network, band, settings, prepared_logits, wanted)
        for (left, next_left), (columns, answers) in zip(pairwise([*lefts, width]), answered, strict=True):
            before = total.shape[-1]
            sums = total.new_empty(*shape, rows, columns.stop - left)
            sums[..., :before] = total
            sums[..., num_kept:, before:] = 0
            sums[..., :num_kept, before:] = kept[..., :num_kept, left + before : columns.stop]
            if answers is not None:
                sums += answers
            take(slice(top, following), slice(left, next_left), sums[..., :done, : next_left - left])
            kept[..., : rows - done, left:next_left] = sums[..., done:, : next_left - left]
            total = sums[..., next_left - left :]
        num_kept = rows - done


def _windowed(network: Model, images: Tensor, settings: InferenceSettings, answer: _Answer) -> Tensor:
    """Return the answer to every window, averaged where they overlap."""
    if settings.window is None:
        return answer(network, images)
    height, width = images.shape[-2:]
    total: Tensor | None = None
    count = images.new_zeros(height, width)
    for top in window_starts(height, settings.window, settings.step, settings.border):
        rows = slice(top, top + settings.window)
        for columns, answers in _in_row(network, images[..., rows, :], settings, partial(answer, network)):
            assert answers is not None  # every window is wanted
            if total is None:
                total = answers.new_zeros(*answers.shape[:2], height, width)
            total[..., rows, columns] += answers
            count[rows, columns] += 1
    assert total is not None  # every side has at least one window
    return total / count


def _in_row(
    network: Model,
    band: Tensor,
    settings: InferenceSettings,
    answer: Callable[[Tensor], Tensor],
    wanted: Callable[[slice], bool] = lambda _: True,
) -> Iterator[tuple[slice, Tensor | None]]:
    """Yield the columns of each window in a row of windows and the answer to it; on a GPU several are asked at once.

    Args:
        wanted: whether the window of these columns is looked at; its answer is None where it is not.
    """
    assert settings.window is not None
    window, (height, width) = settings.window, band.shape[-2:]
    starts = window_starts(width, window, settings.step, settings.border)
    at_once = windows_at_once(band.device)
    for first in range(0, len(starts), at_once):
        columns = [slice(left, min(left + window, width)) for left in starts[first : first + at_once]]
        looked_at = [wanted(each) for each in columns]
        parts = [band[..., each] for each, looked in zip(columns, looked_at, strict=True) if looked]
        if settings.border == "pad":
            parts = [_fill(network, part, window) for part in parts]
        answers = iter(answer(torch.cat(parts)).chunk(len(parts)) if parts else ())
        for each, looked in zip(columns, looked_at, strict=True):
            yield each, next(answers)[..., :height, : each.stop - each.start] if looked else None


def _fill(network: Model, part: Tensor, window: int) -> Tensor:
    """Fill B x bands x h x w, uint8 or prepared, up to window x window with black pixels, below and on the right."""
    height, width = part.shape[-2:]
    black = torch.zeros(1, part.shape[1], 1, 1, dtype=torch.uint8, device=part.device)
    filled = (black if part.dtype == torch.uint8 else network.prepare(black)).repeat(len(part), 1, window, window)
    filled[..., :height, :width] = part
    return filled


def _is_compiled(network: Model) -> bool:
    """Tell whether ``torch.compile`` has been here: it compiles the call of a network, and no other method."""
    return hasattr(network, "_orig_mod") or getattr(network, "_compiled_call_impl", None) is not None


def _logits(network: Model, images: Tensor, *, stretch: bool) -> Tensor:
    output: SegmentationOutput = network(images, stretch=stretch)
    require_finite(output.logits)
    return output.logits.float()


def _exponentials(network: Model, images: Tensor, *, flip: bool, stretch: bool) -> Tensor:
    logits = _logits(network, images, stretch=stretch)
    if flip:
        logits = logits + _logits(network, images.flip(-1), stretch=stretch).flip(-1)
    # All classes of a pixel move alike.
    largest = logits.amax(dim=1, keepdim=True)
    return (logits - (largest - largest.clamp(-_MAX_EXPONENT, _MAX_EXPONENT))).exp()


def _resize(network: Model, images: Tensor, size: tuple[int, int], settings: InferenceSettings) -> Tensor:
    """Resize images or answers: by their outer edges, or as the network resizes where logits are stretched."""
    if images.shape[-2:] == size:
        return images
    align_corners = settings.stretch and network.align_corners
    return functional.interpolate(images, size, mode="bilinear", align_corners=align_corners)
