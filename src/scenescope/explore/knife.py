"""The knife: attention is changed in one place, and only the head is computed again, from the features of one look.

Nothing is approximated. To leave positions out of what position attention attends to, their keys and values are left
out, and the softmax of those that remain is the masked softmax of equation 2 (Fu et al., CVPR 2019): its weights are
divided by their new sum. So every row still sums to 1, and no network is changed, not even for the moment.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor, nn

from scenescope.attention.blockwise import blockwise_attention
from scenescope.attention.channel import ChannelAttention
from scenescope.attention.compact_channel import CompactChannelAttention
from scenescope.attention.compact_position import CompactPositionAttention
from scenescope.attention.position import PositionAttention
from scenescope.attention.squeeze import SqueezeAttention
from scenescope.attention.squeeze_excitation import SqueezeExcitation
from scenescope.errors import ImageError, ModelError
from scenescope.explore.points import Point, cell_labels, require_inside
from scenescope.inference.guards import eval_mode
from scenescope.inference.resize_argmax import resize_argmax
from scenescope.models.danet import DANetHead
from scenescope.models.network import SegmentationNetwork

if TYPE_CHECKING:
    from scenescope.explore.trace import AttentionTrace

_SCALED = {
    "alpha": (PositionAttention, CompactPositionAttention),
    "beta": (ChannelAttention, CompactChannelAttention),
}


@dataclass(frozen=True)
class Cut:
    """What attention is to do without; nothing unless told.

    Attributes:
        region: H x W booleans, pixels of the image: nobody attends to positions there.
        keep: the other way round: nobody attends to positions outside the region and classes that are named.
        classes: nobody attends to positions that the network takes for one of these.
        pairs: (i, j): what it takes for class i does not attend to what it takes for class j.
        channels: of channel attention: no channel attends to one of these.
        heads: stages, 1 to 4, of SANet's heads whose attention tells places apart no longer: its mean is everywhere.
        branches: "position" and "channel" of DANet, "excitation" of FCN-SE: what they add is left out.
        alpha, beta: what the learned scales of position and channel attention are multiplied by.
        source: another look of the same network, of which keys and values of position attention are taken.
    """

    region: npt.NDArray[np.bool_] | None = None
    keep: bool = False
    classes: Sequence[int] = ()
    pairs: Sequence[tuple[int, int]] = ()
    channels: Sequence[int] = ()
    heads: Sequence[int] = ()
    branches: Sequence[str] = ()
    alpha: float = 1.0
    beta: float = 1.0
    source: AttentionTrace | None = None


@dataclass(frozen=True)
class CutResult:
    """What became of an image.

    Attributes:
        labels: H x W uint8.
        changed: H x W, where the class is another than before.
        moved: K x K, how many pixels went from class a (row) to class b (column).
    """

    labels: npt.NDArray[np.uint8]
    changed: npt.NDArray[np.bool_]
    moved: npt.NDArray[np.int64]


def rectangle(size: tuple[int, int], left: int, top: int, right: int, bottom: int) -> npt.NDArray[np.bool_]:
    """Return the region of H x W pixels that lies in a rectangle, its right and lower edge not included.

    Raises:
        ImageError: the rectangle is empty or goes beyond the image.
    """
    height, width = size
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ImageError(
            f"The rectangle {left},{top} to {right},{bottom} does not lie in the image of {width} x {height} pixels;"
            f" give left < right within 0 to {width} and top < bottom within 0 to {height}."
        )
    region = np.zeros(size, bool)
    region[top:bottom, left:right] = True
    return region


def connected_area(labels: npt.NDArray[np.uint8], point: Point) -> npt.NDArray[np.bool_]:
    """Return the region of pixels that have the class of a point and are joined to it, by edges, through such.

    Raises:
        ImageError: the point lies outside the image.
    """
    height, width = labels.shape
    require_inside(point, width, height)
    x, y = point
    areas, _ = ndimage.label(labels == labels[y, x])
    region: npt.NDArray[np.bool_] = areas == areas[y, x]
    return region


def cut_labels(trace: AttentionTrace, cut: Cut) -> CutResult:
    """Segment an image again with some of its attention cut.

    Raises:
        ImageError: a region of another size than the image.
        ModelError: the network has no such attention, class, channel or head, or nothing would be left to attend to.
    """
    size, kept = trace.image.shape[:2], trace.kept
    assert kept.images is not None
    mixed = torch.autocast(kept.images.device.type, torch.bfloat16, enabled=trace.mixed)
    with eval_mode(trace.network), mixed:
        network = with_replaced(trace.network, _replacements(trace, cut))
        assert isinstance(network, SegmentationNetwork)
        logits = network.answer(kept.stages, kept.images).logits
        labels = resize_argmax(logits, size, network.cells(logits, size))[0].cpu().numpy()
    num_classes = network.num_classes
    moved = np.bincount(
        trace.labels.astype(np.int64).ravel() * num_classes + labels.ravel(), minlength=num_classes**2
    ).reshape(num_classes, num_classes)
    return CutResult(labels, labels != trace.labels, moved)


def attention_cuts(trace: AttentionTrace) -> dict[str, Cut]:
    """Return what cuts each attention of a network, by its name."""
    kinds = trace.kinds()
    cuts: dict[str, Cut] = {}
    if kinds & {"position", "centers"}:
        cuts["position attention"] = Cut(alpha=0)
    if "beta" in trace.scales:
        cuts["channel attention"] = Cut(beta=0)
    for stage in range(1, len(trace.heads) + 1 if "heads" in kinds else 1):
        cuts[f"attention in the head of stage {stage}"] = Cut(heads=[stage])
    if "excitation" in kinds:
        cuts["squeeze-and-excitation"] = Cut(branches=["excitation"])
    return cuts


def with_replaced(module: nn.Module, replaced: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Return a module with others in the place of some within it; it shares all the rest, and is not changed itself."""
    if module in replaced:
        return replaced[module]
    children = {name: with_replaced(child, replaced) for name, child in module.named_children()}
    if all(child is module._modules[name] for name, child in children.items()):
        return module
    copied = copy.copy(module)
    copied._modules = {**module._modules, **children}
    return copied


