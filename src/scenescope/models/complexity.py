"""What a network weighs: its parameters, and the multiplications of one image."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from scenescope.attention.blockwise import OPERATOR
from scenescope.backbones.build import count_parameters, norm_layers

Network = TypeVar("Network", bound=nn.Module)
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


@dataclass(frozen=True)
class Complexity:
    """Parameters of a network and multiply-accumulate operations (MACs) of one image.

    Attributes:
        parameters: learned numbers, those that only training uses included.
        macs: of a prediction: convolutions, linear layers and matrix products, those of attention included.
        macs_as_published: as the papers' tables count, with what only training runs: convolutions and linear layers
            with their bias, 2 for each number that a batch norm sees, 1 for each that a ReLU or a pooling layer sees;
            what is not a layer, such as the products of attention and resizing, is left out.
    """

    parameters: int
    macs: int
    macs_as_published: int


def complexity(create: Callable[[], nn.Module], height: int, width: int) -> Complexity:
    """Count what the network that ``create`` builds needs for one image; nothing is computed or held in memory.

    Zhong et al., "Squeeze-and-Attention Networks", CVPR 2020, Table 6, was counted at 480 x 480 with 21 classes.
    """
    published = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal published
        published += _as_published(layer, inputs[0], output)

    with without_memory(create) as network, torch.no_grad():
        network.eval()
        images = torch.empty(1, getattr(network, "in_channels", 3), height, width)
        with FlopCounterMode(display=False, custom_mapping={OPERATOR: _attention_flops}) as counter:
            network(images)
        network.train()
        for norm in norm_layers(network):
            norm.eval()  # in training it refuses an image that is pooled to one position
        for layer in network.modules():
            if not list(layer.children()):
                layer.register_forward_hook(add)
        network(images)
    # The counter takes a multiplication and its addition for two.
    return Complexity(count_parameters(network), counter.get_total_flops() // 2, published)


@contextlib.contextmanager
def without_memory(create: Callable[[], Network]) -> Iterator[Network]:
    """Give what ``create`` builds with tensors that have a size and no memory, as have those made meanwhile."""
    # Built on meta, since some networks read numbers from tensors while they are built, which fake ones have not.
    with torch.device("meta"):
        network = create()
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield network.to_empty(device="cpu")


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """Return two for each multiplication of blockwise attention, as the counter does for torch's own operators."""
    batch, width, positions = query
    return 2 * batch * positions * key[2] * (width + value[1])


def _as_published(layer: nn.Module, features: Tensor, output: Tensor) -> int:
    if isinstance(layer, nn.Conv2d):
        each = math.prod(layer.kernel_size) * layer.in_channels // layer.groups + (layer.bias is not None)
        return each * output.numel()
    if isinstance(layer, nn.Linear):
        return (layer.in_features + (layer.bias is not None)) * output.numel()
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        return 2 * features.numel()
    if isinstance(layer, nn.ReLU):
        return output.numel()
    return features.numel() if isinstance(layer, POOLS) else 0
