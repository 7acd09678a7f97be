"""Measure position attention against the plain form (matrix, softmax, matrix) and write benchmarks/attention.md.

    python benchmarks/attention.py [--positions 4096 9216] [--device cuda] [--output benchmarks/attention.md]

The whole module at 512 channels: projections, attention, residual. On a CPU time is CPU time of one thread, and
peak memory that of a fresh process; on a GPU both are torch's own, other forms that torch has are measured too, and
bfloat16 is measured beside float32.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import in_fresh_process, interleaved, machine, peak_memory, table
from torch import Tensor, nn
from torch.nn import functional

from scenescope.attention.blockwise import blockwise_attention
from scenescope.attention.position import PositionAttention
from scenescope.device import supports_bfloat16
from scenescope.outputs import AttentionRows

CHANNELS = 512
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The form of the official code and of all toolkits."""
    weights = torch.softmax(torch.bmm(query.transpose(1, 2), key), dim=-1)
    return torch.bmm(value, weights.transpose(1, 2))


def sdpa(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Torch's own attention; on CUDA the memory-efficient kernel takes values wider than keys."""
    rows = (each.transpose(1, 2).unsqueeze(1).contiguous() for each in (query, key, value))
    return functional.scaled_dot_product_attention(*rows, scale=1.0).squeeze(1).transpose(1, 2)


def sdpa_in_heads(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Torch's own attention, the values cut into heads of 128, queries and keys padded with zeros to that width."""
    heads = value.shape[1] // 128
    queries, keys = (
        functional.pad(each.transpose(1, 2), (0, 128 - each.shape[1])).unsqueeze(1).expand(-1, heads, -1, -1)
        for each in (query, key)
    )
    values = value.unflatten(1, (heads, 128)).transpose(2, 3)
    attended = functional.scaled_dot_product_attention(queries, keys, values, scale=1.0)
    return attended.transpose(2, 3).flatten(1, 2)


FORMS: dict[str, Attend] = {"plain": plain, "blockwise": blockwise_attention}
CUDA_FORMS = FORMS | {"sdpa": sdpa, "sdpa in heads": sdpa_in_heads}
HALVED = ["bfloat16", "autocast"]
"""Blockwise on a CPU that multiplies bfloat16: weights and features in it, or float32 ones under autocast."""


class Module(nn.Module):
    """PositionAttention with another form of the attention itself."""

    def __init__(self, module: PositionAttention, form: Attend) -> None:
        super().__init__()
        self.module, self.form = module, form

    def forward(self, features: Tensor, *, need_rows: bool = False) -> Tensor | tuple[Tensor, AttentionRows]:
        """Return what PositionAttention returns."""
        module = self.module
        query, key, value = (layer(features).flatten(2) for layer in (module.query, module.key, module.value))
        if self.form is plain:  # as the official code writes it
            added = module.alpha * plain(query, key, value).view_as(features) + features
        else:
            added = torch.addcmul(features, module.alpha, self.form(query, key, value).view_as(features))
        return (added, AttentionRows(query.unflatten(2, features.shape[2:]), key)) if need_rows else added


def prepared(form: str, positions: int, device: str, dtype: torch.dtype) -> tuple[nn.Module, Tensor]:
    """Return the module with its attention awake, and its input, the same for every form."""
    torch.manual_seed(0)
    module = PositionAttention(CHANNELS)
    nn.init.constant_(module.alpha, 0.5)
    height = 2 ** ((positions - 1).bit_length() // 2)
    height = next(side for side in range(height, 0, -1) if positions % side == 0)
    features = torch.randn(1, CHANNELS, height, positions // height)
    ours = module if form in ("blockwise", *HALVED) else Module(copy.deepcopy(module), CUDA_FORMS[form])
    dtype = torch.bfloat16 if form == "bfloat16" else dtype
    return ours.to(device, dtype), features.to(device, dtype)


def call(form: str, positions: int, train: bool, device: str, dtype: torch.dtype) -> Callable[[], Tensor]:
    """Return a forward pass, or a forward and backward pass that gives the gradients of input and weights."""
    module, features = prepared(form, positions, device, dtype)
    mixed = torch.autocast(device, torch.bfloat16, enabled=form == "autocast")
    if not train:
        return mixed(torch.no_grad()(lambda: module(features)))
    leaves = [features.requires_grad_(), *module.parameters()]
    upstream = torch.randn_like(features)
    return lambda: torch.autograd.grad(mixed(module)(features), leaves, upstream)[0]


def cpu_peak(form: str, positions: int, train: bool) -> int:
    """Return the peak memory of one call; a small call before it loads what torch loads once."""
    torch.set_num_threads(1)
    call(form, 64, train, "cpu", torch.float32)()
    return peak_memory(call(form, positions, train, "cpu", torch.float32))


def on_cuda(form: str, positions: int, train: bool, dtype: torch.dtype) -> tuple[float, int]:
    """Return median seconds of ten calls and the peak memory of one beyond what was held before."""
    run = call(form, positions, train, "cuda", dtype)
    run()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before, seconds = torch.cuda.memory_allocated(), []
    for _ in range(10):
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), torch.cuda.max_memory_allocated() - before


def floor(positions: int) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Return the matrix products alone, in blocks, forwards and in training: what no exact form can be below."""
    query, key, value = torch.randn(64, 512), torch.randn(64, positions), torch.randn(CHANNELS, positions)
    weights, out = torch.rand(512, positions), torch.empty(CHANNELS, 512)
    rows, blocks = torch.empty(512, positions), positions // 512
    pointwise = torch.randn(2 * 64 + CHANNELS, CHANNELS)

    def forward() -> Tensor:
        pointwise @ value
        for _ in range(blocks):
            torch.mm(query.t(), key, out=rows)
            torch.mm(value, weights.t(), out=out)
        return out

    def training() -> Tensor:
        forward()
        for _ in range(blocks):
            torch.mm(query.t(), key, out=rows)
            torch.mm(out, weights)
            torch.mm(out.t(), value)
            torch.mm(key, weights.t())
            torch.mm(query, weights)
        pointwise.t() @ (pointwise @ value)
        return (pointwise @ value) @ value.t()

    return forward, training


def measure(positions: int, train: bool, device: str, dtype: torch.dtype, repeats: int) -> dict[str, tuple[float, int]]:
    """Return seconds and bytes of each form."""
    if device == "cuda":
        found = {}
        for form in CUDA_FORMS:
            try:
                found[form] = on_cuda(form, positions, train, dtype)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                print(f"{form} at {positions}: {str(error).splitlines()[0]}", file=sys.stderr)
        return found
    forms = [*FORMS, *(HALVED if supports_bfloat16(torch.device("cpu")) else [])]
    calls = {form: call(form, positions, train, device, dtype) for form in forms}
    seconds = interleaved(calls | {"products": floor(positions)[train]}, repeats)
    return {form: (seconds[form], in_fresh_process(cpu_peak, form, positions, train)) for form in forms} | {
        "products": (seconds["products"], 0)
    }


def main() -> None:
    """Measure, print a table and write the page with its plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, nargs="+", default=[4096, 9216, 16384, 32768])
    parser.add_argument(
        "--training-positions", type=int, nargs="+", help="forward + backward; like the others if not given"
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="the page to write; its plot lies beside it")
    arguments = parser.parse_args()
    rows, curves = [], {}
    for dtype in [torch.float32] if arguments.device == "cpu" else [torch.float32, torch.bfloat16]:
        for train in (False, True):
            for positions in (arguments.training_positions if train else None) or arguments.positions:
                found = measure(positions, train, arguments.device, dtype, arguments.repeats)
                curves[dtype, train, positions] = found
                for form, (seconds, peak) in found.items():
                    base, most = found.get("plain", (float("nan"), float("nan")))
                    rows.append([
                        str(dtype).removeprefix("torch."), "forward + backward" if train else "forward", str(positions),
                        form, f"{seconds:.3f}", f"{seconds / base:.2f}",
                        *(["", ""] if form == "products" else [f"{peak / 1e6:.0f}", f"{peak / most:.3f}"]),
                    ])  # fmt: skip
                    print(" ".join(rows[-1]), file=sys.stderr)
    header = ["format", "pass", "N", "form", "s", "time", "MB", "memory"]
    command = "python benchmarks/attention.py " + " ".join(sys.argv[1:])
    parts = ["# Position attention, 512 channels", f"    {command}", machine(), EXPLANATION, table(header, rows)]
    page = "\n\n".join(parts) + "\n"
    print(page)
    if arguments.output is not None:
        arguments.output.write_text(f"{page}\n![time and memory against N]({arguments.output.stem}.png)\n")
        draw(curves, arguments.output.with_suffix(".png"))


EXPLANATION = """\
Medians of interleaved calls; `time` and `memory` are relative to the plain form, which keeps the N x N matrix.
`products` are the matrix products of an exact form alone: no softmax, no residual. Where the CPU multiplies it,
`bfloat16` has weights and features in that format, and `autocast` multiplies float32 ones in it. Memory is what the
process grew by at most during a call."""


def draw(curves: dict, path: Path) -> None:  # type: ignore[type-arg]
    """Draw time and peak memory against N, forwards in full lines, in training dashed."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    dtype = next(iter(curves))[0]
    for form, color in (("plain", "tab:red"), ("blockwise", "tab:blue")):
        for train, style in ((False, "-"), (True, "--")):
            kept = {n: found[form] for (kind, passes, n), found in curves.items() if (kind, passes) == (dtype, train)}
            look = {"color": color, "linestyle": style, "marker": "o"}
            label = f"{form}, forward{' + backward' if train else ''}"
            axes[0].plot(list(kept), [seconds for seconds, _ in kept.values()], **look, label=label)
            axes[1].plot(list(kept), [peak / 2**30 for _, peak in kept.values()], **look)
    for each, title in zip(axes, ("seconds", "peak memory, GiB"), strict=True):
        each.set(title=title, xlabel="N, positions", xscale="log", yscale="log")
        each.set_xticks(sorted({n for _, _, n in curves}), [str(n) for n in sorted({n for _, _, n in curves})])
        each.minorticks_off()  # theirs would stand between and over the sizes
        each.grid(alpha=0.25)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
