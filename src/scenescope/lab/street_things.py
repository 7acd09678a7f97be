"""The things that stand in a generated street, each painted from a few numbers: building, tree, car, person, pole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scenescope.lab.street_canvas import Canvas, Point, Tint, brick, drab, paint, scaled, vivid

ROAD, PAVEMENT, BUILDING, SKY, TREE, CAR, PERSON, POLE = range(8)
"""Train ids, in the order of the class names."""

LAMP: Tint = (1.0, 0.86, 0.55)
"""Warm light of lamps and of windows at dusk."""


def draw_building(
    canvas: Canvas, generator: np.random.Generator, x: float, near: float, far: float, height: float
) -> None:
    """Paint a house at x metres to the side that reaches from ``near`` to ``far`` metres along the street."""
    side = 1 if x > 0 else -1
    wall = vivid(generator, 0.2, 0.45) if generator.random() < 0.3 else brick(generator)
    project, shade = canvas.camera.project, canvas.light.shade
    middle = (near + far) / 2
    width = generator.uniform(6.0, 12.0)
    end = x + side * width

    if generator.random() < 0.45:
        roof = drab(generator, 0.2, 0.6, 0.6)
        ridge, rise = x + side * width / 2, generator.uniform(1.5, 3.0)
        slope = [project(x, height, near), project(x, height, far)]
        slope += [project(ridge, height + rise, far), project(ridge, height + rise, near)]
        canvas.polygon(slope, shade(roof, middle, -side), BUILDING)
        gable = [project(x, height, near), project(ridge, height + rise, near), project(end, height, near)]
        canvas.polygon(gable, shade(scaled(wall, 0.95), near), BUILDING)

    glass = generator.uniform(0.1, 0.45)
    style = generator.uniform(0.35, 0.8), generator.uniform(0.4, 0.75)
    for length, normal, z, corner in (
        (width, 0, near, lambda u, v: project(x + side * u, v, near)),
        (far - near, -side, middle, lambda u, v: project(x, v, near + u)),
    ):
        _facade(canvas, generator, corner, (length, height), normal, z, wall, glass, style)


def _facade(
    canvas: Canvas,
    generator: np.random.Generator,
    corner: Callable[[float, float], Point],
    size: tuple[float, float],
    normal: int,
    z: float,
    wall: Tint,
    glass: float,
    style: tuple[float, float],
) -> None:
    """Paint one wall with its plinth, cornice and windows; ``corner`` projects (metres along, metres up)."""
    length, height = size
    shade = canvas.light.shade

    def patch(left: float, right: float, low: float, high: float) -> list[Point]:
        return [corner(left, low), corner(right, low), corner(right, high), corner(left, high)]

    canvas.polygon(patch(0, length, 0, height), shade(wall, z, normal), BUILDING)
    canvas.polygon(patch(0, length, height - 0.5, height), shade(scaled(wall, 1.18), z, normal))
    canvas.polygon(patch(0, length, 0, 0.7), shade(scaled(wall, 0.75), z, normal))
    if z > 45:
        return
    for course in range(1, int(height / 0.8)):
        line = patch(0, length, course * 0.8, course * 0.8 + 0.16)
        canvas.polygon(line, shade(scaled(wall, 0.86), z, normal))
    columns, floors = max(1, int(length / 2.4)), max(1, int((height - 0.6) / 3.0))
    cell, storey = length / columns, (height - 0.6) / floors
    # The glass mirrors the sky, so that colour alone does not tell a window from the sky.
    mirror: Tint = tuple(glass + (far - glass) * glass * 1.6 for far in canvas.light.haze)  # type: ignore[assignment]
    lit = generator.random((floors, columns)) < (0.45 if canvas.light.dusk else 0.0)
    for floor in range(floors):
        for column in range(columns):
            left = (column + 0.5 - style[0] / 2) * cell
            low = floor * storey + storey * (0.95 - style[1])
            colour = shade(LAMP, z, emits=True) if lit[floor, column] else shade(mirror, z, normal)
            canvas.polygon(patch(left, left + style[0] * cell, low, low + style[1] * storey * 0.9), colour)
    if generator.random() < 0.4:
        awning = patch(0.1 * length, 0.9 * length, 2.4, 3.2)
        canvas.polygon(awning, shade(vivid(generator), z, normal))


def draw_tree(canvas: Canvas, generator: np.random.Generator, x: float, z: float) -> None:
    """Paint a tree of any season with its foot at x, z."""
    shade = canvas.light.shade
    stem, radius = generator.uniform(1.8, 2.8), generator.uniform(1.6, 2.6)
    girth = max(generator.uniform(0.14, 0.22), 5.0 * z / canvas.camera.focal)
    canvas.upright(x - girth, x + girth, 0, stem + radius, z, shade(drab(generator, 0.15, 0.45, 0.5), z), TREE)
    leaf = _leaf(generator)
    focal = canvas.camera.focal / z
    for layer, count in ((0.72, 7), (1.0, 8), (1.25, 7)):
        # Dark leaves below and away from the sun first, bright ones towards it last.
        drift = (layer - 0.95) * radius
        for _ in range(count):
            across = generator.uniform(-0.7, 0.7) * radius * (1.15 - 0.2 * layer)
            up = stem + radius * (1 + generator.uniform(-0.6, 0.6)) + drift * 0.5
            tuft = radius * generator.uniform(0.3, 0.55) * (1.35 - 0.45 * layer)
            colour = shade(scaled(leaf, layer * generator.uniform(0.88, 1.12)), z)
            middle = canvas.camera.project(x + across + canvas.light.side * drift * 0.5, up, z)
            canvas.disc(middle, (tuft * focal, tuft * focal * 0.9), colour, TREE)


def _leaf(generator: np.random.Generator) -> Tint:
    """Draw green leaves mostly, autumn's otherwise."""
    value = generator.uniform(0.3, 0.65)
    if generator.random() < 0.75:
        return value * generator.uniform(0.5, 0.9), value, value * generator.uniform(0.25, 0.6)
    return value * 1.25, value * generator.uniform(0.45, 0.95), value * generator.uniform(0.2, 0.5)


