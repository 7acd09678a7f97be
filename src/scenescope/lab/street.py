"""One generated street: where everything stands, the light it stands in, and the camera's faults.

Colours are deliberately no clue: walls, road, pavement, poles, cars and coats share their ranges, leaves have rivals in
green cars and painted walls, and windows mirror the sky. What a thing is shows in its shape, place and surroundings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from scenescope.lab.street_backdrop import (
    END,
    Layout,
    Obstacle,
    draw_far_end,
    draw_ground,
    draw_shadows,
    draw_sky,
)
from scenescope.lab.street_canvas import Camera, Canvas, Light, Tint, scaled
from scenescope.lab.street_things import draw_building, draw_car, draw_person, draw_pole, draw_tree

HEIGHT, WIDTH = 128, 192
"""Size of a picture in pixels."""

OVERSAMPLE = 2
"""The canvas is this much finer than the picture, so that edges come out smooth."""


@dataclass(frozen=True)
class Thing:
    """Something on the ground: where, how wide and high (metres), and how to paint it."""

    x: float
    z: float
    half: float
    height: float
    draw: Callable[[Canvas], None]


def draw_street(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one street.

    Returns:
        image, HEIGHT x WIDTH x 3 uint8, and labels, HEIGHT x WIDTH uint8 train ids.
    """
    height, width = HEIGHT * OVERSAMPLE, WIDTH * OVERSAMPLE
    camera = Camera(
        focal=width * generator.uniform(0.72, 0.85),
        centre=width * generator.uniform(0.36, 0.64),
        horizon=height * generator.uniform(0.4, 0.5),
        height=generator.uniform(2.3, 3.0),
    )
    layout = _layout(generator)
    light, zenith = _light(generator)
    houses = _houses(generator, layout)
    things = _things(generator, camera, layout)

    sky = draw_sky(generator, light, zenith, (height, width), camera.horizon)
    shadow = draw_shadows(camera, light, _obstacles(light, houses, things), (height, width))
    picture, labels = draw_ground(generator, camera, light, layout, sky, shadow)

    canvas = Canvas(picture, labels, camera, light)
    draw_far_end(canvas, generator)
    for x, near, far, tall in houses:
        draw_building(canvas, generator, x, near, far, tall)
    for thing in things:
        thing.draw(canvas)
    image = canvas.picture.reduce(OVERSAMPLE)
    return _photograph(generator, image, light), np.asarray(canvas.labels)[::OVERSAMPLE, ::OVERSAMPLE].copy()


def _layout(generator: np.random.Generator) -> Layout:
    road, pavement = generator.uniform(5.5, 7.5), generator.uniform(4.0, 5.5)
    left = -road * generator.uniform(-0.1, 1.1)
    return Layout(left, left + road, pavement)


def _light(generator: np.random.Generator) -> tuple[Light, Tint]:
    """Draw the light and the colour of the sky overhead: sunny, overcast or dusk."""
    side = 1 if generator.random() < 0.5 else -1
    level = generator.uniform(0.94, 1.1)
    hour = generator.random()
    if hour < 0.5:
        haze = _mixed((0.86, 0.9, 0.95), (0.95, 0.9, 0.82), generator.random())
        zenith = _mixed((0.3, 0.52, 0.85), (0.55, 0.7, 0.88), generator.random())
        light = Light(side, generator.uniform(0.6, 1.0), scaled((1.08, 1.05, 0.97), level), haze, 0.009, False)
    elif hour < 0.8:
        grey = generator.uniform(0.6, 0.9)
        haze, zenith = (grey, grey, grey * 1.02), scaled((0.92, 0.94, 0.97), grey * generator.uniform(0.7, 1.0))
        light = Light(side, 0.1, scaled((0.96, 0.98, 1.0), level), haze, generator.uniform(0.01, 0.022), False)
    else:
        haze = _mixed((0.95, 0.62, 0.4), (0.8, 0.6, 0.66), generator.random())
        zenith = _mixed((0.24, 0.26, 0.46), (0.4, 0.36, 0.5), generator.random())
        light = Light(side, 0.5, scaled((0.92, 0.76, 0.76), level), haze, 0.01, True)
    return light, zenith


def _houses(generator: np.random.Generator, layout: Layout) -> list[tuple[float, float, float, float]]:
    """Place houses (x, near, far, height) along both sides, farthest first; gaps let the sky in."""
    houses = []
    for wall in layout.walls:
        side = 1 if wall > 0 else -1
        near = generator.uniform(1.5, 6.0)
        while near < END * 0.8:
            far = near + generator.uniform(7.0, 16.0)
            if generator.random() < 0.85:
                tall = generator.uniform(4.0, 9.5) if generator.random() < 0.75 else generator.uniform(9.5, 16.0)
                houses.append((wall + side * generator.uniform(0.0, 0.8), near, far, tall))
            near = far + (generator.uniform(2.0, 6.0) if generator.random() < 0.35 else 0.0)
    return sorted(houses, key=lambda house: -house[1])


