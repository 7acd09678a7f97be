"""What a segmentation network returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class SegmentationOutput(NamedTuple):
    """The one return value of every network.

    Attributes:
        logits: B x K x H x W, at the size of the input image.
        auxiliary: further logits by name, of pixels B x K x H x W or of whole images B x K; empty in eval.
    """

    logits: Tensor
    auxiliary: dict[str, Tensor]