def draw_car(canvas: Canvas, generator: np.random.Generator, x: float, z: float, kind: str) -> None:
    """Paint a car whose nearest side is at z: ``leaving`` or ``coming`` along the street, or ``crossing`` it."""
    colour = paint(generator, 0.55)
    van = generator.random() < 0.2
    half, length = (0.95, 4.4) if kind != "crossing" else (2.15, 1.85)
    waist, roof = (1.05, 2.05) if van else (0.85, 1.5)
    shade = canvas.light.shade
    tyre, pane = shade((0.06, 0.06, 0.07), z), shade(scaled(canvas.light.haze, generator.uniform(0.2, 0.5)), z)

    _box(canvas, (x - half, x + half), (0.28, waist), (z, z + length), colour)
    inset = 0.12 if kind != "crossing" else (0.25 if van else 0.55)
    front, back = (0.1, 0.3) if van else ((0.5, 1.1) if kind == "leaving" else (1.1, 0.5))
    if kind == "crossing":
        front = back = 0.12
    cabin = (x - half + inset, x + half - inset)
    _box(canvas, cabin, (waist, roof), (z + front, z + length - back), scaled(colour, 0.96), lean=0.0 if van else 0.12)

    def detail(left: float, right: float, low: float, high: float, fill: tuple[int, int, int], at: float = z) -> None:
        canvas.upright(x + left, x + right, low, high, at, fill)

    top, bottom = roof - 0.12, waist + 0.06
    if kind == "crossing":
        for middle in (-1.3, 1.3):
            for radius, fill in ((0.36, tyre), (0.18, shade((0.6, 0.6, 0.62), z))):
                across = radius * canvas.camera.focal / z
                label = CAR if radius > 0.2 else None
                canvas.disc(canvas.camera.project(x + middle, 0.34, z), (across, across), fill, label)
        reach = half - inset - 0.22
        for left, right in ((-reach, -0.06), (0.06, reach)):
            detail(left, right, bottom, top, pane, z + front)
        detail(-0.02, 0.02, 0.35, waist, shade(scaled(colour, 0.7), z))
        return
    for left, right in ((-half + 0.05, -half + 0.35), (half - 0.35, half - 0.05)):
        canvas.upright(x + left, x + right, 0.0, 0.32, z, tyre, CAR)
    detail(-half + 0.28, half - 0.28, bottom, top, pane, z + front)
    lamps: Tint = (0.75, 0.08, 0.08) if kind == "leaving" else (0.95, 0.95, 0.85)
    for left, right in ((-half + 0.06, -half + 0.38), (half - 0.38, half - 0.06)):
        detail(left, right, waist - 0.3, waist - 0.1, shade(lamps, z, emits=canvas.light.dusk))
    detail(-half, half, 0.28, 0.42, shade(scaled(colour, 0.6), z))
    detail(-0.26, 0.26, 0.45, 0.58, shade((0.85, 0.85, 0.8), z))


def _box(
    canvas: Canvas,
    across: tuple[float, float],
    up: tuple[float, float],
    along: tuple[float, float],
    colour: Tint,
    lean: float = 0.0,
) -> None:
    """Paint the visible faces of a box; ``lean`` metres narrow its top on either side."""
    (left, right), (low, high), (near, far) = across, up, along
    project, shade = canvas.camera.project, canvas.light.shade
    normal = -1 if left > 0 else 1 if right < 0 else 0
    if normal:
        wall, tip = (left, left + lean) if normal < 0 else (right, right - lean)
        face = [project(wall, low, near), project(wall, low, far), project(tip, high, far), project(tip, high, near)]
        canvas.polygon(face, shade(scaled(colour, 0.88), near, normal), CAR)
    if canvas.camera.height > high:
        lid = [project(left + lean, high, near), project(right - lean, high, near)]
        lid += [project(right - lean, high, far), project(left + lean, high, far)]
        canvas.polygon(lid, shade(scaled(colour, 1.2), near), CAR)
    face = [project(left, low, near), project(right, low, near)]
    face += [project(right - lean, high, near), project(left + lean, high, near)]
    canvas.polygon(face, shade(colour, near), CAR)


