"""One look at an image: what a network says of it, and what its attention saw on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from scenescope.attention.channel import ChannelAttention
from scenescope.attention.compact_position import CompactPositionAttention
from scenescope.attention.position import PositionAttention
from scenescope.attention.squeeze import SqueezeAttention
from scenescope.attention.squeeze_excitation import SqueezeExcitation
from scenescope.bands import as_shown
from scenescope.cells import Cells
from scenescope.drawing.heatmap import Extent
from scenescope.errors import ImageError, ModelError
from scenescope.explore.centers import PositionCenters
from scenescope.explore.channel import ChannelTrace
from scenescope.explore.knife import Cut, CutResult, cut_labels
from scenescope.explore.memory import remembering_parts
from scenescope.explore.points import Point, cell_labels, require_inside
from scenescope.explore.position import PositionTrace
from scenescope.explore.squeeze import HeadTrace
from scenescope.inference.guards import eval_mode, memory_errors
from scenescope.inference.look import Kept, inputs_kept
from scenescope.inference.resize_argmax import logits_at, resize_argmax
from scenescope.inference.segmenter import ImageLike, Segmenter, image_array
from scenescope.models.network import SegmentationNetwork

_Module = TypeVar("_Module", bound=nn.Module)

_NETWORKS_WITH = {
    PositionAttention: "danet with position=true has it",
    ChannelAttention: "danet with channel=true has it",
    SqueezeAttention: "sanet has them",
    SqueezeExcitation: "fcn_se has it",
    CompactPositionAttention: "dranet has them",
}


@dataclass
class AttentionTrace:
    """What one forward pass of a network over one image left to look into.

    Attributes:
        network: in eval mode or not, as it was.
        image: H x W x 3 uint8 RGB.
        labels: H x W uint8, the class of every pixel.
        logits: 1 x K x h x w, before they are resized to the image.
        kept: what its attention and its head were given.
        mixed: whether it was asked under bfloat16 autocast.

    Raises:
        ModelError: from each property, if the network has no such attention.
    """

    network: SegmentationNetwork
    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    logits: Tensor = field(repr=False)
    kept: Kept = field(repr=False)
    mixed: bool = False

    @property
    def inputs(self) -> dict[nn.Module, Tensor]:
        """The input of every attention module."""
        return self.kept.inputs

    @cached_property
    def position(self) -> PositionTrace:
        """Position attention: what a pixel attends to, who attends to it, what classes pay each other."""
        module, features = self._one(PositionAttention, "position attention")
        size = self.image.shape[:2]
        return PositionTrace(module, features, size, self.labels, self.network.num_classes, self._cells(features))

    @cached_property
    def channel(self) -> ChannelTrace:
        """Channel attention: what a channel attends to, attended maps, channels that respond to a class."""
        module, features = self._one(ChannelAttention, "channel attention")
        return ChannelTrace(module, features, cell_labels(self.labels, self._cells(features), features.shape[-2:]))

    @cached_property
    def heads(self) -> list[HeadTrace]:
        """The squeeze-and-attention heads, stage 1 first."""
        found = self._all(SqueezeAttention, "squeeze-and-attention heads")
        size = self.image.shape[:2]
        return [HeadTrace(module, features, size, self._cells(features)) for module, features in found]

    @cached_property
    def excitation(self) -> npt.NDArray[np.float32]:
        """The weight of each of the C channels in squeeze-and-excitation, 0 to 1."""
        module, features = self._one(SqueezeExcitation, "squeeze-and-excitation")
        with torch.inference_mode():
            weights: npt.NDArray[np.float32] = module.weights(features)[0].float().cpu().numpy()
        return weights

    @cached_property
    def position_centers(self) -> PositionCenters:
        """Compact position attention: the 50 centers, and what a pixel attends to among them."""
        module, features = self._one(CompactPositionAttention, "centers of position attention")
        return PositionCenters(module, features, self.image.shape[:2], self._cells(features))

    @cached_property
    def remembering(self) -> dict[nn.Module, nn.Module]:
        """In the place of the network's parts, those that compute only once what a cut leaves as it was."""
        return remembering_parts(self.network)

    @property
    def scales(self) -> dict[str, float]:
        """The learned scales "alpha" of position and "beta" of channel attention, as far as the network has them."""
        found = {}
        for module in self.inputs:
            for name in ("alpha", "beta"):
                if isinstance(scale := getattr(module, name, None), nn.Parameter):
                    found[name] = scale.item()
        return found

    def probabilities(self, point: Point) -> npt.NDArray[np.float32]:
        """Return the probability of each of the K classes at a pixel.

        Raises:
            ImageError: the point lies outside the image.
        """
        height, width = self.image.shape[:2]
        require_inside(point, width, height)
        x, y = point
        with torch.inference_mode():
            logits = logits_at(self.logits, y, x, self.network.cells(self.logits, (height, width)))
            probabilities: npt.NDArray[np.float32] = torch.softmax(logits[0], dim=0).cpu().numpy()
        return probabilities

    def cut(self, cut: Cut) -> CutResult:
        """Segment the image again with some of its attention cut; only the head is computed anew.

        Raises:
            ImageError: a region of another size than the image.
            ModelError: the network has no such attention, class, channel or head, or nothing is left to attend to.
        """
        return cut_labels(self, cut)

    def extent(self, part: PositionTrace | ChannelTrace | HeadTrace | PositionCenters) -> Extent:
        """Return where the maps of a part of this view lie: left, upper, right, lower edge in pixels of the image."""
        return self._cells(part.features).extent(part.features.shape[-2:])

    def kinds(self) -> set[str]:
        """Return which of "position", "channel", "heads", "excitation" and "centers" the network has."""
        names = {
            PositionAttention: "position",
            ChannelAttention: "channel",
            SqueezeAttention: "heads",
            SqueezeExcitation: "excitation",
            CompactPositionAttention: "centers",
        }
        return {name for kind, name in names.items() if any(isinstance(module, kind) for module in self.inputs)}

    def refusal(self, why: str) -> ModelError:
        """Return the error that says why this network cannot be looked into; an exported file never can."""
        if next(self.network.parameters(), None) is None:
            return ModelError("An exported file cannot be looked into; name the model directory that it was made of.")
        return ModelError(f"This {self.network.config.get('name', 'network')} {why}.")

    def _cells(self, features: Tensor) -> Cells:
        return self.network.cells(features, self.image.shape[:2])

    def _all(self, kind: type[_Module], what: str) -> list[tuple[_Module, Tensor]]:
        found = [(module, features) for module, features in self.inputs.items() if isinstance(module, kind)]
        if not found:
            raise self.refusal(f"has no {what} to look into; {_NETWORKS_WITH[kind]}")
        return found

    def _one(self, kind: type[_Module], what: str) -> tuple[_Module, Tensor]:
        return self._all(kind, what)[0]


