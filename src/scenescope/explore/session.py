"""What the page asks, answered in plain numbers: images that were opened, and what models see in them."""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scenescope.bands import as_shown
from scenescope.data.band_files import apply_rule, read_stored_bands
from scenescope.data.decoding import stored
from scenescope.data.images import opened, scaled_down
from scenescope.drawing.heatmap import Extent, color_table
from scenescope.errors import ImageError, ModelError
from scenescope.explore.centers import PositionCenters
from scenescope.explore.knife import Cut
from scenescope.explore.own_class import own_class
from scenescope.explore.points import cell_region
from scenescope.explore.position import PositionTrace
from scenescope.explore.share import look_html
from scenescope.explore.squeeze import HeadTrace
from scenescope.explore.trace import AttentionTrace, attend
from scenescope.inference.segmenter import SeenImage, Segmenter

LONGEST_SIDE = 1024
"""Larger images are scaled down to it, so that every click is answered at once."""
MAX_PIXELS = 50_000_000
"""Of an image to open, before it is decoded."""
IMAGES, VIEWS = 8, 4
"""How many of the latest are kept."""
THUMBNAIL = 160
"""Pixels of the longer side of an example where it is offered."""
MAX_SCALE = 4
"""Times the learned scale of an attention at most."""

Json = dict[str, Any]