def draw_person(canvas: Canvas, generator: np.random.Generator, x: float, z: float) -> None:
    """Paint a walking person with feet at x, z."""
    size = generator.uniform(0.93, 1.08)
    shade, project = canvas.light.shade, canvas.camera.project
    coat, trousers, hair = paint(generator, 0.7), paint(generator, 0.3), drab(generator, 0.05, 0.4, 0.6)
    value = generator.uniform(0.3, 0.95)
    skin = shade((value, value * 0.76, value * 0.62), z)
    stride = generator.uniform(0.05, 0.16)

    def part(points: list[tuple[float, float]], fill: tuple[int, int, int]) -> None:
        canvas.polygon([project(x + across * size, up * size, z) for across, up in points], fill, PERSON)

    for side, dim in ((-1, 0.8), (1, 1.0)):
        foot, hand = stride * 0.9, 0.36 + stride * 0.3
        leg = [(0.22, 0.9), (-0.03, 0.9), (foot - 0.08, 0.0), (foot + 0.15, 0.0)]
        part([(side * across, up) for across, up in leg], shade(scaled(trousers, dim), z))
        arm = [(0.18, 1.45), (0.3, 1.4), (hand + 0.03, 0.8), (hand - 0.11, 0.8)]
        part([(side * across, up) for across, up in arm], shade(scaled(coat, 0.8), z))
    part([(-0.27, 1.42), (-0.14, 1.5), (0.14, 1.5), (0.27, 1.42), (0.26, 0.75), (-0.26, 0.75)], shade(coat, z))
    part([(-0.07, 1.56), (0.07, 1.56), (0.07, 1.46), (-0.07, 1.46)], skin)
    head = 0.15 * size * canvas.camera.focal / z
    canvas.disc(project(x, 1.66 * size, z), (head * 0.9, head * 1.1), shade(hair, z), PERSON)
    if generator.random() < 0.6:
        canvas.disc(project(x, 1.62 * size, z), (head * 0.7, head * 0.85), skin, PERSON)
    if generator.random() < 0.4:
        part([(0.2, 1.0), (0.44, 1.0), (0.44, 0.66), (0.2, 0.66)], shade(paint(generator, 0.5), z))


def draw_pole(canvas: Canvas, generator: np.random.Generator, x: float, z: float) -> None:
    """Paint a lamp post, a traffic light or a sign post with its foot at x, z."""
    shade, project = canvas.light.shade, canvas.camera.project
    colour = drab(generator, 0.1, 0.3) if generator.random() < 0.7 else paint(generator)
    focal = canvas.camera.focal / z
    half = max(generator.uniform(0.11, 0.16), 8.5 / focal)
    kind = generator.choice(["lamp", "light", "sign"])
    height = {"lamp": generator.uniform(4.5, 7.0), "light": 3.2, "sign": 2.6}[kind]
    canvas.upright(x - half * 1.5, x + half * 1.5, 0, 0.35, z, shade(scaled(colour, 0.85), z), POLE)
    canvas.upright(x - half, x + half, 0, height, z, shade(colour, z), POLE)
    gleam = half * 0.35 * canvas.light.side
    edge = sorted((x + gleam, x + half * 0.8 * canvas.light.side))
    canvas.upright(edge[0], edge[1], 0.35, height, z, shade(scaled(colour, 1.25), z))
    band = shade(scaled(colour, 1.5), z)
    for low in np.arange(0.75, height - 0.5, 0.8):
        canvas.upright(x - half, x + half, low, low + 0.14, z, band)
    if kind == "lamp":
        reach = 1.1 if x < 0 else -1.1
        left, right = sorted((x, x + reach))
        canvas.upright(left, right, height - 0.3, height, z, shade(colour, z), POLE)
        glow = shade(LAMP, z, emits=canvas.light.dusk)
        canvas.disc(project(x + reach, height - 0.3, z), (0.34 * focal, 0.2 * focal), glow, POLE)
    elif kind == "light":
        canvas.upright(x - 0.24, x + 0.24, height - 1.1, height, z, shade((0.12, 0.12, 0.12), z), POLE)
        lamps: tuple[Tint, ...] = ((0.9, 0.15, 0.1), (0.9, 0.7, 0.1), (0.15, 0.8, 0.3))
        shining = generator.integers(3)
        for index, lamp in enumerate(lamps):
            fill = shade(lamp if index == shining else scaled(lamp, 0.3), z, emits=index == shining)
            canvas.disc(project(x, height - 0.2 - 0.34 * index, z), (0.13 * focal, 0.13 * focal), fill)
    else:
        board = shade(vivid(generator), z)
        canvas.disc(project(x, height, z), (0.42 * focal, 0.42 * focal), shade((0.9, 0.9, 0.9), z), POLE)
        canvas.disc(project(x, height, z), (0.33 * focal, 0.33 * focal), board)
