"""The figures of the papers: what marked points attend to, channels, heads, prediction and truth.

Fu et al., CVPR 2019, the figure of attention maps; Zhong et al., CVPR 2020, the figure of attention and main channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from scenescope.drawing.overlay import blend, colorize
from scenescope.drawing.panels import Panel
from scenescope.errors import ModelError
from scenescope.explore.points import Point
from scenescope.explore.trace import AttentionTrace
from scenescope.labels import Classes

HEADS = (1, 4)
"""Stages whose heads the SANet paper shows."""


@dataclass(frozen=True)
class FigureRequest:
    """What to show of an image.

    Attributes:
        points: pixels to ask about.
        channels: attended channels to show; when empty, the two that answer most to the class of the first point.
        received: show who attends to each point as well.
        heads: stages whose squeeze-and-attention heads to show, 1 to 4.
        truth: H x W labels.
        others: label maps of other models by their name.
    """

    points: Sequence[Point]
    channels: Sequence[int] = ()
    received: bool = False
    heads: Sequence[int] = HEADS
    truth: npt.NDArray[np.uint8] | None = None
    others: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)


@dataclass(frozen=True)
class AttentionFigure:
    """What is to be drawn and kept.

    Attributes:
        rows: of panels, the figure.
        arrays: the raw numbers by name.
    """

    rows: list[list[Panel]]
    arrays: dict[str, npt.NDArray[np.generic]]


def build_figure(view: AttentionTrace, classes: Classes, question: FigureRequest) -> AttentionFigure:
    """Gather what the attention of a network says about some points of an image.

    Raises:
        ModelError: the network has no attention, or not the channels or heads that are asked for.
        ImageError: a point lies outside the image.
    """
    kinds = view.kinds()
    if question.channels and "channel" not in kinds:
        _ = view.channel  # refuses by name
    if not kinds:
        raise view.refusal("has no attention to look into; danet, sanet, dranet and fcn_se have")
    image, points = view.image, question.points
    first = [Panel("image", image, points=points)]
    arrays: dict[str, npt.NDArray[np.generic]] = {"points": np.array(points), "labels": view.labels}
    rows: list[list[Panel]] = []
    last: list[Panel] = []
    if "position" in kinds:
        maps, extent = view.position.maps(points), view.extent(view.position)
        arrays["position"] = maps
        first += [
            Panel(
                f"attention of {number}: {_name(view, classes, point)}",
                image,
                maps[number - 1],
                [point],
                number,
                extent,
            )
            for number, point in enumerate(points, start=1)
        ]
        if question.received:
            columns = view.position.received(points)
            arrays["received"] = columns
            rows.append(
                [
                    Panel(f"who attends to {number}", image, columns[number - 1], [point], number, extent)
                    for number, point in enumerate(points, start=1)
                ]
            )
        arrays["between_classes"] = view.position.between_classes()
    if "centers" in kinds:
        maps, extent = view.position_centers.spread(points), view.extent(view.position_centers)
        arrays |= {"centers": maps, "center_weights": view.position_centers.weights(points)}
        first += [
            Panel(
                f"centers of {number}: {_name(view, classes, point)}", image, maps[number - 1], [point], number, extent
            )
            for number, point in enumerate(points, start=1)
        ]
    if "channel" in kinds:
        channels = list(question.channels) or _responsive(view, points)
        maps, extent = view.channel.maps(channels), view.extent(view.channel)
        arrays |= {"channels": np.array(channels), "channel_maps": maps, "channel_rows": view.channel.rows(channels)}
        last += [
            Panel(f"channel {channel}", image, each, extent=extent)
            for channel, each in zip(channels, maps, strict=True)
        ]
    if "excitation" in kinds:
        arrays["excitation"] = view.excitation
        last.append(Panel("weights of the channels", bars=view.excitation))
    if "heads" in kinds:
        for stage in question.heads:
            rows += _head_rows(view, stage, points, arrays)
    palette = classes.palette
    last.append(Panel("prediction", blend(image, view.labels, palette)))
    last += [Panel(f"prediction of {name}", blend(image, labels, palette)) for name, labels in question.others.items()]
    if question.truth is not None:
        last.append(Panel("truth", colorize(question.truth, palette)))
        arrays["truth"] = question.truth
    if "heads" in kinds:
        first, last = first + last, []
    arrays |= {f"scale_{name}": np.array(value) for name, value in view.scales.items()}
    return AttentionFigure(_wrapped([first, *rows, last]), arrays)


def describe(view: AttentionTrace, classes: Classes, point: Point) -> str:
    """Return the class of a pixel and its probability in words.

    Raises:
        ImageError: the point lies outside the image.
    """
    probability = view.probabilities(point)[view.labels[point[1], point[0]]]
    return f"{point[0]},{point[1]}: {_name(view, classes, point)}, probability {probability:.2f}"


def _head_rows(
    view: AttentionTrace, stage: int, points: Sequence[Point], arrays: dict[str, npt.NDArray[np.generic]]
) -> list[list[Panel]]:
    """One row per point: how far attention is from that of the point, and the most active channels."""
    if not 1 <= stage <= len(view.heads):
        raise ModelError(f"There is no head {stage}; this network has the heads 1 to {len(view.heads)}.")
    head, image = view.heads[stage - 1], view.image
    distances, extent = head.distances(points), view.extent(head)
    arrays[f"head{stage}_distance"] = distances
    rows = []
    for number, (point, distance) in enumerate(zip(points, distances, strict=True), start=1):
        row = [Panel(f"head {stage}, attention: distance from {number}", image, distance, [point], number, extent)]
        for part in ("main", "output"):
            channel = head.most_active(part, point=point)[0]
            values = head.channels(part)[channel]
            arrays[f"head{stage}_{part}_{number}"] = values
            row.append(Panel(f"head {stage}, {part}: channel {channel}", image, values, [point], number, extent))
        rows.append(row)
    return rows


def _responsive(view: AttentionTrace, points: Sequence[Point]) -> list[int]:
    for x, y in points:
        try:
            return view.channel.responsive(int(view.labels[y, x]))
        except ModelError:
            continue  # the class fills the image, or is smaller than a position
    return [0]


def _name(view: AttentionTrace, classes: Classes, point: Point) -> str:
    return classes.names[int(view.labels[point[1], point[0]])]


def _wrapped(rows: list[list[Panel]], across: int = 4) -> list[list[Panel]]:
    """Break rows that are longer than ``across``."""
    return [row[start : start + across] for row in rows for start in range(0, len(row), across)]
