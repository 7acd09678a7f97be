"""What channels attend to, and which of them answer to a class.

Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019, section 3.3 and the figure of attended channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scenescope.attention.channel import ChannelAttention
from scenescope.errors import ModelError

Map = npt.NDArray[np.float32]


@dataclass
class ChannelTrace:
    """Channel attention in one image.

    Attributes:
        module: the attention.
        features: 1 x C x h x w, its input.
        labels: h x w, the class under the center of every position.
    """

    module: ChannelAttention
    features: Tensor
    labels: npt.NDArray[np.uint8]

    @property
    def count(self) -> int:
        """C, the number of channels."""
        return self.features.shape[1]

    def rows(self, channels: Sequence[int]) -> Map:
        """Return how much every channel counts for each of some: rows of X, each summing to 1; P x C.

        Raises:
            ModelError: there is no such channel.
        """
        require_channels(channels, self.count)
        return np.ascontiguousarray(self._map[list(channels)])

    def maps(self, channels: Sequence[int]) -> Map:
        """Return attended channels, E = beta X A + A, as maps; P x h x w.

        Raises:
            ModelError: there is no such channel.
        """
        require_channels(channels, self.count)
        return np.ascontiguousarray(self._attended[list(channels)])

    def responses(self, label: int) -> Map:
        """Return how each attended channel tells a class from the rest of the image; C numbers.

        That is its mean inside the class less its mean outside, in units of its deviation over the image.

        Raises:
            ModelError: the class is not in the prediction, or fills it.
        """
        inside = self.labels == label
        if not inside.any() or inside.all():
            raise ModelError(
                f"Class {label} {'fills' if inside.any() else 'is not in'} this prediction, so no channel answers to"
                f" it alone; its classes are {', '.join(map(str, np.unique(self.labels)))}."
            )
        sums, deviation = self._class_sums
        count, total = inside.sum(), sums.sum(axis=1)
        difference = sums[:, label] / count - (total - sums[:, label]) / (inside.size - count)
        compared = np.divide(difference, deviation, out=np.zeros_like(difference), where=deviation > 0)
        answered: Map = compared.astype(np.float32)
        return answered

    def responsive(self, label: int, count: int = 2) -> list[int]:
        """Return the channels that answer most to a class, the strongest first.

        Raises:
            ModelError: the class is not in the prediction, or fills it.
        """
        order = np.argsort(-self.responses(label), kind="stable")
        return [int(channel) for channel in order[:count]]

    @cached_property
    def _class_sums(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Each attended channel summed over the positions of each class, C x (largest class + 1), and its deviation.

        Once for all classes: a click then costs C numbers and not C x N.
        """
        maps = torch.from_numpy(self._attended).flatten(1).double()  # what is constant deviates by 0 exactly
        classes = torch.from_numpy(self.labels.astype(np.int64).ravel())
        sums = torch.zeros(len(maps), int(classes.max()) + 1, dtype=maps.dtype).index_add_(1, classes, maps)
        return sums.numpy(), maps.std(dim=1, correction=0).numpy()

    @cached_property
    def _map(self) -> Map:
        with torch.inference_mode():
            found: Map = self.module.map(self.features)[0].cpu().numpy()
        return found

    @cached_property
    def _attended(self) -> Map:
        with torch.inference_mode():
            attended: Map = self.module(self.features)[0].float().cpu().numpy()
        return attended


def require_channels(channels: Sequence[int], count: int) -> None:
    """Refuse a channel that does not exist.

    Raises:
        ModelError: naming the valid range.
    """
    for channel in channels:
        if not 0 <= channel < count:
            raise ModelError(f"There is no channel {channel}; this network has the channels 0 to {count - 1}.")
