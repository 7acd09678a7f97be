"""Measure both memory layouts in float32 on a CPU, and write benchmarks/layout.md.

    python benchmarks/layout.py

What the device policy (`src/scenescope/device.py`) rests on. Times are CPU times of one thread, medians of calls
that take turns; a prediction is of 360 x 480 pixels, a step of two images of 192 x 256, both without reading.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from measure import interleaved, table, write_page

from scenescope.models.catalog import create_model
from scenescope.models.network import SegmentationNetwork

LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
NETWORKS = (("danet", "tf_efficientnet_lite0"), ("sanet", "tf_efficientnet_lite0"), ("danet", "resnet18"))


def predict(network: SegmentationNetwork, images: torch.Tensor) -> None:
    """Predict, as a network that is not trained does."""
    with torch.inference_mode():
        network.eval()(images)


def step(network: SegmentationNetwork, images: torch.Tensor) -> None:
    """Compute gradients of all weights."""
    network.train()(images).logits.square().mean().backward()


def main() -> None:
    """Measure and write the page."""
    rows = []
    for name, backbone in NETWORKS:
        network = create_model(name, num_classes=11, backbone=backbone, pretrained=False, output_stride=16)
        for what, call, size in (("prediction", predict, (1, 3, 360, 480)), ("step", step, (2, 3, 192, 256))):
            forms: dict[str, Callable[[], None]] = {
                layout: partial(
                    call,
                    copy.deepcopy(network).to(memory_format=form),
                    torch.rand(size).contiguous(memory_format=form),
                )
                for layout, form in LAYOUTS.items()
            }
            seconds = interleaved(forms, 9)
            first = next(iter(seconds.values()))
            rows += [
                [f"{name}, {backbone}", what, layout, f"{1000 * taken:.0f}", f"{taken / first:.2f}"]
                for layout, taken in seconds.items()
            ]
    write_page(__file__, "Memory layouts", __doc__, table(["network", "what", "layout", "ms", "time"], rows))


if __name__ == "__main__":
    main()
