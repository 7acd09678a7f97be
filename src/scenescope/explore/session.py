"""What the page asks, answered in plain numbers: images that were opened, and what models see in them."""

from __future__ import annotations

import base64
import contextlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from scenescope.data.decoding import stored
from scenescope.data.images import opened
from scenescope.drawing.heatmap import Extent, color_table
from scenescope.errors import ImageError, ModelError
from scenescope.explore.centers import PositionCenters
from scenescope.explore.position import PositionTrace
from scenescope.explore.squeeze import HeadTrace
from scenescope.explore.trace import AttentionTrace, attend
from scenescope.inference.guards import eval_mode
from scenescope.inference.predictor import predict_labels
from scenescope.inference.segmenter import Segmenter

LONGEST_SIDE = 1024
"""Larger images are scaled down to it, so that every click is answered at once."""
MAX_PIXELS = 50_000_000
"""Of an image to open, before it is decoded."""
IMAGES, VIEWS = 8, 4
"""How many of the latest are kept."""

Json = dict[str, Any]


@dataclass
class Session:
    """The models of a page and the images opened in it. Safe to use from several threads.

    Args:
        models: by the name to show, at least one.
        example: H x W x 3 uint8 RGB, what the page opens on.
    """

    models: Mapping[str, Segmenter]
    example: npt.NDArray[np.uint8]
    _images: OrderedDict[str, npt.NDArray[np.uint8]] = field(default_factory=OrderedDict, repr=False)
    _views: OrderedDict[tuple[str, str], AttentionTrace] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    # One by one, since a small file may be a large image; and in one thread, since the C library keeps what it frees
    # for the thread that had it.
    _decoder: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 1), repr=False)

    def start(self) -> Json:
        """Return the models, the colors of maps, and the example as an opened image."""
        models = {
            name: {"classes": each.classes.names, "palette": each.classes.palette} for name, each in self.models.items()
        }
        return {"models": models, "colors": color_table().tolist(), "image": self._keep(self.example, "")}

    def open(self, content: bytes, name: str) -> Json:
        """Take an image: its number, size and pixels as displayed, and what was done to it.

        Raises:
            ImageError: it cannot be read or is too large.
        """
        return self._decoder.submit(self._opened, content, name).result()

    def _opened(self, content: bytes, name: str) -> Json:
        # The name is only said in messages; it is never opened.
        with opened(Path(name or "the image"), MAX_PIXELS, content) as file:
            found = stored(file)
            notes, image = found.conversions(), found.rgb()
        height, width = image.shape[:2]
        if max(height, width) > LONGEST_SIDE:
            factor = LONGEST_SIDE / max(height, width)
            size = (max(round(width * factor), 1), max(round(height * factor), 1))
            image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))
            notes.append(f"shown at {size[0]} x {size[1]} pixels, not {width} x {height}")
        return self._keep(image, "; ".join(notes))

    def predict(self, image: str, model: str, without: str = "") -> Json:
        """Return the labels of an image, and what can be asked about it.

        Args:
            without: "position" or "channel": as if that attention's learned scale were 0; "" is the model as it is.

        Raises:
            ImageError: the image is no longer kept.
            ModelError: there is no such model, or it has no such attention.
        """
        with self._lock:
            view = self._view(image, model)
            labels = view.labels if not without else self._labels_without(view, without)
        shares = np.bincount(labels.ravel(), minlength=view.network.num_classes) / labels.size
        return {
            "labels": _packed(labels),
            "shares": shares.tolist(),
            "maps": _maps(view),
            "channels": view.channel.count if "channel" in view.kinds() else 0,
            "without": [kind for kind in ("position", "channel") if kind in view.kinds()],
            "scales": view.scales,
        }

    def query_pixel(self, image: str, model: str, point: tuple[int, int], kind: str) -> Json:
        """Return class, probability and a map of a pixel, and the channels in the order of their answer to its class.

        Args:
            kind: one of the names that ``predict`` gave as "maps"; "" asks for none.

        Raises:
            ImageError: the image is no longer kept, or the point lies outside it.
            ModelError: there is no such model or map.
        """
        with self._lock:
            view = self._view(image, model)
            probabilities = view.probabilities(point)
            label = int(view.labels[point[1], point[0]])
            best = [int(each) for each in np.argsort(-probabilities, kind="stable")[:3]]
            answer: Json = {
                "label": label,
                "probability": float(probabilities[label]),
                "best": [[each, float(probabilities[each])] for each in best],
                "channels": _channel_order(view, label),
            }
            if kind:
                answer["map"] = _map(*self._values(view, point, kind))
        return answer

    def channel(self, image: str, model: str, channel: int) -> Json:
        """Return the map of an attended channel.

        Raises:
            ImageError: the image is no longer kept.
            ModelError: there is no such model or channel.
        """
        with self._lock:
            view = self._view(image, model)
            return {"map": _map(view.channel.maps([channel])[0], view.extent(view.channel))}

    def _keep(self, image: npt.NDArray[np.uint8], note: str) -> Json:
        key = secrets.token_hex(8)
        with self._lock:
            self._images[key] = image
            while len(self._images) > IMAGES:
                self._images.popitem(last=False)
        height, width = image.shape[:2]
        # Four numbers a pixel are what a canvas takes.
        rgba = np.dstack([image, np.full((height, width), 255, np.uint8)])
        return {"id": key, "width": width, "height": height, "pixels": _packed(rgba), "note": note}

    def _view(self, image: str, model: str) -> AttentionTrace:
        if model not in self.models:
            raise ModelError(f"There is no model {model!r} on this page; it has {', '.join(self.models)}.")
        if image not in self._images:
            raise ImageError("This image is no longer kept; open it again.")
        key = (image, model)
        if key not in self._views:
            self._views[key] = attend(self.models[model], self._images[image])
            while len(self._views) > VIEWS:
                self._views.popitem(last=False)
        self._views.move_to_end(key)
        self._images.move_to_end(image)
        return self._views[key]

    def _labels_without(self, view: AttentionTrace, kind: str) -> npt.NDArray[np.uint8]:
        images = torch.from_numpy(view.image.transpose(2, 0, 1)[None].copy())
        with _asleep(view, kind), eval_mode(view.network):
            device = next(view.network.parameters()).device
            labels: npt.NDArray[np.uint8] = predict_labels(view.network, images.to(device))[0].cpu().numpy()
        return labels

    def _values(
        self, view: AttentionTrace, point: tuple[int, int], kind: str
    ) -> tuple[npt.NDArray[np.float32], Extent]:
        maps = _maps(view)
        part: PositionTrace | PositionCenters | HeadTrace
        if kind not in maps:
            raise ModelError(f"There is no map {kind!r}; this model has {', '.join(maps) or 'none'}.")
        if kind == "attends to":
            values, part = view.position.maps([point]), view.position
        elif kind == "attended by":
            values, part = view.position.received([point]), view.position
        elif kind == "centers":
            values, part = view.position_centers.spread([point]), view.position_centers
        else:
            # Near is bright, as with attention.
            part = view.heads[int(kind.removeprefix("alike in head ")) - 1]
            values = -part.distances([point])
        return values[0], view.extent(part)