def attend(model: Segmenter | SegmentationNetwork, image: ImageLike) -> AttentionTrace:
    """Look at an image once, and keep what the attention of the network saw.

    No N x N matrix is formed, here or in what is asked of the view later. Several threads may look through one network
    at once, beside others that predict with it.

    Args:
        model: any of the catalog, or a Segmenter, whose form is looked into; those without attention give their
            labels only. What ``torch.compile`` or a ``DataParallel`` made of a network is looked into without it.
        image: H x W x 3 uint8 RGB, or a file or Pillow image as ``Segmenter.predict`` takes it.

    Raises:
        ImageError: the image cannot be read, is an array of another shape or type, or too large for the memory.
        ModelError: the network is none of scenescope's.
    """
    network = _form_to_look_into(model) if isinstance(model, Segmenter) else _own_network(model)
    pixels = image_array(image, rule=network.band_rule).copy()  # the view outlives what the caller does with the array
    height, width = pixels.shape[:2]
    device = next(network.parameters(), torch.empty(0)).device  # an exported file has no parameters
    mixed = getattr(model, "precision", None) == "bfloat16"
    what = f"The attention in an image of {width} x {height} pixels"
    with (
        memory_errors(ImageError, what, "scale the image down"),
        inputs_kept(network) as kept,
        eval_mode(network),
        torch.autocast(device.type, torch.bfloat16, enabled=mixed),
    ):
        batch = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()).to(device)
        logits = network.low_resolution(network.prepare(batch)).logits
        labels = resize_argmax(logits, (height, width), network.cells(logits, (height, width)))
    kept.inputs = _with_unused_heads(network, kept.inputs, kept.stages)
    return AttentionTrace(network, as_shown(pixels), labels[0].cpu().numpy(), logits, kept, mixed)


def _form_to_look_into(segmenter: Segmenter) -> SegmentationNetwork:
    """Return what answers, unless it lacks attention that the network has and a prediction does without."""
    forms = [_own_network(each) for each in (segmenter.form, segmenter.network) if isinstance(each, nn.Module)]
    kept = [sum(isinstance(module, tuple(_NETWORKS_WITH)) for module in form.modules()) for form in forms]
    return forms[0] if kept[0] == kept[-1] else forms[-1]


def _own_network(network: nn.Module) -> SegmentationNetwork:
    """Return the network within what torch wraps around one, or refuse what is none of the catalog."""
    inner = getattr(network, "_orig_mod", getattr(network, "module", network))
    if isinstance(inner, SegmentationNetwork):
        return inner
    name = type(network).__name__
    if isinstance(network, nn.Module) and any(isinstance(part, PositionAttention) for part in network.modules()):
        raise ModelError(
            f"{name} is a network of your own; keep what its PositionAttention is given by a forward pre-hook, and ask"
            " that module for rows(features, positions)."
        )
    raise ModelError(
        f"{name} cannot be looked into; give a network of scenescope, such as create_model(...),"
        " load_model(...).network, or a Segmenter."
    )


def _with_unused_heads(
    network: SegmentationNetwork, inputs: dict[nn.Module, Tensor], stages: list[Tensor]
) -> dict[nn.Module, Tensor]:
    """Give the heads of SANet that its prediction does without what they would have seen."""
    attentions = getattr(network.head, "attentions", None)
    if attentions is None:
        return inputs
    return {
        module: features.to(next(module.parameters(), features).dtype)
        for module, features in zip(attentions, stages, strict=True)
    }
