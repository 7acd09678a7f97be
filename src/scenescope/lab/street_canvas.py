"""What a generated street is painted with: a camera, a light, and a picture and a label map filled in step."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
"""Column and row on the canvas, in canvas pixels."""

Tint = tuple[float, float, float]
"""Red, green and blue, each 0 to 1."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along a street.

    Attributes:
        focal: focal length in canvas pixels.
        centre: column of the vanishing point.
        horizon: row of the horizon.
        height: metres above the ground.
    """

    focal: float
    centre: float
    horizon: float
    height: float

    def project(self, x: float, y: float, z: float) -> Point:
        """Return where a point x metres to the right, y above the ground and z ahead is seen."""
        return self.centre + self.focal * x / z, self.horizon + self.focal * (self.height - y) / z


@dataclass(frozen=True)
class Light:
    """The weather and the hour: what they do to a colour.

    Attributes:
        side: the sun stands to the left (-1) or to the right (+1).
        direct: share of the light that comes from the sun, 0 (overcast) to 1.
        tint: colour of the light.
        haze: colour that far things fade into.
        density: haze per metre.
        dusk: lamps and windows are lit.
    """

    side: int
    direct: float
    tint: Tint
    haze: Tint
    density: float
    dusk: bool

    def shade(self, colour: Tint, z: float, normal: int = 0, emits: bool = False) -> tuple[int, int, int]:
        """Return the 0-255 colour of a surface z metres away.

        Args:
            normal: the side the surface faces: -1 left, +1 right, 0 the camera.
            emits: the surface shines by itself, so that only haze dims it.
        """
        level = 1.0 + self.direct * (0.28 * normal * self.side - 0.06 * (normal == 0))
        clear = exp(-self.density * z)
        red, green, blue = (
            round(255 * min(1.0, clear * part * (1.0 if emits else level * lit) + (1.0 - clear) * far))
            for part, lit, far in zip(colour, self.tint, self.haze, strict=True)
        )
        return red, green, blue


class Canvas:
    """A picture and its label map, painted far to near.

    Args:
        background: H x W x 3 uint8, what is seen where nothing is painted.
        labels: H x W uint8, its train ids.
    """

    def __init__(self, background: np.ndarray, labels: np.ndarray, camera: Camera, light: Light) -> None:
        self.picture = Image.fromarray(background)
        self.labels = Image.fromarray(labels)
        self.camera = camera
        self.light = light
        self._colour = ImageDraw.Draw(self.picture)
        self._label = ImageDraw.Draw(self.labels)

    def polygon(self, points: Sequence[Point], colour: tuple[int, int, int], label: int | None = None) -> None:
        """Fill a polygon; without a label it is a detail of what lies there already."""
        self._colour.polygon(points, fill=colour)
        if label is not None:
            self._label.polygon(points, fill=label)

    def disc(
        self, centre: Point, radii: tuple[float, float], colour: tuple[int, int, int], label: int | None = None
    ) -> None:
        """Fill an ellipse with half axes ``radii``."""
        (column, row), (across, down) = centre, radii
        box = (column - across, row - down, column + across, row + down)
        self._colour.ellipse(box, fill=colour)
        if label is not None:
            self._label.ellipse(box, fill=label)

    def upright(
        self,
        left: float,
        right: float,
        bottom: float,
        top: float,
        z: float,
        colour: tuple[int, int, int],
        label: int | None = None,
    ) -> None:
        """Fill a rectangle that faces the camera; all in metres."""
        a, c = self.camera.project(left, bottom, z), self.camera.project(right, top, z)
        self.polygon([a, (c[0], a[1]), c, (a[0], c[1])], colour, label)


def drab(generator: np.random.Generator, low: float = 0.25, high: float = 0.8, saturation: float = 0.3) -> Tint:
    """Draw a greyish colour, warm or cool; walls, roads, pavements, poles, cars and coats all use these."""
    hue = generator.uniform(0.02, 0.14) if generator.random() < 0.6 else generator.uniform(0.5, 0.68)
    return colorsys.hsv_to_rgb(hue, generator.uniform(0.0, saturation), generator.uniform(low, high))


def brick(generator: np.random.Generator) -> Tint:
    """Draw the colour of brick, sandstone or plaster: warm, from a dark red to cream, seldom grey."""
    return colorsys.hsv_to_rgb(generator.uniform(0.0, 0.13), generator.uniform(0.1, 0.55), generator.uniform(0.4, 0.9))


def vivid(generator: np.random.Generator, weakest: float = 0.4, strongest: float = 0.8) -> Tint:
    """Draw a colour of any hue, green included, with a saturation in the given range."""
    saturation = generator.uniform(weakest, strongest)
    return colorsys.hsv_to_rgb(generator.random(), saturation, generator.uniform(0.35, 0.85))


def paint(generator: np.random.Generator, vividness: float = 0.4) -> Tint:
    """Draw the colour of something that people paint or wear: strong with probability ``vividness``."""
    return vivid(generator) if generator.random() < vividness else drab(generator, 0.12, 0.9)


def scaled(colour: Tint, factor: float) -> Tint:
    """Return a darker (factor below 1) or lighter colour."""
    red, green, blue = (min(1.0, part * factor) for part in colour)
    return red, green, blue
