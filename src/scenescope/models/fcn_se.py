"""FCN-SE: the dilated FCN with squeeze-and-excitation on stage 4, a yardstick of SANet.

Zhong et al., "Squeeze-and-Attention Networks for Semantic Segmentation", CVPR 2020, Table 3. The paper says "FCN with
SE modules" and that their hidden layer has 4 channels; where they sit it does not say.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from scenescope.attention.squeeze_excitation import SqueezeExcitation
from scenescope.backbones.build import create_backbone
from scenescope.models.fcn import FCNHead
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput


class FCNSEHead(nn.Module):
    """Squeeze-and-excitation of stage 4, then the head of FCN."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.1, hidden_channels: int = 4) -> None:
        super().__init__()
        self.squeeze_excitation = SqueezeExcitation(in_channels, hidden_channels)
        self.fcn = FCNHead(in_channels, num_classes, dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 4 from the features of stages 1 to 4."""
        output: SegmentationOutput = self.fcn([self.squeeze_excitation(stages[-1])])
        return output


def fcn_se(
    num_classes: int,
    backbone: str = "resnet50",
    *,
    pretrained: bool = False,
    output_stride: int = 8,
    multi_grid: Sequence[int] | None = None,
    align_corners: bool = True,
    hidden_channels: int = 4,
    dropout: float = 0.1,
) -> SegmentationNetwork:
    """Build FCN-SE; see create_backbone for the arguments."""
    stages = create_backbone(backbone, output_stride=output_stride, multi_grid=multi_grid, pretrained=pretrained)
    return SegmentationNetwork(
        stages,
        FCNSEHead(stages.channels[-1], num_classes, dropout, hidden_channels),
        num_classes=num_classes,
        align_corners=align_corners,
    )