class _CutPosition(nn.Module):
    """Position attention in which some queries see some keys only.

    Args:
        attention: whose weights are used.
        groups: numbers of queries, and of the keys that they see.
        others: 1 x C x h x w, of which keys and values are taken; None for those of the image itself.
    """

    def __init__(
        self, attention: PositionAttention, groups: Sequence[tuple[Tensor, Tensor]], others: Tensor | None
    ) -> None:
        super().__init__()
        self.attention = attention
        self.groups = groups
        self.others = others

    def forward(self, features: Tensor) -> Tensor:
        attention, others = self.attention, features if self.others is None else self.others.to(features.dtype)
        rows = attention.row_factors(features)
        query, key = rows.query.flatten(2), attention.key(others).flatten(2)
        values = others.flatten(2).to(query.dtype)
        attended = torch.empty_like(features.flatten(2), dtype=query.dtype)
        for some, seen in self.groups:
            attended[:, :, some] = blockwise_attention(query[:, :, some], key[:, :, seen], values[:, :, seen])
        added = attention.value(attended.view(features.shape))
        answer: Tensor = features + attention.alpha.to(added.dtype) * added
        return answer


class _CutChannel(nn.Module):
    """Channel attention in which no channel attends to some of them."""

    def __init__(self, attention: ChannelAttention, channels: Sequence[int]) -> None:
        super().__init__()
        self.attention = attention
        self.channels = list(channels)

    def forward(self, features: Tensor) -> Tensor:
        energies, flat = self.attention.energies(features), features.flatten(2)
        energies = energies.index_fill(2, torch.tensor(self.channels, device=energies.device), -torch.inf)
        attended = (torch.softmax(energies, dim=2).to(flat.dtype) @ flat).reshape(features.shape)
        return self.attention.beta.to(attended.dtype) * attended + features


class _Everywhere(nn.Module):
    """Squeeze-and-attention whose attention is its mean over all positions."""

    def __init__(self, attention: SqueezeAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, features: Tensor) -> Tensor:
        main: Tensor = self.attention.main(features)
        weights = self.attention.attention_channel(features).mean(dim=(2, 3), keepdim=True)
        return weights * main + (weights if self.attention.added == "attention" else main)


class _Scaled(nn.Module):
    """Attention that adds this many times what it would."""

    def __init__(self, attention: nn.Module, factor: float) -> None:
        super().__init__()
        self.attention = attention
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        attended: Tensor = self.attention(features)
        scaled: Tensor = features + self.factor * (attended - features)
        return scaled


