"""Whether attention is at work: what it is paid to, and what becomes of a data set's score without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from scenescope.checkpoints.model_directory import require_classes
from scenescope.data.dataset import SegmentationDataset, seen_by
from scenescope.evaluation.attention_groups import AttentionGroups, groups_sentence
from scenescope.evaluation.attention_use import AttentionShares, AttentionUse
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.evaluation.scores import Scores
from scenescope.explore.knife import attention_cuts
from scenescope.explore.points import cell_labels
from scenescope.explore.trace import AttentionTrace, attend
from scenescope.inference.segmenter import SeenImage, Segmenter

AT_WORK = 0.005
"""Attention without which mIoU falls by less than this is asleep; without which it rises by as much, harmful."""


@dataclass(frozen=True)
class AttentionCheck:
    """What was found.

    Attributes:
        images: number of images that were looked at, each once and whole.
        shares: what position attention is paid to; None for a network without it.
        mean_iou: as the network is, 0..1.
        without: mean IoU with one attention cut, by what is cut.
        scales: the learned scales.
        groups: of SANet, what the attention in the head of each stage groups, see ``attention_groups``.
    """

    images: int
    shares: AttentionShares | None
    mean_iou: float
    without: dict[str, float]
    scales: dict[str, float]
    groups: dict[int, dict[str, float]] = field(default_factory=dict)

    def verdict(self, kind: str) -> str:
        """Return "at work", "asleep" or "harmful" for what was cut."""
        lost = self.mean_iou - self.without[kind]
        return "at work" if lost >= AT_WORK else "harmful" if lost <= -AT_WORK else "asleep"

    def sentences(self) -> list[str]:
        """Say of each attention in a sentence what it is worth, and of position attention where it looks."""
        said = []
        for kind, value in self.without.items():
            change = 100 * (value - self.mean_iou)
            text = (
                f"{kind.capitalize()} is {self.verdict(kind)}: without it mean IoU is {value:.4f} in place of"
                f" {self.mean_iou:.4f} ({change:+.1f} points)"
            )
            if self.shares is not None and kind == "position attention":
                text += (
                    f"; {self.shares.mean_own:.0%} of what a position attends to lies on its own class, which covers"
                    f" {self.shares.mean_area:.0%} ({self.shares.lift:.1f} times chance)"
                )
            said.append(f"{text}.")
        return said + [groups_sentence(stage, shares) for stage, shares in self.groups.items()]

    def to_json(self) -> dict[str, Any]:
        """Return the findings as JSON holds them."""
        without = {kind: {"mean_iou": value, "verdict": self.verdict(kind)} for kind, value in self.without.items()}
        return {
            "images": self.images,
            "mean_iou": self.mean_iou,
            "without": without,
            "scales": self.scales,
            "heads": {str(stage): shares for stage, shares in self.groups.items()},
            "position": None if self.shares is None else self.shares.to_json(),
        }


def check_attention(
    segmenter: Segmenter, dataset: SegmentationDataset, *, progress: Callable[[int, int], None] | None = None
) -> AttentionCheck:
    """Look at every image once, whole, and segment it again without each attention that the network has.

    Args:
        progress: called with the number of images done and in all.

    Raises:
        ModelError: the network has no attention, or another class count than the data set.
        DataError, ImageError: an image or mask is not fit; the message names the file.
    """
    require_classes(segmenter.form, dataset.classes, f"the data set {dataset.root or dataset.split}")
    dataset = seen_by(dataset, segmenter.band_rule, "the model")
    num_classes = len(dataset.classes)
    use = AttentionUse(num_classes)
    whole = ConfusionMatrix(num_classes)
    without: dict[str, ConfusionMatrix] = {}
    scales: dict[str, float] = {}
    groups: dict[int, AttentionGroups] = {}
    for index in range(len(dataset)):
        scene = dataset[index]
        trace = attend(segmenter, SeenImage(scene.image))
        cuts = attention_cuts(trace)
        if not cuts:
            raise trace.refusal("has no attention to check; danet, sanet, dranet and fcn_se have")
        scales = trace.scales
        truth = torch.from_numpy(scene.labels)[None]
        with torch.inference_mode():
            use.look(truth.to(segmenter.device), trace.network, trace.inputs)
            _group(trace, scene.labels, groups)
        whole.update(truth, torch.from_numpy(trace.labels)[None])
        for kind, cut in cuts.items():
            matrix = without.setdefault(kind, ConfusionMatrix(num_classes))
            matrix.update(truth, torch.from_numpy(trace.cut(cut).labels)[None])
        if progress is not None:
            progress(index + 1, len(dataset))
    names = dataset.classes.names
    return AttentionCheck(
        len(dataset),
        AttentionShares.from_sums(use, names),
        _mean_iou(whole, names),
        {kind: _mean_iou(matrix, names) for kind, matrix in without.items()},
        scales,
        {stage: each.shares() for stage, each in groups.items()},
    )


def _group(trace: AttentionTrace, labels: npt.NDArray[np.uint8], groups: dict[int, AttentionGroups]) -> None:
    """Add an image to what the heads of SANet group, stage by stage; nothing for other networks."""
    for stage, head in enumerate(trace.heads if "heads" in trace.kinds() else [], start=1):
        attention = torch.from_numpy(head.channels("attention"))
        truth = torch.from_numpy(cell_labels(labels, head.cells, attention.shape[-2:]))
        groups.setdefault(stage, AttentionGroups()).update(attention, truth)


def _mean_iou(matrix: ConfusionMatrix, names: tuple[str, ...]) -> float:
    return Scores.from_matrix(matrix, names).mean_iou or 0.0
