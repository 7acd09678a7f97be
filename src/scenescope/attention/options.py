"""What attention modules can be told, without torch, so that a recipe is read before torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scenescope.config import Count

ChannelForm = Literal["official", "paper", "scaled"]


@dataclass(frozen=True)
class SqueezeOptions:
    """The open choices of squeeze-and-attention; the paper leaves most of them open (docs/paper-versus-code.md)."""

    variant: Literal["V1", "V2", "V3"] = "V2"
    """The convolutions, a key of ``VARIANTS`` in ``squeeze.py``."""
    reduction: Count = 4
    """The reduced width is C divided by this."""
    groups: Count = 2
    """Of the first convolution of both channels, and of the second where the variant says so."""
    pool: Literal["average", "max"] = "average"
    """"average" (the figures, the equations and the text) or "max" (the paragraph on the implementation)."""
    pool_ratio: Count = 8
    """Side of the pooled squares; where features are smaller, they are one square."""
    activation: Literal["relu", "sigmoid"] = "relu"
    """sigma, "relu" as the paper defines it, or "sigmoid"."""
    added: Literal["attention", "main"] = "attention"
    """What is added at the end, "attention" as printed or "main", as a residual block would."""
    upsampling: Literal["bilinear", "nearest", "stretched"] = "bilinear"
    """"bilinear" or "nearest", each square where it lies; or "stretched" bilinearly over features of any size with
    corners aligned, which moves squares by up to half a one."""
    activation_last: bool = False
    """Upsample first and apply sigma then, against the printed order."""
