"""What the benchmarks share: time of one thread, peak memory of a call, and the machine in words."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch


def interleaved(forms: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the median of the CPU seconds of each form, one thread, one form after the other in every round."""
    torch.set_num_threads(1)
    for form in forms.values():
        form()
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, form in forms.items():
            start = time.process_time()
            form()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function of a module gives in a process that has done nothing before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_memory(call: Callable[[], Any]) -> int:
    """Return the bytes by which resident memory grew at most during a call; Linux only, in a fresh process."""
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark becomes what is resident now
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def machine() -> str:
    """Describe CPU, memory, accelerator and torch in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())
    features = next((line.split() for line in lines if line.startswith("flags")), [])
    vectors = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in features), "")
    half = "bfloat16" if "avx512_bf16" in features else "no bfloat16"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no accelerator"
    return (
        f"{cpu} ({vectors}, {half}), {os.cpu_count()} cores, {memory:.0f} GiB, {accelerator};"
        f" torch {torch.__version__.split('+')[0]}."
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *rows])


def write_page(script: str, title: str, about: str | None, told: str) -> None:
    """Write a script's page: its docstring but for the first line, the machine and a table.

    What a person wrote below them on the page that is there, from the first "## " on, is kept.
    """
    page = Path(script).with_suffix(".md")
    kept = page.read_text().partition("\n## ")[1:] if page.exists() else ()
    explanation = (about or "").partition("\n\n")[2]
    page.write_text(f"# {title}\n\n{explanation}\n{machine()}\n\n{told}\n" + "".join(kept))
