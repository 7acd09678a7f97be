"""Which number format a device computes in."""

from collections.abc import Callable

import pytest
import torch
from scenescope.inference.precision import resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("instructions", [("avx2", "avx512_bf16"), ("amx_bf16",), ("neon", "bf16")])
def test_bfloat16_is_taken_where_it_is_multiplied(processor: Callable[..., None], instructions: tuple[str]) -> None:
    processor("avx2", "avx512_f")
    assert resolve_precision("auto", CPU) == "float32"
    assert resolve_precision("bfloat16", CPU) == "bfloat16"
    processor(*instructions)
    assert resolve_precision("auto", CPU) == "bfloat16"
    assert resolve_precision("float32", CPU) == "float32"


def test_a_torch_that_does_not_tell_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto", CPU) == "float32"


def test_a_gpu_computes_in_bfloat16_where_it_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert resolve_precision("auto", torch.device("cuda")) == "bfloat16"
