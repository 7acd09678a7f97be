"""scenescope attend: what a pixel attends to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from scenescope.cli.inference_options import DeviceOption, ModelOption, output_path
from scenescope.errors import ScenescopeError

if TYPE_CHECKING:
    from scenescope.explore.position import Point


def attend(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    point: Annotated[
        list[str], typer.Option(metavar="X,Y", help="Pixel to ask about, from the upper left corner; may be repeated.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the pictures.", parser=output_path)],
    model: ModelOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Draw what chosen pixels of a picture attend to, over the picture, and say which class each is."""
    from PIL import Image

    from scenescope.data.images import read_image
    from scenescope.drawing.heatmap import mark_points, over
    from scenescope.drawing.overlay import blend
    from scenescope.drawing.png import save_png
    from scenescope.explore.figure import side_by_side
    from scenescope.explore.position import position_attention, require_inside
    from scenescope.files import output_directory
    from scenescope.inference.segmenter import Segmenter

    points = list(dict.fromkeys(_parse_point(text) for text in point))
    picture = read_image(image)
    for place in points:
        require_inside(place, picture.shape[1], picture.shape[0])
    segmenter = Segmenter.load(model, device)
    maps = position_attention(segmenter.network, picture, points)
    with output_directory(output):
        prediction = segmenter.predict(picture, probabilities=True)
        assert prediction.probabilities is not None  # asked for
        console = Console()
        panels = [("image", mark_points(picture, points))]
        for (x, y), attention in zip(points, maps, strict=True):
            drawn = mark_points(over(picture, attention), [(x, y)])
            save_png(Image.fromarray(drawn), output / f"{image.stem}_attention_{x}_{y}.png")
            panels.append((f"attention of {x},{y}", drawn))
            label = int(prediction.labels[y, x])
            name, probability = segmenter.classes.names[label], prediction.probabilities[label, y, x]
            console.print(f"{x},{y}: {name}, probability {probability:.2f}", markup=False, highlight=False)
        panels.append(("prediction", blend(picture, prediction.labels, segmenter.classes.palette)))
        save_png(side_by_side(panels), output / f"{image.stem}_figure.png")
        console.print(f"Pictures are in {output}.", markup=False, highlight=False, soft_wrap=True)


def _parse_point(text: str) -> Point:
    matched = re.fullmatch(r"\s*(-?\d+)\s*,\s*(-?\d+)\s*", text)
    if matched is None:
        raise ScenescopeError(f"--point {text!r} is not a pixel; write two whole numbers, such as 120,80.")
    return int(matched[1]), int(matched[2])
