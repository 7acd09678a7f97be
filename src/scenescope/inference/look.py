"""One forward pass that keeps what was seen on the way: by the head, and by every module of attention."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor, nn

from scenescope.attention.channel import ChannelAttention
from scenescope.attention.compact_channel import CompactChannelAttention
from scenescope.attention.compact_position import CompactPositionAttention
from scenescope.attention.position import PositionAttention
from scenescope.attention.squeeze import SqueezeAttention
from scenescope.attention.squeeze_excitation import SqueezeExcitation
from scenescope.models.network import SegmentationNetwork

ATTENTION = (
    PositionAttention,
    ChannelAttention,
    SqueezeAttention,
    SqueezeExcitation,
    CompactPositionAttention,
    CompactChannelAttention,
)
"""The modules whose input is kept."""

_hooking = threading.Lock()


@dataclass
class Kept:
    """What a pass left behind.

    Attributes:
        inputs: of every module of attention, in the number format of its weights.
        stages: features of stages 1 to 4, as the head got them.
        images: what the backbone was given: enlarged and filled up.
    """

    inputs: dict[nn.Module, Tensor] = field(default_factory=dict)
    stages: list[Tensor] = field(default_factory=list)
    images: Tensor | None = None


@contextlib.contextmanager
def inputs_kept(network: SegmentationNetwork) -> Iterator[Kept]:
    """Give what a network's attention and head are given in this thread within a ``with`` block.

    Modules are shared by all threads, and so are their hooks: each keeps the passes of its own thread alone.
    """
    kept = Kept()
    thread = threading.get_ident()

    def keep(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if threading.get_ident() == thread:
            # Under autocast features are bfloat16 and weights float32; what is asked later runs without autocast.
            features = arguments[0]
            kept.inputs[module] = features.to(next(module.parameters(), features).dtype)

    def keep_stages(module: nn.Module, arguments: tuple[Tensor, ...], output: list[Tensor]) -> None:
        if threading.get_ident() == thread:
            kept.images, kept.stages = arguments[0], list(output)

    with _hooking:  # torch numbers hooks without a lock
        hooks = [
            module.register_forward_pre_hook(keep) for module in network.modules() if isinstance(module, ATTENTION)
        ]
        hooks.append(network.backbone.register_forward_hook(keep_stages))
    try:
        yield kept
    finally:
        with _hooking:
            for hook in hooks:
                hook.remove()
