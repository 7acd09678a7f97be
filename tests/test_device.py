"""The one device policy, and that it is the only one."""

import ast
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import scenescope
from scenescope import device
from scenescope.device import (
    Mover,
    deterministic_operations,
    exact_float32,
    fast_arithmetic,
    fuses_attention,
    memory_format,
    num_readers,
    require_own_gpu,
    resolve_device,
    resolve_precision,
    traits,
    usable_threads,
)
from scenescope.errors import DeviceError

CPU, GPU, MPS = torch.device("cpu"), torch.device("cuda", 0), torch.device("mps")
SOURCE = Path(scenescope.__file__).parent


@pytest.fixture
def gpus(monkeypatch):
    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


def test_automatic_takes_a_gpu_where_there_is_one(gpus, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    gpus(0)
    assert resolve_device(None) == resolve_device("auto") == torch.device("cpu")
    gpus(2)
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", 0)


def test_each_process_of_a_launcher_takes_its_own_gpu(gpus, monkeypatch):
    gpus(2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("cuda") == torch.device("cuda", 1)
    assert resolve_device("cuda:0") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert resolve_device("auto") == torch.device("cuda", 0)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "meta", "cpu:1", "", "CUDA"])
def test_an_unknown_name_is_refused_with_the_known_ones(gpus, name):
    gpus(1)
    with pytest.raises(DeviceError, match=r"no device .*this machine has auto, cpu, cuda:0"):
        resolve_device(name)


def test_a_gpu_that_is_not_there_is_refused(gpus):
    gpus(0)
    with pytest.raises(DeviceError, match="cuda was asked for, but torch sees no CUDA device here"):
        resolve_device("cuda")
    gpus(1)
    with pytest.raises(DeviceError, match="no device cuda:3; this machine has auto, cpu, cuda:0"):
        resolve_device("cuda:3")


@pytest.mark.parametrize("instructions", [("avx2", "avx512_bf16"), ("amx_bf16",), ("neon", "bf16")])
def test_bfloat16_is_taken_where_it_is_multiplied(cpu_with: Callable[..., None], instructions: tuple[str]) -> None:
    cpu_with("avx2", "avx512_f")
    assert resolve_precision("auto", CPU) == "float32"
    assert resolve_precision("bfloat16", CPU) == "bfloat16"
    cpu_with(*instructions)
    assert resolve_precision("auto", CPU) == "bfloat16"
    assert resolve_precision("float32", CPU) == "float32"


def test_a_torch_that_does_not_tell_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto", CPU) == "float32"


def test_a_gpu_computes_in_bfloat16_where_it_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert resolve_precision("auto", GPU) == resolve_precision("auto", GPU, scaled=True) == "bfloat16"


def test_a_gpu_without_it_trains_in_float16_with_a_scaled_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert resolve_precision("auto", GPU, scaled=True) == "float16"
    assert resolve_precision("auto", GPU) == "float32"
    assert resolve_precision("auto", CPU, scaled=True) != "float16"  # hundreds of times slower


def names_of_devices(tree: ast.AST) -> list[str]:
    """Return where a module asks of what kind a device is: names of kinds, and torch's own modules of them."""
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in prose and isinstance(node.value, str):
            kind = node.value.partition(":")[0]
            found += [f"line {node.lineno}: {node.value!r}"] if kind in ("cuda", "mps") else []
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith(
            ("torch.cuda", "torch.mps", "torch.backends", "torch.xpu")
        ):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def test_no_other_file_names_a_device() -> None:
    files = [file for file in SOURCE.rglob("*.py") if file.name != "device.py"]
    found = {str(file.relative_to(SOURCE)): names_of_devices(ast.parse(file.read_text())) for file in files}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "planted",
    [
        'if tensor.device.type == "cuda": pass',
        'tensor.to("cuda:1")',
        "torch.cuda.synchronize()",
        "torch.backends.cudnn.benchmark = True",
        'KINDS = {"mps": 1}',
    ],
)
def test_a_planted_device_is_found(planted: str) -> None:
    assert names_of_devices(ast.parse(f'"""Nothing about cuda."""\n{planted}\n'))


def test_attention_is_fused_where_torch_has_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(kind: str, dtype: torch.dtype) -> bool:
        class Values:
            device = torch.device(kind)

        Values.dtype = dtype  # type: ignore[attr-defined]
        return fuses_attention(Values())  # type: ignore[arg-type]

    for supported in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, answer=supported: answer)
        assert [asked("cuda", dtype) for dtype in (torch.float32, torch.float16)] == [True, True]
        assert asked("cuda", torch.bfloat16) is supported
    assert not asked("cuda", torch.float64)
    assert not any(asked(kind, torch.float32) for kind in ("cpu", "mps"))


def test_channels_last_where_it_is_faster() -> None:
    plain = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, groups=2), torch.nn.Conv2d(1, 4, 1))
    depthwise = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, groups=4))
    last, first = torch.channels_last, torch.contiguous_format
    assert memory_format(plain, CPU, torch.float32) == first
    assert memory_format(depthwise, CPU, torch.float32) == memory_format(plain, CPU, torch.bfloat16) == last
    assert memory_format(plain, GPU, torch.float32) == memory_format(plain, GPU, torch.float16) == last
    assert memory_format(depthwise, MPS, torch.float32) == first


@pytest.mark.parametrize(
    ("cores", "processes", "on_cpu", "on_gpu"),
    [(1, 1, 1, 1), (2, 1, 1, 1), (8, 1, 2, 7), (64, 1, 2, 16), (64, 8, 2, 7)],
)
def test_readers_take_the_cores_that_would_idle(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, on_cpu: int, on_gpu: int
) -> None:
    monkeypatch.setattr(device, "num_cores", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert (num_readers(CPU), num_readers(GPU)) == (on_cpu, on_gpu)


def test_no_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "num_cores", lambda: 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert [usable_threads(number) for number in (1, 3, 64)] == [1, 3, 3]


def test_more_processes_than_gpus_are_refused_with_the_way_out(
    gpus: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    require_own_gpu(GPU)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    require_own_gpu(CPU)
    with pytest.raises(DeviceError, match=r"^4 processes .* has 2 GPUs and .* at most 2 \(--nproc-per-node=2\), or"):
        require_own_gpu(GPU)


def flags() -> tuple[bool, ...]:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return (
        torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32,
        matmul.allow_tf32,
    )  # fmt: skip


def test_flags_of_torch_hold_within_their_blocks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = flags()
    assert before == (False, False, False, True, False)
    with fast_arithmetic(GPU):
        assert flags() == (False, False, True, True, True)
    with exact_float32():
        assert flags() == (False, False, False, False, False)
    with deterministic_operations(GPU, True), fast_arithmetic(GPU):
        assert flags() == (True, True, False, True, False)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    for block in (fast_arithmetic(CPU), deterministic_operations(CPU, True), deterministic_operations(GPU, False)):
        with block:
            assert flags() == before
    with pytest.raises(KeyError), deterministic_operations(GPU, True):
        raise KeyError
    assert flags() == before


def test_tensors_move_in_the_layout_that_they_have() -> None:
    image = torch.randint(256, (2, 3, 4, 5), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    (moved,) = Mover(CPU)(image)
    assert torch.equal(moved, image)
    assert moved.is_contiguous(memory_format=torch.channels_last)


def test_an_unknown_kind_is_treated_as_the_plainest() -> None:
    assert traits("xpu") == traits("meta") == traits("mps")
    assert not traits("mps").queued
