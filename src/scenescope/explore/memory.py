"""What a cut leaves as it was is computed once: parts of a network that remember their last answer.

A cut changes what some part is given, and with it all that follows; what comes before, and the other branch, are given
the very tensors of the cut before. Nobody has to know which parts these are: a part that is given the same tensors
again, the same objects and not equal ones, gives the same answer again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from torch import nn

from scenescope.models.network import SegmentationNetwork


def remembering_parts(network: SegmentationNetwork) -> dict[nn.Module, nn.Module]:
    """Return for each part of the head and of the refinement a copy that remembers; its weights are shared."""
    return {part: remembering(part) for whole in (network.head, network.refinement) for part in _parts(whole)}


def remembering(module: nn.Module) -> nn.Module:
    """Return a copy of a module that answers as it did when it is given the same tensors, with the same weights.

    It shares the weights, and computes anew when they were written to since (torch counts). Several threads may ask.
    """
    remembered: tuple[list[Any], list[int], Any] | None = None

    def forward(*given: Any, **wanted: Any) -> Any:
        nonlocal remembered
        asked, versions = [*_flat(given), *wanted.items()], _versions(module)
        last = remembered
        if last is None or last[1] != versions or not _same(last[0], asked):
            remembered = last = (asked, versions, module.forward(*given, **wanted))
        return last[2]

    copied = copy.copy(module)
    copied.__dict__["forward"] = forward
    return copied


def _parts(whole: nn.Module | None) -> Iterator[nn.Module]:
    """Yield the parts that a head names; within them a ReLU in place would write into what a norm remembers."""
    for part in whole.children() if whole is not None else ():
        yield from _parts(part) if isinstance(part, nn.ModuleList) else [part]


def _flat(given: tuple[Any, ...]) -> Iterator[Any]:
    for each in given:
        if isinstance(each, list | tuple):
            yield from each
        else:
            yield each


def _same(before: list[Any], now: list[Any]) -> bool:
    def same(one: Any, other: Any) -> bool:
        return one is other or (isinstance(one, tuple) and one == other)  # a tuple is an option and its value

    return len(before) == len(now) and all(map(same, before, now))


def _versions(module: nn.Module) -> list[int]:
    weights = [*module.parameters(), *module.buffers()]
    return [0 if weight.is_inference() else weight._version for weight in weights]
