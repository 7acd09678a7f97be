"""The one device policy: which device a name means, and what each kind of device is good at.

No other file asks of what kind a device is. Where two ways give the same numbers, the table below says which of them is
the fast one; what only some devices have (streams, generators, memory statistics) is used here alone.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from scenescope.errors import DeviceError

AUTOMATIC = "auto"
Precision = Literal["float32", "bfloat16", "float16"]

CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
"""torch's names for what multiplies bfloat16: on x86 CPUs the first two, on ARM the last."""
GPU_KINDS = ("cuda", "mps")
"""Those with random generators of their own."""
MAX_READERS = 16
"""Of one process: more than these no GPU eats."""


@dataclass(frozen=True)
class Traits:
    """What a kind of device is good at.

    Attributes:
        attention_rows: most rows of an attention map to form at a time; on a CPU more no longer help the products and
            leave the cache.
        attention_buffer: most numbers of an attention map that exist at a time.
        fused_attention: whether torch has a kernel for it that never forms the map.
        bands: whether resizing and arg-max are faster a band of rows at a time, in the cache, than each in one call.
        channels_last: number formats in which convolutions are faster with the channels of a pixel side by side.
        queued: whether work is queued, so that the host goes on meanwhile and looking at a number makes it wait.
        synchronized_norm: whether torch synchronizes batch norm over several of them.
        composed_depthwise: whether gradients of depthwise convolutions in bfloat16 are faster put together by us.
        windows: how many windows of an image to predict at once; a CPU is no faster with more than one.
        collectives: what carries sums over processes; small numbers that the host needs are summed on the host, so that
            no queue is waited for.
        deterministic: whether every operation gives the same bits each time without being asked to.
    """

    attention_rows: int = 4096
    attention_buffer: int = 2**26
    fused_attention: bool = False
    bands: bool = False
    channels_last: tuple[torch.dtype, ...] = ()
    queued: bool = False
    synchronized_norm: bool = False
    composed_depthwise: bool = False
    windows: int = 1
    collectives: str = "gloo"
    deterministic: bool = False


_HALVES = (torch.bfloat16, torch.float16)
_TRAITS = {
    "cpu": Traits(
        attention_rows=384,
        attention_buffer=2**23,
        bands=True,
        channels_last=_HALVES,
        composed_depthwise=True,
        deterministic=True,
    ),
    "cuda": Traits(
        fused_attention=torch.version.hip is None,  # AMD's kernel wants queries as wide as values
        channels_last=(*_HALVES, torch.float32),
        queued=True,
        synchronized_norm=True,
        windows=8,
        collectives="cpu:gloo,cuda:nccl",
    ),
}


def traits(device: torch.device | str) -> Traits:
    """Return what a kind of device is good at; of one that is not listed nothing is expected."""
    return _TRAITS.get(torch.device(device).type, Traits())


def resolve_device(name: str | torch.device | None = None) -> torch.device:
    """Return the device of a name: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    ``auto`` or None is the GPU where there is one, else the CPU. ``cuda`` without a number is, under a launcher of
    several processes, the GPU of this process.

    Raises:
        DeviceError: this machine has no such device.
    """
    if isinstance(name, torch.device):
        return name
    if name in (None, AUTOMATIC):
        return _cuda(None) if torch.cuda.is_available() else torch.device("cpu")
    matched = re.fullmatch(r"(cpu|mps|cuda)(?::(\d+))?", str(name))
    if matched is None or (matched[1] != "cuda" and matched[2] not in (None, "0")):
        raise DeviceError(f"There is no device {name!r}; {_available()}.")
    kind, number = matched[1], matched[2]
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(f"{name} was asked for, but torch sees no CUDA device here; {_available()}.")
        return _cuda(None if number is None else int(number))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"{name} was asked for, but this machine has none; {_available()}.")
    return torch.device(kind)


def _cuda(number: int | None) -> torch.device:
    count = torch.cuda.device_count()
    if number is None:
        # More processes than GPUs on one machine share them: fine for predictions, refused for training.
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % count)
    if number >= count:
        raise DeviceError(f"There is no device cuda:{number}; {_available()}.")
    return torch.device("cuda", number)


def _available() -> str:
    """Say which names are possible here."""
    return f"this machine has {', '.join([AUTOMATIC, *device_names()])}"


def device_names() -> list[str]:
    """Return the names of this machine's devices."""
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def described(name: str) -> str:
    """Return the name of a device with what a user should know of it."""
    if name == "cpu":
        return f"cpu: {torch.get_num_threads()} threads"
    return f"{name}: {torch.cuda.get_device_name(name)}" if name.startswith("cuda") else name


def require_own_gpu(device: torch.device) -> None:
    """Refuse more processes than GPUs on one machine: what adds up their gradients refuses it with riddles.

    Raises:
        DeviceError: naming both numbers.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.type == "cuda" and processes > torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceError(
            f"{processes} processes were started on this machine to train, but it has {count} GPU{'s'[: count - 1]} and"
            f" each needs its own; start at most {count} (--nproc-per-node={count}), or give --device cpu."
        )


def resolve_precision(
    asked: Literal["auto", "float32", "bfloat16", "float16"], device: torch.device, *, scaled: bool = False
) -> Precision:
    """Return the format to compute in; ``auto`` is bfloat16 where the device multiplies it, else float32.

    Args:
        scaled: losses are scaled, so that gradients in float16 do not vanish: then ``auto`` is float16 on GPUs that
            multiply only that.
    """
    if asked != "auto":
        return asked
    if supports_bfloat16(device):
        return "bfloat16"
    return "float16" if scaled and device.type == "cuda" else "float32"


def supports_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has instructions for bfloat16; without them it is several times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # An older torch, which does not tell, is taken for a CPU that has none.
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(name, False) for name in CPU_INSTRUCTIONS)
    return False


def fuses_attention(values: Tensor) -> bool:
    """Tell whether torch's kernel that never forms an attention map takes values of this format and device."""
    if not traits(values.device).fused_attention:
        return False
    if values.dtype == torch.bfloat16:
        return supports_bfloat16(values.device)
    return values.dtype in (torch.float32, torch.float16)


