"""EncNet: what kind of scene an image shows decides which channels count.

Zhang et al., "Context Encoding for Semantic Segmentation", CVPR 2018, section 3 and figure 2, with the head of
PyTorch-Encoding, the authors' own code; a baseline of both papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from scenescope.errors import ModelError
from scenescope.models.blocks import classifier, conv_norm_relu
from scenescope.models.network import Head
from scenescope.models.options import EncNetOptions
from scenescope.outputs import SegmentationOutput


class Encoding(nn.Module):
    """Tell by how much, and in which direction, an image's features miss each of M learned codewords.

    With B x C x N features x (N = H*W), codewords d_m and their factors s_m:

        a_im = softmax_m(s_m |x_i - d_m|^2)               which codeword position i belongs to
        e_m  = sum_i a_im (x_i - d_m)                     sum over positions

    The factors start between -1 and 0, so near codewords weigh more; the paper writes -s_m. Distances and softmax are
    computed in float32 whatever the number format around them.

    Args:
        channels: C.
        num_codewords: M, at least 1.

    Raises:
        ModelError: fewer codewords.
    """

    def __init__(self, channels: int, num_codewords: int = 32) -> None:
        super().__init__()
        if num_codewords < 1:
            raise ModelError(f"num_codewords={num_codewords} is not possible; give at least 1, such as 32.")
        bound = (num_codewords * channels) ** -0.5
        self.codewords = nn.Parameter(torch.empty(num_codewords, channels).uniform_(-bound, bound))
        self.factors = nn.Parameter(torch.empty(num_codewords).uniform_(-1, 0))

    def forward(self, features: Tensor) -> Tensor:
        """Return e in float32, B x M x C, from B x C x H x W features."""
        with torch.autocast(features.device.type, enabled=False):
            positions = features.flatten(2).transpose(1, 2).float()  # B x N x C
            codewords = self.codewords.float()  # M x C
            # The squares and the sum written out, so that no B x N x M x C differences exist.
            distances = (
                positions.square().sum(dim=2, keepdim=True)
                - 2 * positions @ codewords.T
                + codewords.square().sum(dim=1)
            )  # B x N x M
            assigned = torch.softmax(self.factors.float() * distances, dim=2)  # B x N x M
            return assigned.transpose(1, 2) @ positions - assigned.sum(dim=1)[..., None] * codewords


class EncNetHead(Head):
    """A 3 x 3 convolution on stage 4, its channels weighed by the encoded scene, dropout and a classifier.

    With X the convolved features, C = C4/4 wide:

        e = mean_m(ReLU(norm(Encoding(conv(X)))))         B x C, the mean over codewords
        Z = ReLU(X + sigmoid(W e) * X)                    the classifier's input
        y = V e                                           B x K, which classes the image shows, in training

    Args:
        channels: widths of stages 1 to 4.
        num_classes: K.
        options: see EncNetOptions.
    """

    loss_weights = MappingProxyType({"presence": 0.2})  # the paper's SE-loss

    def __init__(self, channels: Sequence[int], num_classes: int, options: EncNetOptions) -> None:
        super().__init__()
        in_channels, inner, num_codewords = channels[-1], channels[-1] // 4, options.num_codewords
        self.conv = conv_norm_relu(in_channels, inner, kernel_size=3)
        self.encoding_in = conv_norm_relu(inner, inner, kernel_size=1)
        self.encoding = Encoding(inner, num_codewords)
        self.norm = nn.BatchNorm1d(num_codewords)
        self.gate = nn.Linear(inner, inner)
        self.presence = nn.Linear(inner, num_classes)
        self.classifier = classifier(inner, num_classes, options.dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 4 from the features of stages 1 to 4, and in training presence."""
        features = self.conv(stages[-1])
        scene = self.scene(features)
        weights = torch.sigmoid(self.gate(scene))[:, :, None, None]
        weighed = torch.relu(features + weights * features)
        return SegmentationOutput(self.classifier(weighed), {"presence": self.presence(scene)} if self.training else {})

    def scene(self, features: Tensor) -> Tensor:
        """Return e, B x C, from B x C x h x w convolved features."""
        encoded = self.encoding(self.encoding_in(features)).to(features.dtype)  # B x M x C
        return torch.relu(self.norm(encoded)).mean(dim=1)
