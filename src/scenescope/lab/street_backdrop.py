"""What lies behind the things of a generated street: sky, ground, the shadows on it, and the far end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scenescope.lab.street_canvas import Camera, Canvas, Light, Tint, drab, scaled
from scenescope.lab.street_things import BUILDING, PAVEMENT, ROAD, SKY, TREE

END = 90.0
"""Metres to the far end of the street."""

Obstacle = tuple[float, float, float, float]
"""What keeps the sun from the ground: its place to the side, its near and far end, the length of its shadow; metres."""


@dataclass(frozen=True)
class Layout:
    """Where the street runs, in metres from the camera: road between ``left`` and ``right``, then pavements."""

    left: float
    right: float
    pavement: float

    @property
    def walls(self) -> tuple[float, float]:
        """The building lines on either side."""
        return self.left - self.pavement, self.right + self.pavement


def draw_sky(
    generator: np.random.Generator, light: Light, zenith: Tint, size: tuple[int, int], horizon: float
) -> np.ndarray:
    """Return height x width x 3 uint8: a gradient with soft clouds, drawn coarsely as nothing in it is sharp."""
    height, width = size
    coarse = height // 4, width // 4
    down = np.clip(np.arange(2, height, 4, dtype=np.float32) / horizon, 0, 1)[:, None, None] ** 1.3
    sky = (1 - down) * _array(zenith) + down * _array(light.haze)
    clouds = 0.65 * _cloud(generator, (5, 4), coarse) + 0.35 * _cloud(generator, (14, 10), coarse)
    cover = np.clip((clouds - generator.uniform(0.4, 0.7)) * 4, 0, 1)[..., None] * generator.uniform(0.3, 0.9)
    sky = sky + cover * (_array(light.haze) * np.float32(1.03) - sky)
    small = Image.fromarray((np.clip(sky, 0, 1) * 255).astype(np.uint8))
    return np.array(small.resize((width, height), Image.Resampling.BILINEAR))


def draw_ground(
    generator: np.random.Generator,
    camera: Camera,
    light: Light,
    layout: Layout,
    sky: np.ndarray,
    shadow: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Lay road and pavements under the sky: picture, height x width x 3 uint8, and labels."""
    height, width = shadow.shape
    first = int(camera.horizon) + 2
    rows = np.arange(first, height, dtype=np.float32)[:, None]
    z = camera.focal * camera.height / (rows - camera.horizon)
    x = (np.arange(width, dtype=np.float32)[None] - camera.centre) * z / camera.focal
    on_road = (x > layout.left) & (x < layout.right)

    asphalt, slabs = drab(generator, 0.26, 0.44, 0.08), drab(generator, 0.48, 0.76, 0.14)
    colour = np.where(on_road[..., None], _array(asphalt), _array(slabs))
    level = np.ones_like(x)
    near = np.clip(1.6 - z / 14, 0, 1)  # Fine lines fade where they would only flicker.
    slab = generator.uniform(0.6, 1.4)
    joint = (np.mod(x - layout.left, slab) < 0.05) | (np.mod(z, slab) < 0.07)
    level -= np.float32(0.2) * (joint & ~on_road) * near
    checker = (np.floor((x - layout.left) / slab) + np.floor(z)) % 2
    level += np.float32(0.16) * (checker - 0.5) * ~on_road * near
    level += 0.16 * (_cloud(generator, (6, 8), x.shape) - 0.5)
    level += (generator.random(x.shape, dtype=np.float32) - 0.5) * np.where(on_road, np.float32(0.16), np.float32(0.07))

    kerb = np.minimum(abs(x - layout.left), abs(x - layout.right)) < 0.11
    marking = on_road & (abs(x - (layout.left + layout.right) / 2) < 0.09) & (np.mod(z, 6.0) < 3.2)
    if generator.random() < 0.4:
        start = generator.uniform(6.0, 14.0)
        marking |= on_road & (z > start) & (z < start + 3.0) & (np.mod(x - layout.left, 1.0) < 0.5)
    colour[kerb] = scaled(slabs, 1.22)
    colour[marking] = (0.86, 0.86, 0.82)
    if generator.random() < 0.15:
        lane = on_road & (x > layout.right - 1.4) & ~kerb
        colour[lane] = (0.35, 0.5, 0.33) if generator.random() < 0.5 else (0.6, 0.33, 0.28)

    clear = np.exp(-light.density * z)
    colour *= (clear * level * (1 - shadow[first:]))[..., None] * _array(light.tint)
    colour += (1 - clear)[..., None] * _array(light.haze)
    picture = sky.copy()
    picture[first:] = np.clip(colour, 0, 1) * 255
    labels = np.full((height, width), SKY, np.uint8)
    labels[first:] = np.where(on_road, ROAD, PAVEMENT)
    return picture, labels


def draw_shadows(camera: Camera, light: Light, obstacles: Sequence[Obstacle], size: tuple[int, int]) -> np.ndarray:
    """Return how much of the light is kept from the ground, height x width float32, 0 to 1."""
    shade = Image.new("L", (size[1], size[0]), 0)
    draw = ImageDraw.Draw(shade)
    for x, near, far, length in obstacles:
        end = x - light.side * length
        draw.polygon([camera.project(a, 0, z) for a, z in ((x, near), (x, far), (end, far), (end, near))], fill=255)
    soft = np.asarray(shade.filter(ImageFilter.BoxBlur(2)), dtype=np.float32) / 255
    return soft * np.float32(0.1 + 0.28 * light.direct)


def draw_far_end(canvas: Canvas, generator: np.random.Generator) -> None:
    """Close the view with a hazy row of houses or trees."""
    wooded = generator.random() < 0.5
    x = -70.0
    while x < 70.0:
        if wooded:
            size = generator.uniform(3.0, 6.0)
            green: Tint = (0.3 * generator.uniform(0.8, 1.2), 0.42, 0.24)
            focal = canvas.camera.focal / END
            colour = canvas.light.shade(green, END)
            canvas.disc(canvas.camera.project(x, size * 0.7, END), (size * focal, size * focal), colour, TREE)
            x += size * 0.9
        else:
            wide = generator.uniform(5.0, 12.0)
            colour = canvas.light.shade(drab(generator), END)
            canvas.upright(x, x + wide, 0, generator.uniform(4.0, 14.0), END, colour, BUILDING)
            x += wide


def _cloud(generator: np.random.Generator, cells: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Return smooth noise between 0 and 1, height x width, with so many cells down and across."""
    coarse = Image.fromarray((generator.random(cells, dtype=np.float32) * 255).astype(np.uint8))
    smooth: np.ndarray = np.asarray(coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC), dtype=np.float32)
    return smooth / 255


def _array(colour: Tint) -> np.ndarray:
    return np.array(colour, np.float32)