@dataclass
class Session:
    """The models of a page and the images opened in it. Safe to use from several threads.

    Args:
        models: by the name to show, at least one.
        example: H x W x 3 uint8 RGB, what the page opens on.
        examples: others that it offers, by what they show and who made them.
    """

    models: Mapping[str, Segmenter]
    example: npt.NDArray[Any]
    examples: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    _images: OrderedDict[str, npt.NDArray[Any]] = field(default_factory=OrderedDict, repr=False)
    _views: OrderedDict[tuple[str, str], AttentionTrace] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    # One by one, since a small file may be a large image; and in one thread, since the C library keeps what it frees
    # for the thread that had it.
    _decoder: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 1), repr=False)

    def __post_init__(self) -> None:
        if len({each.band_rule for each in self.models.values()}) > 1:
            told = "; ".join(f"{name} sees {each.band_rule or '8-bit RGB'}" for name, each in self.models.items())
            raise ModelError(f"The models of a page look at the same images, but {told}. Name those that see alike.")

    def start(self) -> Json:
        """Return the models, the colors of maps, the examples on offer, and the first example as an opened image."""
        models = {
            name: {"classes": each.classes.names, "palette": each.classes.palette} for name, each in self.models.items()
        }
        return {
            "models": models,
            "colors": color_table().tolist(),
            "examples": [
                {"name": name, **_pixels(as_shown(scaled_down(each, THUMBNAIL)))}
                for name, each in self.examples.items()
            ],
            "image": self._keep(self.example),
        }

    def open(self, content: bytes, name: str) -> Json:
        """Take an image: its number, size and pixels as displayed, and what was done to it.

        Raises:
            ImageError: it cannot be read or is too large.
        """
        return self._decoder.submit(self._opened, content, name).result()

    def _opened(self, content: bytes, name: str) -> Json:
        # The name is only said in messages; it is never opened.
        if (rule := next(iter(self.models.values())).band_rule) is not None:
            path = Path(name or "the image")
            return self._keep(apply_rule(read_stored_bands(path, MAX_PIXELS, content), rule, path))
        with opened(Path(name or "the image"), MAX_PIXELS, content) as file:
            found = stored(file)
            notes, image = found.conversions(), found.rgb()
        return self._keep(image, *notes)

    def open_example(self, name: str) -> Json:
        """Return one of the examples as an opened image.

        Raises:
            ImageError: there is none of this name.
        """
        if name not in self.examples:
            raise ImageError(f"There is no example {name!r} on this page; it has {', '.join(self.examples) or 'none'}.")
        return self._keep(self.examples[name], name)

    def predict(self, image: str, model: str) -> Json:
        """Return the labels of an image, and what can be asked about it.

        Raises:
            ImageError: the image is no longer kept.
            ModelError: there is no such model.
        """
        with self._lock:
            view = self._view(image, model)
            return {
                "labels": _packed(view.labels),
                "shares": _shares(view, view.labels),
                "maps": _maps(view),
                "channels": view.channel.count if "channel" in view.kinds() else 0,
                "scales": view.scales,
                "knife": _knife(view),
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
            answer, view = self.probability(image, model, point), self._view(image, model)
            answer["channels"] = _channel_order(view, answer["label"])
            if kind:
                answer["map"] = _map(*self._values(view, point, kind))
            if kind == "attends to":
                found = own_class(view, point)
                answer["own"] = {
                    "share": found.share,
                    "chance": found.chance,
                    "paid": found.paid,
                    "area": found.area,
                    "verdict": found.verdict(self.models[model].classes.names),
                }
            return answer

    def probability(self, image: str, model: str, point: tuple[int, int]) -> Json:
        """Return class and probability of a pixel, and the three likeliest classes.

        Raises:
            ImageError: the image is no longer kept, or the point lies outside it.
            ModelError: there is no such model.
        """
        with self._lock:
            view = self._view(image, model)
            probabilities = view.probabilities(point)
            label = int(view.labels[point[1], point[0]])
        best = [int(each) for each in np.argsort(-probabilities, kind="stable")[:3]]
        return {
            "label": label,
            "probability": float(probabilities[label]),
            "best": [[each, float(probabilities[each])] for each in best],
        }

    def cut(
        self,
        image: str,
        model: str,
        *,
        region: str = "",
        keep: bool = False,
        classes: Sequence[int] = (),
        alpha: float = 1.0,
        beta: float = 1.0,
        heads: Sequence[int] = (),
        source: str = "",
    ) -> Json:
        """Segment an image again with some of its attention cut: the new labels, and which class became which.

        Args:
            region: base64 of a bit for each position of attention, row by row from the highest bit of the first byte;
                "" is no region.
            keep, classes, heads: see ``Cut``.
            alpha, beta: what the learned scales are multiplied by, 0 to ``MAX_SCALE``.
            source: another opened image, of which keys and values are taken; "" is the image itself.

        Raises:
            ImageError: the image is no longer kept, or the region is not one of its positions.
            ModelError: there is no such model, attention, class or head, a scale is out of range, or nothing is left.
        """
        for name, factor in (("alpha", alpha), ("beta", beta)):
            if not 0 <= factor <= MAX_SCALE:  # NaN neither
                raise ModelError(f"{name} times {factor} is not possible; give 0 to {MAX_SCALE}, 1 is as learned.")
        with self._lock:
            view = self._view(image, model)
            other = self._view(source, model) if source else None
            chosen = _region(other or view, region) if region else None
            cut = Cut(chosen, keep, classes, heads=heads, alpha=alpha, beta=beta, source=other)
            result = view.cut(cut)
        moved = result.moved.copy()
        np.fill_diagonal(moved, 0)
        pairs = sorted(zip(*np.nonzero(moved), strict=True), key=lambda pair: -moved[pair])
        return {
            "labels": _packed(result.labels),
            "shares": _shares(view, result.labels),
            "changed": int(result.changed.sum()),
            "moved": [[int(before), int(after), int(moved[before, after])] for before, after in pairs],
        }

    def channel(self, image: str, model: str, channel: int) -> Json:
        """Return the map of an attended channel.

        Raises:
            ImageError: the image is no longer kept.
            ModelError: there is no such model or channel.
        """
        with self._lock:
            view = self._view(image, model)
            return {"map": _map(view.channel.maps([channel])[0], view.extent(view.channel))}

    def share(self, image: str, model: str) -> Json:
        """Return a look at an image as a page of its own that needs nothing else, see ``share.look_html``.

        Raises:
            ImageError: the image is no longer kept, or the page would be larger than 6 MB.
            ModelError: there is no such model, or it has no attention to look into.
        """
        with self._lock:
            view = self._view(image, model)
        return {"html": look_html(view, self.models[model].classes, title="A look at attention", model=model)}

    def _keep(self, image: npt.NDArray[Any], *notes: str) -> Json:
        key, (height, width) = secrets.token_hex(8), image.shape[:2]
        image = scaled_down(image, LONGEST_SIDE)
        if image.shape[:2] != (height, width):
            notes = (*notes, f"shown at {image.shape[1]} x {image.shape[0]} pixels, not {width} x {height}")
        with self._lock:
            self._images[key] = image
            while len(self._images) > IMAGES:
                self._images.popitem(last=False)
        return {"id": key, **_pixels(as_shown(image)), "note": "; ".join(notes)}

    def _view(self, image: str, model: str) -> AttentionTrace:
        if model not in self.models:
            raise ModelError(f"There is no model {model!r} on this page; it has {', '.join(self.models)}.")
        if image not in self._images:
            raise ImageError("This image is no longer kept; open it again.")
        key = (image, model)
        if key not in self._views:
            self._views[key] = attend(self.models[model], SeenImage(self._images[image]))
            while len(self._views) > VIEWS:
                self._views.popitem(last=False)
        self._views.move_to_end(key)
        self._images.move_to_end(image)
        return self._views[key]

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


def _shares(view: AttentionTrace, labels: npt.NDArray[np.uint8]) -> list[float]:
    """The share of an image that each of the K classes covers."""
    shares: list[float] = (np.bincount(labels.ravel(), minlength=view.network.num_classes) / labels.size).tolist()
    return shares


def _knife(view: AttentionTrace) -> Json:
    """What can be cut: where the positions of attention lie, which scales there are, and how many heads."""
    kinds, knife = view.kinds(), {}
    if "position" in kinds:
        rows, columns = view.position.features.shape[-2:]
        knife["cells"] = {"rows": rows, "columns": columns, "extent": view.extent(view.position)}
    return {"cells": None, **knife, "scales": list(view.scales), "heads": len(view.heads) if "heads" in kinds else 0}


def _region(view: AttentionTrace, packed: str) -> npt.NDArray[np.bool_]:
    """The pixels, H x W, that belong to positions of attention given as bits."""
    rows, columns = view.position.features.shape[-2:]
    try:
        bits = np.unpackbits(np.frombuffer(base64.b64decode(packed, validate=True), np.uint8))
    except binascii.Error as error:
        raise ImageError("The region is no base64; give one bit for each position.") from error
    if not rows * columns <= bits.size < rows * columns + 8:
        raise ImageError(
            f"A region of {bits.size} bits does not fit; this image has {rows} x {columns} positions of attention, so"
            f" give {rows * columns} bits, filled up to whole bytes."
        )
    chosen = bits[: rows * columns].reshape(rows, columns).astype(bool)
    return cell_region(chosen, view.position.cells, view.labels.shape)


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


def _pixels(image: npt.NDArray[np.uint8]) -> Json:
    """Size and pixels of an image, with four numbers a pixel as a canvas takes them."""
    height, width = image.shape[:2]
    rgba = np.dstack([image, np.full((height, width), 255, np.uint8)])
    return {"width": width, "height": height, "pixels": _packed(rgba)}


def _packed(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
