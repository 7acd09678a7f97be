"""SANet: squeeze-and-attention heads on all four stages of a backbone.

Zhong et al., "Squeeze-and-Attention Networks for Semantic Segmentation", CVPR 2020, section 3. No code was released and
the paper leaves much open; each choice made here is an argument, with the alternatives that the text allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from scenescope.attention.squeeze import Activation, Added, Pool, SqueezeAttention, Upsampling
from scenescope.backbones.build import create_backbone
from scenescope.errors import ModelError, nearest
from scenescope.models.blocks import resize
from scenescope.models.fcn import FCNHead
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput

Fusion = Literal["logits", "features", "sum"]
Categorical = Literal["dense", "features", "pooled", "none"]
Prediction = Literal["dense+sa4", "dense", "mask"]
DenseLoss = Literal["dense+sa4", "dense"]


class SANetHead(nn.Module):
    """Four squeeze-and-attention heads, their fused mask, a dense head and a categorical one.

        Y_SAi  = conv(SA_i(stage i))                i = 1..4
        Y_mask = fusion of Y_SA1..Y_SA4             in training, or where it is the prediction
        Y_den  = FCN head of stage 4
        y_cat  = which classes the picture shows    in training
        prediction = Y_den + Y_SA4

    Args:
        channels: widths of stages 1 to 4.
        num_classes: K.
        fusion: what makes the mask: the four "logits" or the four "features" concatenated, then a 1 x 1 convolution; or
            the "sum" of the logits.
        dense: have the dense head; without it the mask is the prediction (the ablation of Table 1).
        categorical: what makes y_cat: the spatial mean of "dense" logits and a linear layer, that of the four
            "features" and a linear layer, the mean of the dense logits as they are ("pooled"), or "none".
        prediction: which logits are the answer.
        dense_loss: which logits the dense loss sees. With "dense" and a fusion that mixes classes, nothing makes
            channel k of Y_SA4 mean class k, though it is added to the answer.
        align_corners: how logits or features of the stages are resized to stage 1; with ``upsampling="stretched"``,
            as the first models of this package were trained, corners are aligned in any case.
        dropout: of the dense head.
        attention: further arguments of SqueezeAttention.

    Raises:
        ModelError: an unknown choice, or one that needs the dense head without it.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        *,
        fusion: Fusion = "logits",
        dense: bool = True,
        categorical: Categorical = "dense",
        prediction: Prediction = "dense+sa4",
        dense_loss: DenseLoss = "dense+sa4",
        align_corners: bool = True,
        dropout: float = 0.1,
        attention: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("fusion", fusion, get_args(Fusion)),
            ("categorical", categorical, get_args(Categorical)),
            ("prediction", prediction, get_args(Prediction)),
            ("dense_loss", dense_loss, get_args(DenseLoss)),
        ):
            if value not in known:
                raise ModelError(f"{name}={value!r} is not known.{nearest(value, known)} Known: {', '.join(known)}.")
        if not dense and (categorical in ("dense", "pooled") or prediction != "mask"):
            raise ModelError(
                "dense=false leaves no dense logits; give prediction=mask and categorical=features or none."
            )
        if fusion == "features" and dense_loss == "dense" and prediction == "dense+sa4":
            raise ModelError("fusion=features with dense_loss=dense trains no Y_SA4; give prediction=dense or mask.")
        self.fusion, self.categorical, self.prediction, self.dense_loss = fusion, categorical, prediction, dense_loss
        self.align_corners = align_corners or (attention or {}).get("upsampling") == "stretched"
        self.attentions = nn.ModuleList(SqueezeAttention(width, **(attention or {})) for width in channels)
        widths = [module.out_channels for module in self.attentions if isinstance(module, SqueezeAttention)]
        # Without logits to fuse, at most those of stage 4 are of use.
        classified = widths if fusion != "features" else widths[-1:] if dense and dense_loss == "dense+sa4" else []
        self.classifiers = nn.ModuleList(nn.Conv2d(width, num_classes, kernel_size=1) for width in classified)
        if fusion != "sum":
            fused = len(widths) * num_classes if fusion == "logits" else sum(widths)
            self.mask = nn.Conv2d(fused, num_classes, kernel_size=1)
        self.dense = FCNHead(channels[-1], num_classes, dropout) if dense else None
        if categorical in ("dense", "features"):
            self.presence = nn.Linear(num_classes if categorical == "dense" else sum(widths), num_classes)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return the logits of the answer from the features of stages 1 to 4, and in training what the losses see."""
        if not self.training:
            return SegmentationOutput(self._answer(stages), {})
        features = [module(stage) for module, stage in zip(self.attentions, stages, strict=True)]
        mask = self._mask(features)
        if self.dense is None:
            return SegmentationOutput(mask, self._presence(features, None))
        dense = self.dense(stages).logits
        seen = dense + self.classifiers[-1](features[-1]) if self.dense_loss == "dense+sa4" else dense
        answer, other = (mask, {"dense": seen}) if self.prediction == "mask" else (seen, {"mask": mask})
        return SegmentationOutput(answer, other | self._presence(features, dense))

    def _answer(self, stages: Sequence[Tensor]) -> Tensor:
        """Return the logits of the prediction, and compute no more than they need."""
        if self.prediction == "mask":
            return self._mask([module(stage) for module, stage in zip(self.attentions, stages, strict=True)])
        assert self.dense is not None  # refused by the constructor
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
            assert dense is not None  # refused by the constructor
            pooled = dense.mean(dim=(2, 3))
        return {"categorical": pooled if self.categorical == "pooled" else self.presence(pooled)}


def sanet(
    num_classes: int,
    backbone: str = "resnet50s.gluon_in1k",
    *,
    pretrained: bool = False,
    output_stride: int = 8,
    multi_grid: Sequence[int] | None = None,
    align_corners: bool = True,
    variant: str = "V2",
    reduction: int = 4,
    groups: int = 2,
    pool: Pool = "average",
    pool_ratio: int = 8,
    activation: Activation = "relu",
    added: Added = "attention",
    upsampling: Upsampling = "bilinear",
    activation_last: bool = False,
    fusion: Fusion = "logits",
    dense: bool = True,
    categorical: Categorical = "dense",
    prediction: Prediction = "dense+sa4",
    dense_loss: DenseLoss = "dense+sa4",
    dropout: float = 0.1,
) -> SegmentationNetwork:
    """Build SANet; see SANetHead, SqueezeAttention and create_backbone for the arguments.

    The losses are those of equation 6: the mask weighs 1, the categorical one 0.2 (its mean over classes), the dense
    one 0.8; "main" is that of the answer, be it dense or the mask. The default backbone has the stem that the counts
    of Table 6 show.
    """
    stages = create_backbone(backbone, output_stride=output_stride, multi_grid=multi_grid, pretrained=pretrained)
    head = SANetHead(
        stages.channels,
        num_classes,
        fusion=fusion,
        dense=dense,
        categorical=categorical,
        prediction=prediction,
        dense_loss=dense_loss,
        align_corners=align_corners,
        dropout=dropout,
        attention={
            "variant": variant,
            "reduction": reduction,
            "groups": groups,
            "pool": pool,
            "ratio": pool_ratio,
            "activation": activation,
            "added": added,
            "upsampling": upsampling,
            "activation_last": activation_last,
        },
    )
    weights = {"main": 1.0}
    if dense:
        weights = {"main": 1.0, "dense": 0.8} if prediction == "mask" else {"main": 0.8, "mask": 1.0}
    network = SegmentationNetwork(
        stages,
        head,
        num_classes=num_classes,
        align_corners=align_corners,
        loss_weights=weights | ({} if categorical == "none" else {"categorical": 0.2}),
    )
    network.smallest = pool_ratio * output_stride  # every stage has a whole square to squeeze
    return network
