"""SANet: squeeze-and-attention heads on all four stages of a backbone.

Zhong et al., "Squeeze-and-Attention Networks for Semantic Segmentation", CVPR 2020, section 3. No code was released and
the paper leaves much open; each choice made here is an option (``SANetOptions``), with the
alternatives that the text allows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scenescope.attention.squeeze import SqueezeAttention
from scenescope.models.blocks import resize
from scenescope.models.fcn import FCNHead
from scenescope.models.network import Head
from scenescope.models.options import FCNOptions, SANetOptions
from scenescope.outputs import SegmentationOutput


class SANetHead(Head):
    """Four squeeze-and-attention heads, their fused mask, a dense head and a categorical one.

        Y_SAi  = conv(SA_i(stage i))                i = 1..4
        Y_mask = fusion of Y_SA1..Y_SA4             in training, or where it is the prediction
        Y_den  = FCN head of stage 4
        y_cat  = which classes the image shows    in training
        prediction = Y_den + Y_SA4

    The losses are those of equation 6: the mask weighs 1, the categorical one 0.2 (its mean over classes), the dense
    one 0.8; "main" is that of the answer, be it dense or the mask.

    Args:
        channels: widths of stages 1 to 4.
        num_classes: K.
        options: see SANetOptions.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, options: SANetOptions) -> None:
        super().__init__()
        fusion, dense, categorical = options.fusion, options.dense, options.categorical
        self.fusion, self.categorical, self.prediction = fusion, categorical, options.prediction
        self.dense_loss = options.dense_loss
        self.smallest = options.pool_ratio  # every stage has a whole square to squeeze
        # The first models of this package were trained with corners aligned in any case.
        self.align_corners = options.align_corners or options.upsampling == "stretched"
        self.loss_weights = {"main": 1.0}
        if dense:
            answer_is_mask = options.prediction == "mask"
            self.loss_weights = {"main": 1.0, "dense": 0.8} if answer_is_mask else {"main": 0.8, "mask": 1.0}
        if categorical != "none":
            self.loss_weights |= {"categorical": 0.2}
        self.attentions = nn.ModuleList(SqueezeAttention(width, options) for width in channels)
        widths = [module.out_channels for module in self.attentions if isinstance(module, SqueezeAttention)]
        # Without logits to fuse, at most those of stage 4 are of use.
        classified = (
            widths if fusion != "features" else widths[-1:] if dense and options.dense_loss == "dense+sa4" else []
        )
        self.classifiers = nn.ModuleList(nn.Conv2d(width, num_classes, kernel_size=1) for width in classified)
        if fusion != "sum":
            fused = len(widths) * num_classes if fusion == "logits" else sum(widths)
            self.mask = nn.Conv2d(fused, num_classes, kernel_size=1)
        self.dense = FCNHead(channels, num_classes, FCNOptions(dropout=options.dropout)) if dense else None
        if categorical in ("dense", "features"):
            self.presence = nn.Linear(num_classes if categorical == "dense" else sum(widths), num_classes)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return the logits of the answer from the features of stages 1 to 4, and in training what the losses see."""
        if not self.training:
            return SegmentationOutput(self._answer(stages), {})
        features = [module(stage) for module, stage in zip(self.attentions[:-1], stages[:-1], strict=True)]
        last, rows = self.attentions[-1](stages[-1], need_rows=True)
        features.append(last)
        mask = self._mask(features)
        if self.dense is None:
            return SegmentationOutput(mask, self._presence(features, None), (rows,))
        dense = self.dense(stages).logits
        seen = dense + self.classifiers[-1](features[-1]) if self.dense_loss == "dense+sa4" else dense
        answer, other = (mask, {"dense": seen}) if self.prediction == "mask" else (seen, {"mask": mask})
        return SegmentationOutput(answer, other | self._presence(features, dense), (rows,))

    def _answer(self, stages: Sequence[Tensor]) -> Tensor:
        """Return the logits of the prediction, and compute no more than they need."""
        if self.prediction == "mask":
            return self._mask([module(stage) for module, stage in zip(self.attentions, stages, strict=True)])
        assert self.dense is not None  # refused by the options
        dense: Tensor = self.dense(stages).logits
        if self.prediction == "dense":
            return dense
        fourth: Tensor = self.classifiers[-1](self.attentions[-1](stages[-1]))
        return dense + fourth

    def _mask(self, features: Sequence[Tensor]) -> Tensor:
        """Return Y_mask at the size of stage 1, from the output of the four attention modules."""
        size = features[0].shape[-2:]
        if self.fusion == "features":
            resized = [resize(each, size, align_corners=self.align_corners) for each in features]
            mask: Tensor = self.mask(torch.cat(resized, dim=1))
            return mask
        logits = [
            resize(classify(each), size, align_corners=self.align_corners)
            for classify, each in zip(self.classifiers, features, strict=True)
        ]
        return torch.stack(logits).sum(dim=0) if self.fusion == "sum" else self.mask(torch.cat(logits, dim=1))

    def _presence(self, features: Sequence[Tensor], dense: Tensor | None) -> dict[str, Tensor]:
        """Return y_cat, B x K, under its name, or nothing."""
        if self.categorical == "none":
            return {}
        if self.categorical == "features":
            pooled = torch.cat([each.mean(dim=(2, 3)) for each in features], dim=1)
        else:
            assert dense is not None  # refused by the options
            pooled = dense.mean(dim=(2, 3))
        return {"categorical": pooled if self.categorical == "pooled" else self.presence(pooled)}
