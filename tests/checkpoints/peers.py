"""The networks of other code, written out as functions of an image and of weights under the names in their checkpoints.

Nothing here is taken from the library: layers, order and names are those of the fact sheets of these networks. A
weight that is asked for the first time is drawn, so that one call makes a checkpoint of random weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor

BOTTLENECKS = {50: (3, 4, 6, 3)}
PLAIN = (1, 1, 2, 4)
"""Dilation of the stages of a network at output stride 8; the first block of a stage keeps the one before it."""


class Weights:
    """Random weights by name; a name gets its weight when it is first used."""

    def __init__(self, seed: int = 0) -> None:
        self.state: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, key: str, *shape: int, around: float = 0.0, spread: float = 0.1) -> Tensor:
        if key not in self.state:
            self.state[key] = around + spread * (2 * torch.rand(shape, generator=self.generator) - 1)
        return self.state[key]

    def conv(
        self, x: Tensor, key: str, outputs: int, size: int = 1, *, bias: bool = False, groups: int = 1, **how: int
    ) -> Tensor:
        inputs = x.shape[1] // groups
        spread = (6 / (inputs * size * size)) ** 0.5  # keeps the variance
        weight = self.draw(f"{key}.weight", outputs, inputs, size, size, spread=spread)
        padding = how.get("dilation", 1) * (size // 2)
        offset = self.draw(f"{key}.bias", outputs) if bias else None
        return functional.conv2d(x, weight, offset, padding=padding, groups=groups, **how)

    def norm(self, x: Tensor, key: str, around: float = 0.8) -> Tensor:
        c = x.shape[1]
        scale, shift = self.draw(f"{key}.weight", c, around=around), self.draw(f"{key}.bias", c)
        mean, variance = self.draw(f"{key}.running_mean", c), self.draw(f"{key}.running_var", c, around=1, spread=0.5)
        self.state.setdefault(f"{key}.num_batches_tracked", torch.tensor(7))
        return functional.batch_norm(x, mean, variance, scale, shift)

    def block(self, x: Tensor, conv: str, norm: str, outputs: int, size: int = 1, **how: int) -> Tensor:
        """Convolution, norm and ReLU."""
        return self.norm(self.conv(x, conv, outputs, size, **how), norm).relu()

    def linear(self, x: Tensor, key: str, outputs: int) -> Tensor:
        weight = self.draw(f"{key}.weight", outputs, x.shape[-1], spread=x.shape[-1] ** -0.5)
        return x @ weight.T + self.draw(f"{key}.bias", outputs)


def resnet(
    w: Weights, x: Tensor, at: str, stem: str, *, dilations: Sequence[int] = PLAIN, grid: Sequence[int] = ()
) -> list[Tensor]:
    """ResNet-50 at output stride 8; stems: ``7x7``, ``deep`` (64, 64, 128), ``mmseg`` (32, 32, 64)."""
    if stem == "7x7":
        x = w.block(x, f"{at}.conv1", f"{at}.bn1", 64, 7, stride=2)
    elif stem == "deep":
        x = w.block(x, f"{at}.conv1.0", f"{at}.conv1.1", 64, 3, stride=2)
        x = w.block(x, f"{at}.conv1.3", f"{at}.conv1.4", 64, 3)
        x = w.block(x, f"{at}.conv1.6", f"{at}.bn1", 128, 3)
    else:
        x = w.block(x, f"{at}.stem.0", f"{at}.stem.1", 32, 3, stride=2)
        x = w.block(x, f"{at}.stem.3", f"{at}.stem.4", 32, 3)
        x = w.block(x, f"{at}.stem.6", f"{at}.stem.7", 64, 3)
    x = functional.max_pool2d(x, 3, 2, 1)
    stages = []
    for stage, blocks in enumerate(BOTTLENECKS[50]):
        for number in range(blocks):
            key, inner = f"{at}.layer{stage + 1}.{number}", 64 * 2**stage
            rate = dilations[stage] if number else max(dilations[stage] // 2, 1)
            if stage == 3 and grid:
                rate = grid[number]
            stride = 2 if stage == 1 and number == 0 else 1
            y = w.block(x, f"{key}.conv1", f"{key}.bn1", inner)
            y = w.block(y, f"{key}.conv2", f"{key}.bn2", inner, 3, stride=stride, dilation=rate)
            y = w.norm(w.conv(y, f"{key}.conv3", 4 * inner), f"{key}.bn3", 0.3)
            if number == 0:
                x = w.norm(w.conv(x, f"{key}.downsample.0", 4 * inner, stride=stride), f"{key}.downsample.1")
            x = (x + y).relu()
        stages.append(x)
    return stages


def resnet18(w: Weights, x: Tensor, at: str) -> list[Tensor]:
    """ResNet-18 with the 7 x 7 stem and without dilation, output stride 32."""
    x = functional.max_pool2d(w.block(x, f"{at}.conv1", f"{at}.bn1", 64, 7, stride=2), 3, 2, 1)
    stages = []
    for stage, number in itertools.product(range(4), range(2)):
        key, width = f"{at}.layer{stage + 1}.{number}", 64 * 2**stage
        stride = 2 if stage and not number else 1
        y = w.block(x, f"{key}.conv1", f"{key}.bn1", width, 3, stride=stride)
        y = w.norm(w.conv(y, f"{key}.conv2", width, 3), f"{key}.bn2", 0.3)
        if stride == 2:
            x = w.norm(w.conv(x, f"{key}.downsample.0", width, stride=2), f"{key}.downsample.1")
        x = (x + y).relu()
        stages += [x] if number else []
    return stages


def resized(x: Tensor, like: Tensor, align_corners: bool) -> Tensor:
    return functional.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=align_corners)


def position_attention(w: Weights, x: Tensor, query: str, key: str, value: str, scale: str, scalar: bool) -> Tensor:
    c = x.shape[1]
    q, k, v = (w.conv(x, name, n, bias=True).flatten(2) for name, n in ((query, c // 8), (key, c // 8), (value, c)))
    rows = []
    for j in range(q.shape[2]):  # the positions one by one
        weights = torch.softmax((q[:, :, j, None] * k).sum(1), dim=-1)
        rows.append((v * weights[:, None]).sum(2))
    return w.draw(scale, *(() if scalar else (1,)), around=0.7) * torch.stack(rows, 2).view_as(x) + x


def channel_attention(w: Weights, x: Tensor, centers: Tensor, scale: str, scalar: bool) -> Tensor:
    """Channels attend to centers, themselves in DANet: the largest energy less each."""
    energy = x.flatten(2) @ centers.flatten(2).transpose(1, 2)
    weights = torch.softmax(energy.amax(-1, keepdim=True) - energy, dim=-1)
    mixed = (weights @ centers.flatten(2)).view_as(x)
    return w.draw(scale, *(() if scalar else (1,)), around=0.7) * mixed + x


def official_danet(w: Weights, image: Tensor, k: int, stem: str = "deep", grid: Sequence[int] = (4, 8, 16)) -> Tensor:
    c4 = resnet(w, image, "pretrained", stem, grid=grid)[3]
    p = w.block(c4, "head.conv5a.0", "head.conv5a.1", 512, 3)
    sa = "head.sa"
    p = position_attention(w, p, f"{sa}.query_conv", f"{sa}.key_conv", f"{sa}.value_conv", f"{sa}.gamma", scalar=False)
    p = w.block(p, "head.conv51.0", "head.conv51.1", 512, 3)
    c = w.block(c4, "head.conv5c.0", "head.conv5c.1", 512, 3)
    c = w.block(channel_attention(w, c, c, "head.sc.gamma", False), "head.conv52.0", "head.conv52.1", 512, 3)
    w.conv(p, "head.conv6.1", k, bias=True)
    w.conv(c, "head.conv7.1", k, bias=True)
    return resized(w.conv(p + c, "head.conv8.1", k, bias=True), image, True)


def tramac_danet(w: Weights, image: Tensor, k: int, auxiliary: bool = False) -> Tensor:
    c4 = resnet(w, image, "pretrained", "deep")[3]
    w.draw("pretrained.fc.weight", 1000, 2048), w.draw("pretrained.fc.bias", 1000)
    p = w.block(c4, "head.conv_p1.0", "head.conv_p1.1", 512, 3)
    p = position_attention(
        w, p, "head.pam.conv_b", "head.pam.conv_c", "head.pam.conv_d", "head.pam.alpha", scalar=False
    )
    p = w.block(p, "head.conv_p2.0", "head.conv_p2.1", 512, 3)
    c = w.block(c4, "head.conv_c1.0", "head.conv_c1.1", 512, 3)
    c = w.block(channel_attention(w, c, c, "head.cam.beta", False), "head.conv_c2.0", "head.conv_c2.1", 512, 3)
    if auxiliary:
        w.conv(p, "head.conv_p3.1", k, bias=True)
        w.conv(c, "head.conv_c3.1", k, bias=True)
    return resized(w.conv(p + c, "head.out.1", k, bias=True), image, True)


def official_dranet(w: Weights, image: Tensor, k: int) -> Tensor:
    c1, _, c3, c4 = resnet(w, image, "pretrained", "deep", grid=(4, 8, 16))

    def block(x: Tensor, key: str, outputs: int, size: int = 3) -> Tensor:
        return w.block(x, f"{key}.0", f"{key}.1", outputs, size)

    x = block(c4, "head.conv_cpam_b", 512)
    pooled = [
        block(functional.adaptive_avg_pool2d(x, side), f"head.cpam_enc.conv{i}", 512, 1).flatten(2)
        for i, side in enumerate((1, 2, 3, 6), 1)
    ]
    centers = torch.cat(pooled, 2).transpose(1, 2)  # B x 50 x 512
    query = w.conv(x, "head.cpam_dec.conv_query", 128, bias=True).flatten(2)
    keys = w.linear(centers, "head.cpam_dec.conv_key", 128)
    values = w.linear(centers, "head.cpam_dec.conv_value", 512)
    mixed = torch.softmax(query.transpose(1, 2) @ keys.transpose(1, 2), -1) @ values
    p = w.draw("head.cpam_dec.scale", 1, around=0.7) * mixed.transpose(1, 2).reshape(x.shape) + x
    p = block(p, "head.conv_cpam_e", 512)
    x = block(c4, "head.conv_ccam_b", 512)
    c = channel_attention(w, x, block(x, "head.ccam_enc", 32, 1), "head.ccam_dec.scale", False)
    c = block(c, "head.conv_ccam_e", 512)
    high = block(torch.cat([p, c], 1), "head.conv_cat", 256)
    low = block(c1, "head.clgd.conv_low", 32)
    high = resized(high, low, True)
    gate = torch.sigmoid(w.conv(torch.cat([low, high], 1), "head.clgd.conv_att.0", 1, bias=True))
    low = w.draw("head.clgd.gamma", 1, around=1) * gate * low
    out = block(block(torch.cat([low, high], 1), "head.clgd.conv_cat", 256), "head.clgd.conv_out", 256)
    w.conv(block(c3, "cls_aux", 256), "cls_aux.4", k, bias=True)
    return resized(w.conv(out, "cls_seg.1", k, bias=True), image, True)


def mmseg(
    head: Callable[[Weights, list[Tensor], int, bool], Tensor],
    w: Weights,
    image: Tensor,
    k: int,
    *,
    align_corners: bool = False,
    backbone: Callable[..., list[Tensor]] = resnet18,
) -> Tensor:
    """A network of mmsegmentation with its auxiliary head."""
    stages = backbone(w, image, "backbone")
    x = conv_module(w, stages[2], "auxiliary_head.convs.0", stages[2].shape[1] // 4, 3)
    w.conv(x, "auxiliary_head.conv_seg", k, bias=True)
    features = head(w, stages, stages[3].shape[1] // 4, align_corners)
    return resized(w.conv(features, "decode_head.conv_seg", k, bias=True), image, align_corners)


def conv_module(w: Weights, x: Tensor, key: str, outputs: int, size: int = 1, **how: int) -> Tensor:
    return w.block(x, f"{key}.conv", f"{key}.bn", outputs, size, **how)


def separable(w: Weights, x: Tensor, key: str, outputs: int, **how: int) -> Tensor:
    x = conv_module(w, x, f"{key}.depthwise_conv", x.shape[1], 3, groups=x.shape[1], **how)
    return conv_module(w, x, f"{key}.pointwise_conv", outputs)


def mmseg_danet(w: Weights, stages: list[Tensor], width: int, align_corners: bool) -> Tensor:
    at = "decode_head"
    p = conv_module(w, stages[3], f"{at}.pam_in_conv", width, 3)
    names = [f"{at}.pam.{name}" for name in ("query_project", "key_project", "value_project", "gamma.scale")]
    p = conv_module(w, position_attention(w, p, *names, scalar=True), f"{at}.pam_out_conv", width, 3)
    c = conv_module(w, stages[3], f"{at}.cam_in_conv", width, 3)
    c = channel_attention(w, c, c, f"{at}.cam.gamma.scale", scalar=True)
    c = conv_module(w, c, f"{at}.cam_out_conv", width, 3)
    w.conv(p, f"{at}.pam_conv_seg", 4, bias=True)
    w.conv(c, f"{at}.cam_conv_seg", 4, bias=True)
    return p + c


def mmseg_fcn(w: Weights, stages: list[Tensor], width: int, align_corners: bool) -> Tensor:
    x = conv_module(w, stages[3], "decode_head.convs.0", width, 3)
    x = conv_module(w, x, "decode_head.convs.1", width, 3)
    return conv_module(w, torch.cat([stages[3], x], 1), "decode_head.conv_cat", width, 3)


def mmseg_pspnet(w: Weights, stages: list[Tensor], width: int, align_corners: bool) -> Tensor:
    parts = [stages[3]]
    for level, side in enumerate((1, 2, 3, 6)):
        pooled = functional.adaptive_avg_pool2d(stages[3], side)
        pooled = conv_module(w, pooled, f"decode_head.psp_modules.{level}.1", width)
        parts.append(resized(pooled, stages[3], align_corners))
    return conv_module(w, torch.cat(parts, 1), "decode_head.bottleneck", width, 3)


def _pyramid(w: Weights, x: Tensor, width: int, rates: Sequence[int], apart: bool) -> Tensor:
    image = conv_module(w, x.mean((2, 3), keepdim=True), "decode_head.image_pool.1", width)
    parts = [image.expand(-1, -1, *x.shape[2:]), conv_module(w, x, "decode_head.aspp_modules.0", width)]
    for i, rate in enumerate(rates, 1):
        key = f"decode_head.aspp_modules.{i}"
        if apart:
            parts.append(separable(w, x, key, width, dilation=rate))
        else:
            parts.append(conv_module(w, x, key, width, 3, dilation=rate))
    return conv_module(w, torch.cat(parts, 1), "decode_head.bottleneck", width, 3)


def mmseg_deeplabv3(w: Weights, stages: list[Tensor], width: int, align_corners: bool) -> Tensor:
    return _pyramid(w, stages[3], width, (3, 6, 9), apart=False)


def mmseg_deeplabv3plus(w: Weights, stages: list[Tensor], width: int, align_corners: bool) -> Tensor:
    low = conv_module(w, stages[0], "decode_head.c1_bottleneck", 12)
    x = resized(_pyramid(w, stages[3], width, (3, 6, 9), apart=True), low, align_corners)
    x = separable(w, torch.cat([x, low], 1), "decode_head.sep_bottleneck.0", width)
    return separable(w, x, "decode_head.sep_bottleneck.1", width)