def _things(generator: np.random.Generator, camera: Camera, layout: Layout) -> list[Thing]:
    """Place cars, people, poles and trees where each belongs, none inside another, farthest first."""
    things: list[Thing] = []
    road = layout.right - layout.left

    def beside(near_kerb: float, near_wall: float) -> float:
        """Draw a place on one of the pavements, as shares of the way from kerb to wall."""
        share = generator.uniform(near_kerb, near_wall) * layout.pavement
        return layout.right + share if generator.random() < 0.5 else layout.left - share

    def car() -> tuple[Thing, float]:
        z = generator.uniform(5.5, 15.0)
        if generator.random() < 0.25:
            x = generator.uniform(layout.left + 1.5, layout.right - 1.5)
            return Thing(x, z, 2.15, 1.5, lambda canvas: draw_car(canvas, generator, x, z, "crossing")), 3.5
        kind = "leaving" if generator.random() < 0.5 else "coming"
        share = generator.uniform(0.17, 0.4) * road
        x = layout.right - share if kind == "leaving" else layout.left + share
        return Thing(x, z, 0.95, 1.5, lambda canvas: draw_car(canvas, generator, x, z, kind)), 5.5

    def person() -> tuple[Thing, float]:
        z = generator.uniform(3.4, 5.5)
        x = beside(0.1, 0.85) if generator.random() < 0.75 else generator.uniform(layout.left, layout.right)
        return Thing(x, z, 0.45, 1.75, lambda canvas: draw_person(canvas, generator, x, z)), 0.8

    def pole() -> tuple[Thing, float]:
        x, z = beside(0.06, 0.2), generator.uniform(3.6, 6.2)
        return Thing(x, z, 0.3, 5.0, lambda canvas: draw_pole(canvas, generator, x, z)), 0.8

    def tree() -> tuple[Thing, float]:
        x, z = beside(0.1, 1.0), generator.uniform(6.0, 16.0)
        return Thing(x, z, 0.4, 4.0, lambda canvas: draw_tree(canvas, generator, x, z)), 2.0

    for propose, fewest, most in ((car, 2, 3), (pole, 2, 2), (person, 2, 3), (tree, 2, 3)):
        wanted = len(things) + generator.integers(fewest, most + 1)
        for _ in range(30):
            thing, depth = propose()
            column = camera.project(thing.x, 0.0, thing.z)[0] / (WIDTH * OVERSAMPLE)
            if 0.03 < column < 0.97 and all(_apart(thing, other, depth) for other in things):
                things.append(thing)
            if len(things) == wanted:
                break
    return sorted(things, key=lambda thing: -thing.z)


def _apart(one: Thing, other: Thing, depth: float) -> bool:
    """Say whether two things stand side by side or at least ``depth`` metres behind each other."""
    return abs(one.x - other.x) > one.half + other.half or abs(one.z - other.z) > depth


def _obstacles(light: Light, houses: list[tuple[float, float, float, float]], things: list[Thing]) -> list[Obstacle]:
    """List the houses on the sun's side and all things, each with the length of its shadow."""
    return [(x, near, far, tall * 0.45) for x, near, far, tall in houses if x * light.side > 0] + [
        (thing.x + light.side * thing.half, thing.z - 0.2, thing.z + 0.5, thing.height * 0.6 + 2 * thing.half)
        for thing in things
    ]


def _photograph(generator: np.random.Generator, image: Image.Image, light: Light) -> np.ndarray:
    """Return what a small camera makes of the picture: exposure, colour cast, vignette and sensor noise."""
    picture = np.asarray(image, dtype=np.float32) / 255
    cast = generator.uniform(0.93, 1.07, 3).astype(np.float32) * np.float32(generator.uniform(0.9, 1.12))
    down = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None, None]
    across = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :, None]
    vignette = 1 - 0.09 * (down**2 + across**2)
    picture = picture * cast * vignette
    sigma = generator.uniform(0.005, 0.015) * (1.4 if light.dusk else 1.0)
    grain = generator.standard_normal(picture.shape, dtype=np.float32)
    exposed: np.ndarray = np.clip(picture + np.float32(sigma) * grain, 0, 1) * 255
    return exposed.round().astype(np.uint8)


def _mixed(one: Tint, other: Tint, share: float) -> Tint:
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue
