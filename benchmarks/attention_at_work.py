"""Whether the attention of trained DANets does anything, and write benchmarks/attention_at_work.md.

    python benchmarks/attention_at_work.py CAMVID RUN_OR_MODEL [RUN_OR_MODEL ...]

Reads how the scales of each run grew, alpha of position and beta of channel attention, and on val what its last model
weighs: how many positions or channels one attends to (the exponential of a row's entropy: 1 is one alone, all of them a
plain mean), the share of position attention on the own class beside that of the area (`evaluate --attention`), how much
attention adds (the norm of what it adds by that of what it is added to), and the mIoU when a scale is set to 0
afterwards.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import table, write_page
from torch import Tensor, nn

from scenescope.attention.channel import ChannelAttention
from scenescope.attention.position import PositionAttention
from scenescope.checkpoints.model_directory import LoadedModel, load_model
from scenescope.data.catalog import open_dataset
from scenescope.data.dataset import SegmentationDataset
from scenescope.evaluation.attention_use import AttentionShares, AttentionUse
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.scores import Scores
from scenescope.training.log import read_log

HEADER = ["run", "scale", "after 1/4", "1/2", "all", "one attends to", "own class", "adds", "mIoU", "scale 0"]


def position_map(attention: PositionAttention, features: Tensor) -> Tensor:
    """Return the N x N map of position attention of one image."""
    return attention.rows(features, torch.arange(features[0, 0].numel()))[0]


def channel_map(attention: ChannelAttention, features: Tensor) -> Tensor:
    """Return the C x C map of channel attention of one image."""
    return attention.map(features)[0]


def watch(attention: nn.Module, maps: Callable[[Any, Tensor], Tensor], seen: list[tuple[float, int, float]]) -> Any:
    """Let a module note, for each image, how many one attends to, of how many, and how much it adds."""

    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        (features,) = inputs
        weights = maps(module, features)
        attended = torch.exp(torch.special.entr(weights).sum(dim=-1)).mean().item()
        seen.append((attended, weights.shape[-1], ((output - features).norm() / features.norm()).item()))

    return attention.register_forward_hook(note)


def score(model: LoadedModel, val: SegmentationDataset, use: AttentionUse | None = None) -> float:
    """Return the mIoU on val in percent."""
    return 100 * (Scores.from_matrix(evaluate(model.network, val, attention=use), model.classes.names).mean_iou or 0)


def rows(run: Path, val: SegmentationDataset) -> list[list[str]]:
    """Return a row for each attention of a run's last model."""
    is_run = (run / "log.jsonl").is_file()
    model = load_model(run / "last" if is_run else str(run))
    log = [row for row in read_log(run / "log.jsonl") if "loss" in row] if is_run else []
    found: list[tuple[str, str, nn.Parameter, list[tuple[float, int, float]]]] = []
    watching = []
    for module in model.network.modules():
        if isinstance(module, PositionAttention):
            found.append(("alpha", "alpha", module.alpha, []))
            watching.append(watch(module, position_map, found[-1][-1]))
        elif isinstance(module, ChannelAttention):
            found.append(("beta", f"beta, {module.form}", module.beta, []))
            watching.append(watch(module, channel_map, found[-1][-1]))
    use = AttentionUse(len(model.classes))
    trained = score(model, val, use)
    shares = AttentionShares.from_sums(use, model.classes.names)
    for each in watching:
        each.remove()
    told = []
    for key, name, scale, seen in found:
        kept = scale.item()
        scale.data.zero_()
        without = score(model, val)
        scale.data.fill_(kept)
        attended, of, added = (statistics.mean(column) for column in zip(*seen, strict=True))
        growth = [f"{log[round((len(log) - 1) * part)][key]:+.3f}" for part in (0.25, 0.5)] if log else ["", ""]
        own = "" if key != "alpha" or shares is None else f"{shares.mean_own:.0%} ({shares.mean_area:.0%})"
        used = [f"{attended:.1f} of {of:.0f}", own, f"{added:.1%}"]
        told.append([run.name, name, *growth, f"{kept:+.3f}", *used, f"{trained:.2f}", f"{without:.2f}"])
    return told


def main() -> None:
    """Read the runs and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path, help="folder with train/ and val/")
    parser.add_argument("runs", nargs="+", type=Path)
    arguments = parser.parse_args()
    val = open_dataset("camvid", str(arguments.camvid), "val")
    told = table(HEADER, [row for run in arguments.runs for row in rows(run, val)])
    write_page(__file__, "Attention at work", __doc__, told)
    print(told)


if __name__ == "__main__":
    main()
