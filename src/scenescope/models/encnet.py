"""EncNet: what kind of scene a picture shows decides which channels count.

Zhang et al., "Context Encoding for Semantic Segmentation", CVPR 2018, section 3 and figure 2, with the head of
PyTorch-Encoding, the authors' own code; a yardstick of both papers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scenescope.backbones.build import create_backbone
from scenescope.errors import ModelError
from scenescope.models.blocks import classifier, conv_norm_relu
from scenescope.models.fcn import auxiliary_fcn_head
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput


class Encoding(nn.Module):
    """Tell by how much, and in which direction, a picture's features miss each of M learned codewords.

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


class EncNetHead(nn.Module):
    """A 3 x 3 convolution on stage 4, its channels weighed by the encoded scene, dropout and a classifier.

    With X the convolved features, C = C4/4 wide:

        e = mean_m(ReLU(norm(Encoding(conv(X)))))         B x C, the mean over codewords
        Z = ReLU(X + sigmoid(W e) * X)                    the classifier's input
        y = V e                                           B x K, which classes the picture shows, in training

    Args:
        in_channels: C4, the width of stage 4.
        num_classes: K.
        num_codewords: M, see Encoding.
        dropout: probability of dropping a channel before the classifier.
    """

    def __init__(self, in_channels: int, num_classes: int, num_codewords: int = 32, dropout: float = 0.1) -> None:
        super().__init__()
        inner = in_channels // 4
        self.conv = conv_norm_relu(in_channels, inner, kernel_size=3)
        self.encoding_in = conv_norm_relu(inner, inner, kernel_size=1)
        self.encoding = Encoding(inner, num_codewords)
        self.norm = nn.BatchNorm1d(num_codewords)
        self.gate = nn.Linear(inner, inner)
        self.presence = nn.Linear(inner, num_classes)
        self.classifier = classifier(inner, num_classes, dropout)

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


def encnet(
    num_classes: int,
    backbone: str = "resnet50",
    *,
    pretrained: bool = False,
    output_stride: int = 8,
    multi_grid: Sequence[int] | None = None,
    align_corners: bool = True,
    auxiliary_head: bool = True,
    num_codewords: int = 32,
    dropout: float = 0.1,
) -> SegmentationNetwork:
    """Build EncNet; see EncNetHead and create_backbone for the arguments.

    The loss of presence (the paper's SE-loss) weighs 0.2, that of the stage-3 head 0.4.
    """
    stages = create_backbone(backbone, output_stride=output_stride, multi_grid=multi_grid, pretrained=pretrained)
    return SegmentationNetwork(
        stages,
        EncNetHead(stages.channels[-1], num_classes, num_codewords, dropout),
        num_classes=num_classes,
        align_corners=align_corners,
        auxiliary_head=auxiliary_fcn_head(stages.channels[2], num_classes, dropout) if auxiliary_head else None,
        loss_weights={"presence": 0.2} | ({"stage3": 0.4} if auxiliary_head else {}),
    )
