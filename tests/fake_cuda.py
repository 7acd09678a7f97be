"""A GPU that is not there: torch's fake tensors, which have shapes, formats and devices, and no content.

They show what a GPU would be asked for, and refuse every look at a number, which is what a GPU is waited for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from scenescope.attention import blockwise


class Kernels(TorchDispatchMode):
    """Counts operators that compute; those that only look at memory in another way are free."""

    def __init__(self) -> None:
        super().__init__()
        self.started: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if not function.is_view and function.namespace in ("aten", "scenescope"):
            self.started[str(function)] += 1
        return function(*arguments, **(named or {}))


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let tensors that are made be fake ones of a GPU that multiplies bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)

    def kernel(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
        # What torch's function chooses where there is a GPU to ask.
        attended: Tensor = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, None, query.requires_grad, scale=scale
        )[0]
        return attended

    monkeypatch.setattr(blockwise.functional, "scaled_dot_product_attention", kernel)
    monkeypatch.setattr(Tensor, "backward", backward)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        yield


def backward(loss: Tensor) -> None:
    """Leave gradients in all leaves, as torch's engine would, which asks the driver for streams first."""
    gradients: dict[Any, dict[int, Tensor]] = {loss.grad_fn: {0: torch.ones_like(loss)}}
    for node in _sorted(loss.grad_fn):
        got = gradients.pop(node, {})
        if hasattr(node, "variable"):
            leaf = node.variable
            leaf.grad = got[0] if leaf.grad is None else leaf.grad + got[0]
            continue
        answer = node(*(got.get(number) for number in range(max(got, default=0) + 1)))
        answers = answer if isinstance(answer, tuple) else (answer,)
        for (following, number), gradient in zip(node.next_functions, answers, strict=False):
            if following is not None and gradient is not None:
                wanted = following._input_metadata[number]
                assert gradient.device == wanted.device
                gradient = gradient.sum_to_size(wanted.shape).to(wanted.dtype)
                sums = gradients.setdefault(following, {})
                sums[number] = gradient if number not in sums else sums[number] + gradient


def _sorted(root: Any) -> list[Any]:
    """Return the nodes of a graph, each before those that its gradients go to."""
    finished: list[Any] = []
    seen, stack = {root}, [(root, iter(root.next_functions))]
    while stack:
        node, following = stack[-1]
        for each, _ in following:
            if each is not None and each not in seen:
                seen.add(each)
                stack.append((each, iter(each.next_functions)))
                break
        else:
            finished.append(node)
            stack.pop()
    return finished[::-1]
