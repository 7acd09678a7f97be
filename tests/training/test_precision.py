"""Which number format a device computes in."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scenescope.training.loop import Training
from scenescope.training.precision import resolve_precision
from tests.training.test_processes import Notes

CPU = torch.device("cpu")


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that pretends to a processor with these instructions and no others."""

    def pretend(*instructions: str) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(instructions, True), raising=False)

    return pretend


@pytest.mark.parametrize("instructions", [("avx2", "avx512_bf16"), ("amx_bf16",), ("neon", "bf16")])
def test_bfloat16_is_taken_where_it_is_multiplied(processor: Callable[..., None], instructions: tuple[str]) -> None:
    processor("avx2", "avx512_f")
    assert resolve_precision("auto", CPU) == "float32"
    processor(*instructions)
    assert resolve_precision("auto", CPU) == "bfloat16"
    assert resolve_precision("float32", CPU) == "float32"


def test_a_torch_that_does_not_tell_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto", CPU) == "float32"


def test_a_slow_format_is_told_and_obeyed(
    processor: Callable[..., None], tiny: Callable[..., Training], tmp_path: Path
) -> None:
    processor("avx2")
    notes = Notes()
    assert tiny(tmp_path, progress=notes, precision="bfloat16").precision == "bfloat16"
    assert notes.notes == ["cpu has no bfloat16 arithmetic; train.precision=float32 is faster."]
    notes = Notes()
    assert tiny(tmp_path, progress=notes, precision="auto").precision == "float32"
    assert notes.notes == []


def test_a_resumed_run_keeps_its_format_on_another_processor(
    processor: Callable[..., None], tiny: Callable[..., Training], tmp_path: Path
) -> None:
    processor("avx512_bf16")
    tiny(tmp_path, steps=2, precision="auto").run()
    processor("avx2")
    resumed = tiny(tmp_path, steps=2, precision="auto")
    resumed.resume(tmp_path / "checkpoints" / "step-00000002")
    assert resumed.precision == "bfloat16"
