"""FCN-SE: the dilated FCN with squeeze-and-excitation on stage 4, a baseline of SANet.

Zhong et al., "Squeeze-and-Attention Networks for Semantic Segmentation", CVPR 2020, Table 3. The paper says "FCN with
SE modules" and that their hidden layer has 4 channels; where they sit it does not say.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from scenescope.attention.squeeze_excitation import SqueezeExcitation
from scenescope.models.fcn import FCNHead
from scenescope.models.network import Head
from scenescope.models.options import FCNOptions, FCNSEOptions
from scenescope.outputs import SegmentationOutput


class FCNSEHead(Head):
    """Squeeze-and-excitation of stage 4, then the head of FCN."""

    def __init__(self, channels: Sequence[int], num_classes: int, options: FCNSEOptions) -> None:
        super().__init__()
        self.squeeze_excitation = SqueezeExcitation(channels[-1], options.hidden_channels)
        self.fcn = FCNHead(channels, num_classes, FCNOptions(dropout=options.dropout))

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 4 from the features of stages 1 to 4."""
        output: SegmentationOutput = self.fcn([self.squeeze_excitation(stages[-1])])
        return output
