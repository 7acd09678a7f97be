"""Scene segmentation with attention you can look into.

A lazy door (PEP 562): each public name is imported when it is first used, so that ``import scenescope`` loads
neither torch nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenescope.attention.channel import ChannelAttention
    from scenescope.attention.compact_channel import CompactChannelAttention
    from scenescope.attention.compact_position import CompactPositionAttention
    from scenescope.attention.position import PositionAttention
    from scenescope.attention.squeeze import SqueezeAttention
    from scenescope.attention.squeeze_excitation import SqueezeExcitation
    from scenescope.checkpoints.convert import convert
    from scenescope.checkpoints.model_directory import load_model, save_model
    from scenescope.errors import ScenescopeError
    from scenescope.evaluation.evaluator import evaluate
    from scenescope.explore.knife import Cut
    from scenescope.explore.trace import attend
    from scenescope.inference.fuse import optimize_for_inference
    from scenescope.inference.segmenter import Segmenter
    from scenescope.labels import Classes
    from scenescope.models.catalog import create_model
    from scenescope.outputs import SegmentationOutput

    __version__: str

__all__ = [
    "ChannelAttention",
    "Classes",
    "CompactChannelAttention",
    "CompactPositionAttention",
    "Cut",
    "PositionAttention",
    "ScenescopeError",
    "SegmentationOutput",
    "Segmenter",
    "SqueezeAttention",
    "SqueezeExcitation",
    "__version__",
    "attend",
    "convert",
    "create_model",
    "evaluate",
    "load_model",
    "optimize_for_inference",
    "save_model",
]

_ORIGINS = {
    "ChannelAttention": "scenescope.attention.channel:ChannelAttention",
    "Classes": "scenescope.labels:Classes",
    "CompactChannelAttention": "scenescope.attention.compact_channel:CompactChannelAttention",
    "CompactPositionAttention": "scenescope.attention.compact_position:CompactPositionAttention",
    "Cut": "scenescope.explore.knife:Cut",
    "PositionAttention": "scenescope.attention.position:PositionAttention",
    "ScenescopeError": "scenescope.errors:ScenescopeError",
    "SegmentationOutput": "scenescope.outputs:SegmentationOutput",
    "Segmenter": "scenescope.inference.segmenter:Segmenter",
    "SqueezeAttention": "scenescope.attention.squeeze:SqueezeAttention",
    "SqueezeExcitation": "scenescope.attention.squeeze_excitation:SqueezeExcitation",
    "attend": "scenescope.explore.trace:attend",
    "convert": "scenescope.checkpoints.convert:convert",
    "create_model": "scenescope.models.catalog:create_model",
    "evaluate": "scenescope.evaluation.evaluator:evaluate",
    "load_model": "scenescope.checkpoints.model_directory:load_model",
    "optimize_for_inference": "scenescope.inference.fuse:optimize_for_inference",
    "save_model": "scenescope.checkpoints.model_directory:save_model",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("scenescope")
    elif name in _ORIGINS:
        module, _, attribute = _ORIGINS[name].partition(":")
        value = getattr(importlib.import_module(module), attribute)
    else:
        raise AttributeError(f"module 'scenescope' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