class _Nothing(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return torch.zeros_like(features)


def _replacements(trace: AttentionTrace, cut: Cut) -> dict[nn.Module, nn.Module]:
    """Return the modules to compute with in the place of those of the network: those cut, and others that remember."""
    replaced: dict[nn.Module, nn.Module] = {}
    if cut.region is not None or cut.classes or cut.pairs or cut.keep or cut.source is not None:
        attention = trace.position.module
        others = None if cut.source is None else _other_features(trace, cut.source)
        replaced[attention] = _CutPosition(attention, _groups(trace, cut), others)
    if cut.channels:
        channel, count = trace.channel.module, trace.channel.count
        _require_among(cut.channels, range(count), "channel")
        if len(set(cut.channels)) == count:
            raise ModelError(f"All {count} channels are cut, and nothing is left to attend to; leave out fewer.")
        replaced[channel] = _CutChannel(channel, cut.channels)
    if cut.heads:
        heads = trace.heads
        _require_among(cut.heads, range(1, len(heads) + 1), "head")
        replaced |= {heads[stage - 1].module: _Everywhere(heads[stage - 1].module) for stage in cut.heads}
    for name, kinds in _SCALED.items():
        factor = getattr(cut, name)
        if factor != 1:
            found = [module for module in trace.inputs if isinstance(module, kinds)]
            if not found:
                raise trace.refusal(f"has no {name} to scale")
            inner = trace.remembering | replaced
            replaced |= {module: _Scaled(inner.get(module, module), factor) for module in found}
    replaced |= _branches(trace, cut.branches)
    # A part within which something is replaced has nothing to remember.
    return replaced | {
        part: other
        for part, other in trace.remembering.items()
        if not any(module in replaced for module in part.modules())
    }


def _branches(trace: AttentionTrace, names: Sequence[str]) -> dict[nn.Module, nn.Module]:
    """Return what answers nothing in the place of branches."""
    head = trace.network.head
    ends: dict[str, nn.Module] = {}
    if isinstance(head, DANetHead):
        ends = {kind: getattr(head, f"{kind}_out") for kind in ("position", "channel") if kind in trace.kinds()}
    for module in trace.inputs:
        if isinstance(module, SqueezeExcitation):
            ends["excitation"] = module
    for name in names:
        if name not in ends:
            raise trace.refusal(f"has no branch {name!r} to cut; it has {', '.join(ends) or 'none'}")
    if len(ends) == len(set(names)) and isinstance(head, DANetHead) and names:
        raise ModelError(f"{', '.join(names)} is all that this network has; leave a branch.")
    return {ends[name]: nn.Identity() if name == "excitation" else _Nothing() for name in names}


def _groups(trace: AttentionTrace, cut: Cut) -> list[tuple[Tensor, Tensor]]:
    """Return which queries see which keys, as numbers of positions; every query is in one group."""
    own, seen = (each.position.classes.ravel() for each in (trace, cut.source or trace))
    _require_among(
        [*cut.classes, *(each for pair in cut.pairs for each in pair)], range(trace.network.num_classes), "class"
    )
    named = np.isin(seen, list(cut.classes))
    if cut.region is not None:
        named |= _region_of(cut.source or trace, cut.region)
    allowed = named if cut.keep else ~named
    groups = []
    for label in np.unique(own):
        without = [other for query, other in cut.pairs if query == label]
        left = allowed & ~np.isin(seen, without)
        if not left.any():
            raise ModelError("Everything is cut away, and nothing is left to attend to; cut less of the image.")
        groups.append((np.flatnonzero(own == label), np.flatnonzero(left)))
    device = trace.logits.device
    # Classes that see the same are asked together.
    joined: dict[bytes, tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]] = {}
    for queries, keys in groups:
        joined.setdefault(keys.tobytes(), ([], keys))[0].append(queries)
    return [
        (torch.from_numpy(np.concatenate(queries)).to(device), torch.from_numpy(keys).to(device))
        for queries, keys in joined.values()
    ]


def _region_of(trace: AttentionTrace, region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The positions, N, of which the pixel under the center lies in a region."""
    if region.shape != trace.labels.shape:
        height, width = trace.labels.shape
        raise ImageError(
            f"A region of shape {region.shape} does not fit the image; give {height} x {width} booleans, one for each"
            " pixel."
        )
    position = trace.position
    return cell_labels(region.astype(np.uint8), position.cells, position.features.shape[-2:]).ravel() > 0


def _other_features(trace: AttentionTrace, source: AttentionTrace) -> Tensor:
    if source.network is not trace.network:
        raise ModelError("Keys and values come from a look of another network; look at both images with one.")
    return source.position.features


def _require_among(given: Sequence[int], known: range, what: str) -> None:
    for each in given:
        if each not in known:
            raise ModelError(f"There is no {what} {each}; give {known.start} to {known.stop - 1}.")