@contextlib.contextmanager
def _asleep(view: AttentionTrace, kind: str) -> Iterator[None]:
    """Set the learned scale of an attention to 0 for the length of a ``with`` block."""
    names = {"position": "alpha", "channel": "beta"}
    if kind not in names or kind not in view.kinds():
        raise ModelError(f"This model has no {kind} attention to leave out.")
    scale: torch.nn.Parameter = getattr(getattr(view, kind).module, names[kind])
    before = scale.detach().clone()
    with torch.no_grad():
        scale.zero_()
    try:
        yield
    finally:
        with torch.no_grad():
            scale.copy_(before)


def _maps(view: AttentionTrace) -> list[str]:
    """The maps that a pixel of this image has."""
    kinds, names = view.kinds(), []
    if "position" in kinds:
        names += ["attends to", "attended by"]
    if "centers" in kinds:
        names.append("centers")
    if "heads" in kinds:
        names += [f"alike in head {stage}" for stage in range(len(view.heads), 0, -1)]
    return names


def _channel_order(view: AttentionTrace, label: int) -> list[list[float]]:
    """Channels and how each answers to a class, the strongest first; in their own order where none can be told."""
    if "channel" not in view.kinds():
        return []
    try:
        responses = view.channel.responses(label)
    except ModelError:
        return [[channel, 0.0] for channel in range(view.channel.count)]
    return [[int(channel), round(float(responses[channel]), 3)] for channel in np.argsort(-responses, kind="stable")]


def _map(values: npt.NDArray[np.float32], extent: Extent) -> Json:
    rows, columns = values.shape
    return {"rows": rows, "columns": columns, "extent": extent, "values": _packed(values.astype("<f4"))}


def _packed(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
