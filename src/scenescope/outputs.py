"""What a segmentation network returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class AttentionRows(NamedTuple):
    """What the rows of S are the softmax of: every position's query with every key.

    Attributes:
        query: B x D x h x w, one for each position.
        key: B x D x M, one for each of what they attend to.
        grids: sides of the grids whose M cells the keys are of, in order; empty where they are those of the positions.
    """

    query: Tensor
    key: Tensor
    grids: tuple[int, ...] = ()


class AttentionVectors(NamedTuple):
    """What says how alike positions are, where no keys do: row j is the softmax of -|z_j - z_i|^2 over i.

    Attributes:
        vectors: z, B x D x h x w, one for each position.
    """

    vectors: Tensor


class SegmentationOutput(NamedTuple):
    """The one return value of every network.

    Attributes:
        logits: B x K x H x W, at the size of the input image.
        auxiliary: further logits by name, of pixels B x K x H x W or of whole images B x K; empty in eval.
        attention: what the rows of every attention are made of, in training only: for the loss of the vote.
    """

    logits: Tensor
    auxiliary: dict[str, Tensor]
    attention: tuple[AttentionRows | AttentionVectors, ...] = ()
