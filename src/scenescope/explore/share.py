"""One file to send: a look at an image as one HTML page, in which every pixel can be asked without us.

The page holds queries and keys and forms rows and columns of S itself, since all of S would be N x N numbers. They are
float32: energies can be in the hundreds, where float16 would be off by tenths, and weights by as much. What is
segmented with something cut is computed here, and kept as differences, which are mostly zeros. No file of the user is
copied: the image is encoded anew, so nothing of its metadata goes along. The policy in the page lets a browser neither
ask any machine nor run any script but the one that stands in our template.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from scenescope.checkpoints.model_directory import require_classes
from scenescope.drawing.heatmap import color_table
from scenescope.errors import ImageError, ModelError, visible
from scenescope.explore.centers import PositionCenters
from scenescope.explore.channel import ChannelTrace
from scenescope.explore.knife import Cut, attention_cuts
from scenescope.explore.points import Point, cell_numbers, chosen_points, require_inside
from scenescope.explore.position import PositionTrace
from scenescope.explore.squeeze import HeadTrace
from scenescope.explore.trace import AttentionTrace
from scenescope.files import write_text
from scenescope.labels import Classes

MAX_BYTES = 6_000_000
"""Of a page: what mail and chat still take."""
GENERATOR = "scenescope attend --html"
"""Stands in the head of every page, by which it is known again."""
POINTS = 4
"""Pixels that a page keeps side by side."""
_CHANNELS = 3
"""Attended channels kept for each class."""
_REST = 400_000
"""Bytes, about, of image, labels and cuts, of which the size is not known before they are made."""
_QUALITY = 88

Json = dict[str, Any]
Progress = Callable[[int, int], object]


class TooLargeError(ImageError):
    """A page that would not fit; ``num_bytes`` is about what it would have."""

    def __init__(self, trace: AttentionTrace, num_bytes: int) -> None:
        height, width = trace.image.shape[:2]
        super().__init__(
            f"The page of an image of {width} x {height} pixels would have {num_bytes / 1e6:.1f} MB, and"
            f" {MAX_BYTES / 1e6:.0f} are the most; scale the image down."
        )
        self.num_bytes = num_bytes


def write_look(trace: AttentionTrace, classes: Classes, path: Path, *, title: str, **more: Any) -> None:
    """Write a look at an image as one HTML file that needs no other, at most 6 MB; see ``look_html``.

    Raises:
        StorageError: the place cannot be written.
        ImageError, ModelError: as ``look_html``.
    """
    write_text(path, look_html(trace, classes, title=title, **more))


def look_html(
    trace: AttentionTrace,
    classes: Classes,
    *,
    title: str,
    model: str = "",
    notes: Sequence[str] = (),
    points: Sequence[Point] = (),
    progress: Progress | None = None,
) -> str:
    """Return a look at an image as an HTML page that needs nothing else.

    Args:
        classes: names and colors of the K classes of the network.
        title: such as the name of the image; any text.
        model: the name of the model; any text.
        notes: sentences about what was done to the image.
        points: pixels that the page opens with, at most four; when empty, one in the largest class.
        progress: called with how many of the segmentations are done, and of how many.

    Raises:
        ImageError: a point lies outside the image, or the page would be larger than 6 MB (``TooLargeError``).
        ModelError: the network has no attention to look into, or another number of classes.
    """
    from jinja2 import Environment, StrictUndefined

    height, width = trace.image.shape[:2]
    for point in points:
        require_inside(point, width, height)
    look, missing = _look(trace, classes, progress)
    look["points"] = [list(point) for point in (points or chosen_points(trace.labels, 1))[:POINTS]]
    template = importlib.resources.files(__package__).joinpath("look.html").read_text(encoding="utf-8")
    html = visible(  # names of files may hold bytes that are no text
        Environment(autoescape=True, undefined=StrictUndefined)
        .from_string(template)
        .render(
            title=title,
            model=model,
            notes=[*notes, *missing],
            look=look,
            policy=_policy(template),
            generator=GENERATOR,
            width=width,
            height=height,
        )
    )
    if (num_bytes := len(html.encode())) > MAX_BYTES:
        raise TooLargeError(trace, num_bytes)
    return html


def _policy(template: str) -> str:
    """Return the content security policy: no address at all, and no style or script but those of the template."""
    allowed = []
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
        allowed.append(f"{tag}-src 'sha256-{_base64(hashlib.sha256(content.encode()).digest())}'")
    return f"default-src 'none'; img-src data:; {'; '.join(allowed)}; base-uri 'none'; form-action 'none'"


def _look(trace: AttentionTrace, classes: Classes, progress: Progress | None) -> tuple[Json, list[str]]:
    """Return what the page holds, and sentences about what it does not."""
    require_classes(trace.network, classes, "the list of class names")
    kinds, name = trace.kinds(), trace.network.config.get("name", "network")
    if not kinds:
        raise trace.refusal("has no attention to look into; danet, sanet, dranet and fcn_se have")
    height, width = trace.image.shape[:2]
    look: Json = {"width": width, "height": height, "names": classes.names, "palette": classes.palette}
    look |= {"colors": _packed(color_table()), "scales": trace.scales, "heads": []}
    missing = []
    if "position" in kinds:
        look["position"] = _position(trace)
        if (num_bytes := len(look["position"]["factors"]) + _REST) > MAX_BYTES:
            raise TooLargeError(trace, num_bytes)  # before all that takes time
    else:
        missing.append(f"This {name} has no position attention, so no pixel attends to all others.")
    if "centers" in kinds:
        look["centers"] = _centers(trace)
    if "channel" in kinds:
        look["channel"] = _channels(trace)
    if "excitation" in kinds:
        missing.append("The weights of its channels are not in this file; attend --output draws them.")
    look["photo"] = _photo(trace.image)
    look["labels"] = _packed(trace.labels)
    look["cuts"] = _cuts(trace, classes, progress)
    if "heads" in kinds:
        # The last stage first: it says most, and takes least.
        for stage in range(len(trace.heads), 0, -1):
            head = _head(trace, stage)
            if _size(look) + _size(head) > MAX_BYTES - _REST // 4:
                missing.append(f"Head {stage} is not in this file, which would be too large.")
            else:
                look["heads"].append(head)
    return look, missing


def _position(trace: AttentionTrace) -> Json:
    position = trace.position
    query, key, normalizers = position.factors()
    factors = _packed_floats(np.concatenate([query, key, normalizers[None]]))
    return {**_grid(trace, position), "depth": len(query), "factors": factors, "labels": _packed(position.classes)}


def _centers(trace: AttentionTrace) -> Json:
    centers = trace.position_centers
    rows, columns = centers.features.shape[-2:]
    height, width = trace.image.shape[:2]
    grid = _grid(trace, centers)
    # A pixel of each cell; a cell that no pixel sees is never asked.
    across, down = (
        np.searchsorted(lookup, range(count)).clip(max=pixels - 1)
        for lookup, count, pixels in zip(_lookups(trace, centers), (columns, rows), (width, height), strict=True)
    )
    spread = centers.spread([(int(x), int(y)) for y in down for x in across])
    return {**grid, "side": spread.shape[-1], "values": _packed_floats(spread)}


def _channels(trace: AttentionTrace) -> Json:
    channel = trace.channel
    responses = {}
    for label in np.unique(trace.labels):
        try:
            responses[int(label)] = channel.responses(int(label))
        except ModelError:
            continue  # the class fills the image, or is smaller than a position
    kept = sorted({int(each) for found in responses.values() for each in np.argsort(-found)[:_CHANNELS]})
    kept = kept or list(range(min(channel.count, _CHANNELS)))
    return {
        **_grid(trace, channel),
        "channels": kept,
        "count": channel.count,
        "maps": _packed(_levels(channel.maps(kept))),
        "responses": {label: [round(float(found[each]), 3) for each in kept] for label, found in responses.items()},
    }


def _head(trace: AttentionTrace, stage: int) -> Json:
    """The attention of a squeeze-and-attention head in 255 steps for each channel."""
    head = trace.heads[stage - 1]
    attention = head.channels("attention")
    steps = (attention.max(axis=(1, 2)) - attention.min(axis=(1, 2))) / 255
    return {
        **_grid(trace, head),
        "stage": stage,
        "steps": [float(step) for step in steps],
        "values": _packed(_levels(attention)),
    }


def _cuts(trace: AttentionTrace, classes: Classes, progress: Progress | None) -> list[Json]:
    """Segment the image with each attention and each class cut."""
    wanted, found = list(_cuts_of(trace, classes)), []
    for done, (what, label, cut) in enumerate(wanted, start=1):
        result = trace.cut(cut)
        found.append(
            {
                "what": what,
                "class": label,
                "changed": float(result.changed.mean()),
                "difference": _packed(result.labels ^ trace.labels),
            }
        )
        if progress is not None:
            progress(done, len(wanted))
    return found


def _cuts_of(trace: AttentionTrace, classes: Classes) -> Iterator[tuple[str, int | None, Cut]]:
    for name, cut in attention_cuts(trace).items():
        yield f"Without {name}", None, cut
    if "position" in trace.kinds():
        present = np.unique(trace.position.classes)
        if len(present) > 1:  # a class that fills the image leaves nothing to attend to
            for label in map(int, present):
                yield f"Nobody attends to {classes.names[label]}", label, Cut(classes=[label])


def _grid(trace: AttentionTrace, part: PositionTrace | ChannelTrace | HeadTrace | PositionCenters) -> Json:
    """Where the cells of a part lie, and the cell of every pixel: by the same code as all our answers."""
    rows, columns = part.features.shape[-2:]
    grid: Json = {"rows": rows, "columns": columns, "extent": trace.extent(part)}
    if not isinstance(part, ChannelTrace):
        across, down = _lookups(trace, part)
        grid |= {"across": _packed(across), "down": _packed(down)}
    return grid


def _lookups(
    trace: AttentionTrace, part: PositionTrace | HeadTrace | PositionCenters
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """The column of cells of every column of pixels, W, and the row of cells of every row, H."""
    height, width = size = trace.image.shape[0], trace.image.shape[1]
    columns = part.features.shape[-1]
    across = cell_numbers([(x, 0) for x in range(width)], size, part.cells, part.features).cpu().numpy() % columns
    down = cell_numbers([(0, y) for y in range(height)], size, part.cells, part.features).cpu().numpy() // columns
    return across.astype(np.uint16), down.astype(np.uint16)


def _levels(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return C x h x w maps, each from 0, its smallest value, to 255, its largest."""
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    spread = np.where(high > low, high - low, 1)
    levels: npt.NDArray[np.uint8] = ((maps - low) / spread * 255).round().astype(np.uint8)
    return levels


def _photo(image: npt.NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{_base64(buffer.getvalue())}"


def _packed(array: npt.NDArray[Any]) -> str:
    """Return numbers as the browser's DecompressionStream takes them, in base64; lowest byte first."""
    little = array.astype(array.dtype.newbyteorder("<"))
    return _base64(zlib.compress(np.ascontiguousarray(little).tobytes(), 9))


def _packed_floats(array: npt.NDArray[np.float32]) -> str:
    """Return float32 with all first bytes first, then all second ones: the exponents compress, the rest does not."""
    numbers = np.ascontiguousarray(array, dtype="<f4").reshape(-1)
    return _packed(numbers.view(np.uint8).reshape(-1, 4).T)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _size(part: object) -> int:
    """About how many bytes a part has as JSON."""
    if isinstance(part, dict):
        return sum(map(_size, part.values()))
    return sum(map(_size, part)) if isinstance(part, list | tuple) else len(str(part))
