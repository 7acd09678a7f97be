"""Channel attention: every channel attends to every channel.

Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019, section 3.3 and equations 3 and 4.
"""

from __future__ import annotations

import math
from typing import get_args

import torch
from torch import Tensor, nn

from scenescope.attention.options import ChannelForm
from scenescope.attention.shapes import require_batch
from scenescope.errors import ModelError


class ChannelAttention(nn.Module):
    """Add to each channel all channels, weighted by their similarity. There is no convolution inside.

    With B x C x N features A (N = H*W) and the Gram matrix G = A A^T:

        x_ji = softmax_i(-G_ji)  (form "official")   or   softmax_i(G_ji)  (form "paper", equation 3)
        x_ji = softmax_i(-G_ji / sqrt(N))  (form "scaled", of neither)
        E_j  = beta * sum_i x_ji A_i + A_j           beta learned, starts at 0

    The released code computes softmax(rowmax(G) - G), which equals softmax(-G): channels most similar to j get
    the least weight. All published weights and all other toolkits use that form, so it is the default. G sums
    over N products and overflows float16, so it and the softmax are float32 whatever the number format around.

    Energies that sum over N products are so far apart that nearly all weight is on one channel and hardly a gradient
    comes through; "scaled" divides them as Vaswani et al. (2017), section 3.2.1, divide theirs
    (``benchmarks/ablations.md`` tells what comes of it).

    Args:
        form: "official", "paper" or "scaled".

    Raises:
        ModelError: another form.
    """

    def __init__(self, form: ChannelForm = "official") -> None:
        super().__init__()
        if form not in get_args(ChannelForm):
            raise ModelError(f"Channel attention form {form!r} is not known; choose 'official', 'paper' or 'scaled'.")
        self.form = form
        self.beta = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape, B x C x H x W."""
        weights, flat = self.map(features), features.flatten(2)  # B x C x C, B x C x N
        attended = weights.to(flat.dtype) @ flat  # B x C x N
        return self.beta.to(attended.dtype) * attended.reshape(features.shape) + features

    def map(self, features: Tensor) -> Tensor:
        """Return the B x C x C attention map X in float32; every row sums to 1."""
        return torch.softmax(self.energies(features), dim=-1)

    def energies(self, features: Tensor) -> Tensor:
        """Return what X is the softmax of, B x C x C in float32."""
        require_batch(features)
        with torch.autocast(features.device.type, enabled=False):
            flat = features.flatten(2).float()
            gram = flat @ flat.transpose(1, 2)
            if self.form == "scaled":
                gram = gram / math.sqrt(flat.shape[-1])
            return gram if self.form == "paper" else -gram

    def extra_repr(self) -> str:
        """Show the form when the module is printed."""
        return f"form={self.form!r}"
