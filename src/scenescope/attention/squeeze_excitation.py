"""Squeeze-and-excitation: each channel weighed by what the whole image says.

Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, section 3; Zhong et al., "Squeeze-and-Attention Networks",
CVPR 2020, equations 2 and 3, whose networks have 4 hidden channels.
"""

from __future__ import annotations

from torch import Tensor, nn

from scenescope.attention.shapes import require_batch


class SqueezeExcitation(nn.Module):
    """Multiply each channel by a weight between 0 and 1.

    With B x C x H x W features X and their mean over positions:

        w = sigmoid(W2 ReLU(W1 mean(X)))         X_out = w * X

    Args:
        channels: C.
        hidden_channels: width between W1 and W2.
    """

    def __init__(self, channels: int, hidden_channels: int = 4) -> None:
        super().__init__()
        self.excitation = nn.Sequential(
            nn.Linear(channels, hidden_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_channels, channels),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape, B x C x H x W."""
        return self.weights(features)[:, :, None, None] * features

    def weights(self, features: Tensor) -> Tensor:
        """Return w, B x C, each from 0 to 1."""
        require_batch(features)
        weights: Tensor = self.excitation(features.mean(dim=(2, 3)))
        return weights