def memory_format(network: nn.Module, device: torch.device, dtype: torch.dtype) -> torch.memory_format:
    """Return the layout that a network's convolutions are fastest with.

    A CPU in float32 gains from channels last where there are depthwise convolutions, and loses by it where there are
    none (``benchmarks/layout.md``).
    """
    good = traits(device)
    channels_last = dtype in good.channels_last or (good.bands and _is_depthwise(network))
    return torch.channels_last if channels_last else torch.contiguous_format


def _is_depthwise(network: nn.Module) -> bool:
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return any(1 < each.groups == each.in_channels for each in convolutions)


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_readers(device: torch.device) -> int:
    """Return the number of processes that read images for a network: those of its cores that would idle.

    A CPU computes with its cores, and two readers feed it; a GPU leaves them all to the readers, shared by the
    processes of this machine.
    """
    cores = num_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(max(cores - 1, 1), MAX_READERS if traits(device).queued else 2)


def usable_threads(threads: int) -> int:
    """Return a number of threads as far as this machine has cores, or was told to use as many."""
    return min(threads, max(num_cores(), torch.get_num_threads()))


class Mover:
    """Brings tensors to a device: to a GPU from pinned memory, on a stream of its own, beside the computation."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream: Any = torch.cuda.Stream(device) if traits(device).queued else None  # type: ignore[no-untyped-call]

    def __call__(self, *tensors: Tensor) -> list[Tensor]:
        """Return the tensors on the device, in the layout that they have."""
        if self.stream is None:
            return [tensor.to(self.device) for tensor in tensors]
        with torch.cuda.stream(self.stream):
            moved = [tensor.pin_memory().to(self.device, non_blocking=True) for tensor in tensors]
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self.stream)
        for tensor in moved:
            tensor.record_stream(computing)  # so that its memory is not given away while it is read
        return moved


def nondeterministic(tensor: Tensor) -> bool:
    """Tell whether determinism is asked for and this tensor's device does not give it by itself."""
    return torch.are_deterministic_algorithms_enabled() and not traits(tensor.device).deterministic


@contextlib.contextmanager
def deterministic_operations(device: torch.device, asked: bool) -> Iterator[None]:
    """Within a ``with`` block, let a device give the same bits each time where that is asked; a CPU does so anyway.

    Operations that cannot raise torch's RuntimeError.
    """
    if traits(device).deterministic or not asked:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is formed
    before = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(True)
        with _cudnn(benchmark=False, deterministic=True):
            yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextlib.contextmanager
def fast_arithmetic(device: torch.device) -> Iterator[None]:
    """Within a ``with`` block, as for steps of one size: choose kernels by trying them, multiply float32 as TF32.

    TF32 has 10 bits of mantissa and is several times as fast. Where determinism is asked for, and on a CPU, nothing
    changes.
    """
    if not traits(device).queued or torch.are_deterministic_algorithms_enabled():
        yield
        return
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    try:
        matmul.allow_tf32 = True
        with _cudnn(benchmark=True, allow_tf32=True):
            yield
    finally:
        matmul.allow_tf32 = before


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Within a ``with`` block, multiply float32 with all its bits, on GPUs too; they keep 10 in convolutions else."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    try:
        matmul.allow_tf32 = False
        with _cudnn(allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before


def _cudnn(**changes: bool) -> contextlib.AbstractContextManager[None]:
    """Return torch's ``with`` block of cuDNN's flags; it would set those that are not named to defaults of its own."""
    names = ("enabled", "benchmark", "deterministic", "allow_tf32")
    present = {name: getattr(torch.backends.cudnn, name) for name in names}
    block: contextlib.AbstractContextManager[None] = torch.backends.cudnn.flags(**(present | changes))
    return block


def gpu_generators() -> dict[str, list[Tensor]]:
    """Return the states of the random generators of this machine's GPUs, by kind."""
    states = {}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = [torch.mps.get_rng_state()]
    return states


def set_gpu_generators(states: Mapping[str, Iterable[Tensor]]) -> None:
    """Set the generators of this machine's GPUs, as far as it has what ``gpu_generators`` returned."""
    here = gpu_generators()
    for number, state in enumerate(states.get("cuda", ())):
        if number < len(here.get("cuda", ())):
            torch.cuda.set_rng_state(state, number)
    for state in states.get("mps", ()):
        if "mps" in here:
            torch.mps.set_rng_state(state)


def meeting_place(backend: str) -> torch.device:
    """Return where a backend of ``torch.distributed`` wants tensors: NCCL moves only what is on a GPU."""
    return torch.device("cuda" if backend == "nccl" else "cpu")


def use(device: torch.device) -> None:
    """Make a GPU the one that this process means when it names none."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def finish(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if traits(device).queued:
        torch.cuda.synchronize(device)


def peak_memory(call: Callable[[], object], device: torch.device) -> int | None:
    """Return the bytes by which the memory of a GPU grows at most during a call; None for what is no such GPU."""
    if not traits(device).queued:
        return None
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
