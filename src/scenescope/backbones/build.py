"""Backbones of timm with output stride and multi-grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import timm
import torch
from timm.models import adapt_input_conv
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from scenescope.backbones.lite import FIRST_LAYER, lite_weights_installed, load_lite_state
from scenescope.backbones.probe import Probed, channels_first, create_stages, pad_valid_layers, probe
from scenescope.errors import ModelError, first_line, nearest

OUTPUT_STRIDES = (8, 16, 32)

Statistics = tuple[float, ...]


class Backbone(nn.Module):
    """A timm network cut into four stages.

    Attributes:
        channels: width of stages 1 to 4.
        strides: stride of stages 1 to 4.
        mean: per band, in units of [0, 1]: what its ImageNet weights expect.
        std: likewise.
        multiple: sides of images are to be multiples of this, the stride of stage 4 or more.
        only_multiples: whether a multiple plus 1, as ``align_corners`` wants it, is no side for it.
    """

    multiple = 1
    only_multiples = False

    def __init__(
        self, stages: nn.Module, mean: Statistics, std: Statistics, *, multiple: int, only_multiples: bool
    ) -> None:
        super().__init__()
        self.stages = stages
        information = cast(Any, stages).feature_info
        self.channels: tuple[int, ...] = tuple(information.channels())
        self.strides: tuple[int, ...] = tuple(information.reduction())
        self.mean = mean
        self.std = std
        self.multiple = multiple
        self.only_multiples = only_multiples

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features of stages 1 to 4, B x C x h x w each, from normalized images B x bands x H x W."""
        return channels_first(self.stages, self.stages(images))


def create_backbone(
    name: str,
    *,
    output_stride: int = 8,
    multi_grid: Sequence[int] | None = None,
    pretrained: bool = False,
    in_channels: int = 3,
) -> Backbone:
    """Build any timm network that gives features at four stages, the last at the output stride.

    Strides beyond the output stride become dilation (stage 3: 1, 2, 2, ...; stage 4: 2, 4, 4 at output stride 8;
    the first block of a stage keeps the dilation before it, as in the official DANet code).

    Args:
        name: timm's name, which also chooses the stem: ``resnet50`` (7 x 7), ``resnet50c.gluon_in1k`` (V1c),
            ``resnet50s.gluon_in1k`` (deep, 128 wide), ``resnet50d`` (V1d).
        output_stride: 8, 16 or 32; networks that cannot be dilated take their own only, mostly 32.
        multi_grid: dilation of each block of the last stage, repeated as needed, such as (4, 8, 16); ResNets only.
        pretrained: load ImageNet weights, from a package of the extra ``lite`` where one is installed, else
            from timm's hub.
        in_channels: bands of an image. With other than three, weights of the first layer are those of RGB, repeated
            and scaled by 3 / in_channels, or summed for one (timm's ``adapt_input_conv``); mean and deviation repeat
            likewise, and are those of gray for one.

    Raises:
        ModelError: unknown name, a network without four stages or that stride, or of one size of images only,
            weights that cannot be had.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise ModelError(f"Output stride {output_stride} is not possible; choose 8, 16 or 32.")
    if not timm.is_model(name):
        # timm.is_model also refuses an unknown weights tag, the part behind the dot.
        known = timm.list_models() + timm.list_models(pretrained=True)
        raise ModelError(
            f"Backbone {name!r} is not one of timm's networks.{nearest(name, known)} timm.list_models() lists them all."
        )
    from_package = pretrained and lite_weights_installed(name)
    probed = probe(name, output_stride)
    stages = _create_stages(name, probed, pretrained and not from_package, in_channels)
    if from_package:
        # The feature network has no classifier and, in the EfficientNets, no last 1 x 1 convolution.
        wanted = stages.state_dict().keys()
        learnt = {key: value for key, value in load_lite_state(name).items() if key in wanted}
        learnt[FIRST_LAYER] = adapt_input_conv(in_channels, learnt[FIRST_LAYER])
        stages.load_state_dict(learnt)
    if multi_grid is not None:
        set_multi_grid(stages, multi_grid, name)
    weights = timm.get_pretrained_cfg(name)
    mean = weights.mean if weights is not None else timm.data.IMAGENET_DEFAULT_MEAN
    std = weights.std if weights is not None else timm.data.IMAGENET_DEFAULT_STD
    mean, std = _for_bands(mean, in_channels), _for_bands(std, in_channels)
    return Backbone(stages, mean, std, multiple=probed.multiple, only_multiples=probed.only_multiples)


def _for_bands(colors: Sequence[float], in_channels: int) -> Statistics:
    """Numbers of red, green and blue for so many bands, as the weights of the first layer are repeated."""
    if in_channels == 1:
        return (sum(colors) / len(colors),)
    return tuple(colors[band % len(colors)] for band in range(in_channels))


def set_multi_grid(stages: nn.Module, dilations: Sequence[int], name: str) -> None:
    """Set the dilation of the 3 x 3 convolutions in each block of a ResNet's last stage.

    Raises:
        ModelError: the network is not a ResNet, or a dilation is below 1.
    """
    blocks = list(getattr(stages, "layer4", []))
    if not blocks or not all(isinstance(block, BasicBlock | Bottleneck) for block in blocks):
        raise ModelError(f"Multi-grid is defined for ResNets; {name!r} is none. Leave multi_grid out.")
    if not dilations or min(dilations) < 1:
        raise ModelError(f"Multi-grid dilations {list(dilations)} are not possible; give whole numbers of at least 1.")
    for index, block in enumerate(blocks):
        for convolution in (module for module in block.modules() if isinstance(module, nn.Conv2d)):
            if convolution.kernel_size == (3, 3):
                dilation = dilations[index % len(dilations)]
                convolution.dilation = convolution.padding = (dilation, dilation)


def _create_stages(name: str, probed: Probed, pretrained: bool, in_channels: int) -> nn.Module:
    # Said only where it has to be: not every network of timm takes the keyword.
    bands = {} if in_channels == 3 else {"in_chans": in_channels}
    try:
        stages = create_stages(name, pretrained=pretrained, **probed.keywords, **bands)
    except Exception as error:
        # The hub's client has many kinds of errors for one cause: no weights could be had.
        if pretrained:
            raise _no_weights(name, error) from error
        if bands:
            raise ModelError(
                f"Backbone {name!r} cannot be built for images of {in_channels} bands ({first_line(error)}); choose"
                " another, such as resnet50."
            ) from error
        raise
    if probed.padded:
        pad_valid_layers(stages)
    return stages


def _no_weights(name: str, error: Exception) -> ModelError:
    return ModelError(
        f"The ImageNet weights of {name!r} could not be downloaded ({type(error).__name__}: {first_line(error)})."
        " Connect to the network, or pip install 'scenescope[lite]' and use backbone tf_efficientnet_lite0,"
        " or start from a model of yours with train.init_from=DIR, or from random weights with"
        " model.pretrained=false."
    )


def count_parameters(module: nn.Module) -> int:
    """Return the number of learned parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def norm_layers(module: nn.Module) -> list[nn.Module]:
    """Return every batch-norm layer, timm's included."""
    return [layer for layer in module.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]
