"""What every network asks of a GPU: its formats, its devices, how many kernels, and never a look at a number."""

from __future__ import annotations

import pytest
import torch

from scenescope.cells import Cells
from scenescope.inference.resize_argmax import resize_argmax
from scenescope.losses import SegmentationLoss
from scenescope.models.catalog import MODELS, create_model
from scenescope.outputs import AttentionRows, AttentionVectors, SegmentationOutput
from tests.fake_cuda import Kernels, fake_cuda

__all__ = ["fake_cuda"]
SIZE = (64, 96)


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_forward_loss_and_gradients(name: str, dtype: torch.dtype) -> None:
    network = create_model(name, num_classes=5, backbone="resnet10t", pretrained=False, output_stride=16)
    images = torch.zeros(2, 3, *SIZE, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(2, *SIZE, dtype=torch.uint8)
    votes = 0.5 if name in ("danet", "dranet", "sanet") else 0.0
    loss = SegmentationLoss(
        torch.ones(5, device="cpu"),
        0.3,
        network.loss_weights,
        dice=1.0,
        lovasz=1.0,
        attention=votes,
        grid=network.grid,
    )
    inside: set[tuple[torch.device, torch.dtype]] = set()
    attention = [module for module in network.modules() if type(module).__module__.startswith("scenescope.attention")]
    for module in (network.backbone, network.head, *attention):
        module.register_forward_hook(lambda module, given, output: inside.update(formats(handed_on(output))))
    with Kernels() as forward:
        prepared = network.prepare(images)
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            output = network(prepared)
        total = loss(output, labels, torch.ones(3))["total"]
    with Kernels() as backward:
        total.backward()
    assert prepared.is_contiguous(memory_format=torch.channels_last)
    device = torch.device("cuda", 0)
    assert inside == {(device, dtype)}  # what a network hands on, it hands on in the format it computes in
    assert output.logits.shape == (2, 5, *SIZE)
    assert set(formats(output[:2])) == {(device, torch.float32)}
    assert (total.device, total.dtype) == (device, torch.float32)
    assert all(parameter.grad is not None for parameter in network.parameters())
    parts = len([module for module in network.modules() if not list(module.children())])
    # A few for each layer, with their casts, and the losses.
    assert forward.started.total() < 5 * parts + 300, forward.started.most_common(10)
    assert backward.started.total() < 6 * parts + 300, backward.started.most_common(10)


@pytest.mark.usefixtures("fake_cuda")
def test_labels_of_an_image_are_two_kernels_and_not_hundreds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenescope.inference.resize_argmax.require_finite", lambda logits: None)
    logits = torch.zeros(1, 19, 128, 256)
    with Kernels() as kernels:
        labels = resize_argmax(logits, (1024, 2048), Cells.where_they_look(8, (0, 0)))
    assert (labels.shape, labels.dtype, labels.device.type) == ((1, 1024, 2048), torch.uint8, "cuda")
    assert kernels.started.total() <= 4, kernels.started


def handed_on(output: object) -> object:
    """Return what the next layer gets, without the rows for the loss of the vote."""
    if isinstance(output, SegmentationOutput):
        return output[:2]
    return (
        output[0] if isinstance(output, tuple) and isinstance(output[-1], AttentionRows | AttentionVectors) else output
    )


def formats(output: object) -> list[tuple[torch.device, torch.dtype]]:
    """Return device and format of every tensor in an output."""
    if isinstance(output, torch.Tensor):
        return [(output.device, output.dtype)]
    if not isinstance(output, (dict, tuple, list)):
        return []
    parts = output.values() if isinstance(output, dict) else output
    return [found for part in parts for found in formats(part)]
