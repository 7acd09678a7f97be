"""One generated street, painted far to near with a pinhole camera; all lengths are metres.

Colors are deliberately no clue: walls, road, pavement, poles, cars and coats share their ranges, leaves have rivals in
green cars and painted walls, and windows mirror the sky. What a thing is shows in its shape, place and surroundings.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from math import exp

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

HEIGHT, WIDTH = 128, 192
"""Size of an image in pixels."""

ROAD, PAVEMENT, BUILDING, SKY, TREE, CAR, PERSON, POLE = range(8)
"""Train ids, in the order of the class names."""

OVERSAMPLE = 2
"""The canvas is this much finer than the image, so that edges come out smooth."""
ROWS, COLUMNS = HEIGHT * OVERSAMPLE, WIDTH * OVERSAMPLE

END = 90.0
"""Metres to the far end of the street."""

Point = tuple[float, float, float]
"""To the right, up and ahead."""
House = tuple[float, float, float, float]
"""The place of a wall to the side, its near and far end, and its height."""
Thing = tuple[float, float, float, float, Callable[[float, float], None]]
"""Place to the side and ahead, half the width, height, and what paints it there."""

LAMP = np.array((1.0, 0.86, 0.55))
"""The warm light of lamps, and of windows at dusk."""


def draw_street(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one street.

    Returns:
        image, HEIGHT x WIDTH x 3 uint8, and labels, HEIGHT x WIDTH uint8 train ids.
    """
    street = _Street(generator)
    houses, things = street.place_houses(), street.place_things()
    street.paint_ground(houses, things)
    street.paint_far_end()
    for house in houses:
        street.paint_house(*house)
    for x, z, _, _, paint in things:
        paint(x, z)
    return street.photograph()


def _color(parts: Sequence[float]) -> np.ndarray:
    return np.array(parts, np.float32)


class _Street:
    """Camera, light and layout, drawn at random, and the canvas that is painted on: an image and its labels."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.random = generator
        self.uniform = uniform = generator.uniform
        self.focal, self.center = COLUMNS * uniform(0.72, 0.85), COLUMNS * uniform(0.36, 0.64)
        self.horizon, self.eye = ROWS * uniform(0.4, 0.5), uniform(2.3, 3.0)
        road = uniform(5.5, 7.5)
        self.left = -road * uniform(-0.1, 1.1)
        self.right, self.pavement = self.left + road, uniform(4.0, 5.5)

        hour, self.sun, self.density = uniform(), 1 if uniform() < 0.5 else -1, 0.01
        self.dusk = hour > 0.8
        if hour < 0.5:  # sunny
            haze, zenith = (0.9, 0.9, uniform(0.82, 0.95)), (uniform(0.3, 0.55), 0.6, 0.86)
            tint, self.direct = (1.08, 1.05, 0.97), uniform(0.6, 1.0)
        elif self.dusk:
            haze, zenith = (uniform(0.8, 0.95), 0.61, uniform(0.4, 0.66)), (uniform(0.24, 0.4), 0.3, 0.48)
            tint, self.direct = (0.92, 0.76, 0.76), 0.5
        else:  # overcast
            haze, zenith = (uniform(0.6, 0.9),) * 3, (0.65, 0.67, 0.7)
            tint, self.direct, self.density = (0.96, 0.98, 1.0), 0.1, uniform(0.01, 0.022)
        self.haze, self.tint = _color(haze), _color(tint) * uniform(0.94, 1.1)

        down = np.clip(np.arange(ROWS, dtype=np.float32) / self.horizon, 0, 1)[:, None, None] ** 1.3
        sky = (1 - down) * _color(zenith) * uniform(0.8, 1.2) + down * self.haze
        clouds = 0.65 * self.noise(5, 4, ROWS) + 0.35 * self.noise(14, 10, ROWS)
        cover = np.clip((clouds - uniform(0.4, 0.7)) * 4, 0, 1)[..., None] * uniform(0.3, 0.9)
        self.ground = int(self.horizon) + 2  # the first row of it
        self.sky = np.clip(sky + cover * (self.haze - sky), 0, 1)

    def noise(self, down: int, across: int, rows: int) -> np.ndarray:
        """Return smooth noise between 0 and 1, with so many cells down and across."""
        coarse = Image.fromarray(self.random.random((down, across), dtype=np.float32))
        return np.asarray(coarse.resize((COLUMNS, rows), Image.Resampling.BICUBIC))

    def drab(self, low: float = 0.25, high: float = 0.8, saturation: float = 0.3) -> np.ndarray:
        """Draw a grayish color, warm or cool; walls, roads, pavements, poles, cars and coats all use these."""
        hue = self.uniform(0.02, 0.14) if self.uniform() < 0.6 else self.uniform(0.5, 0.68)
        return _color(colorsys.hsv_to_rgb(hue, self.uniform(0.0, saturation), self.uniform(low, high)))

    def vivid(self, weakest: float = 0.4, strongest: float = 0.8, hues: float = 1.0) -> np.ndarray:
        """Draw a color of any hue, green included, or of the first from red on."""
        hue, saturation = self.uniform(0.0, hues), self.uniform(weakest, strongest)
        return _color(colorsys.hsv_to_rgb(hue, saturation, self.uniform(0.35, 0.9)))

    def cloth(self, vividness: float) -> np.ndarray:
        """Draw the color of something that people paint or wear."""
        return self.vivid() if self.uniform() < vividness else self.drab(0.12, 0.9)

    def seen(self, point: Point) -> tuple[float, float]:
        """Return column and row of a point on the canvas."""
        x, y, z = point
        return self.center + self.focal * x / z, self.horizon + self.focal * (self.eye - y) / z

    def shade(self, color: np.ndarray, z: float, level: float = 1.0) -> tuple[int, int, int]:
        """Return the 0-255 color of a surface z metres away."""
        clear = exp(-self.density * z)
        red, green, blue = (255 * (clear * level * color * self.tint + (1 - clear) * self.haze)).tolist()
        return min(round(red), 255), min(round(green), 255), min(round(blue), 255)

    def polygon(self, points: Sequence[Point], color: np.ndarray, label: int | None = None, level: float = 1) -> None:
        """Fill a polygon; without a label it is a detail of what lies there already."""
        flat = [self.seen(point) for point in points]
        self.color.polygon(flat, fill=self.shade(color, sum(point[2] for point in points) / len(points), level))
        if label is not None:
            self.label.polygon(flat, fill=label)

    def disc(self, middle: Point, radius: float, color: np.ndarray, label: int | None = None, flat: float = 1) -> None:
        """Fill an ellipse that faces the camera, ``flat`` times as high as wide."""
        (column, row), across = self.seen(middle), radius * self.focal / middle[2]
        box = (column - across, row - across * flat, column + across, row + across * flat)
        self.color.ellipse(box, fill=self.shade(color, middle[2]))
        if label is not None:
            self.label.ellipse(box, fill=label)

    def upright(
        self, left: float, right: float, low: float, high: float, z: float, color: np.ndarray, label: int | None = None
    ) -> None:
        """Fill a rectangle that faces the camera."""
        self.polygon([(left, low, z), (right, low, z), (right, high, z), (left, high, z)], color, label)

    def place_houses(self) -> list[House]:
        """Place houses along both sides, farthest first; gaps let the sky in."""
        houses = []
        for side, wall in ((-1, self.left - self.pavement), (1, self.right + self.pavement)):
            near = self.uniform(1.5, 6.0)
            while near < END * 0.8:
                far = near + self.uniform(7.0, 16.0)
                if self.uniform() < 0.85:
                    height = self.uniform(4.0, 9.5) if self.uniform() < 0.75 else self.uniform(9.5, 16.0)
                    houses.append((wall + side * self.uniform(0.0, 0.8), near, far, height))
                near = far + (self.uniform(2.0, 6.0) if self.uniform() < 0.35 else 0.0)
        return sorted(houses, key=lambda house: -house[1])

    def place_things(self) -> list[Thing]:
        """Place cars, people, poles and trees where each belongs, none inside another, farthest first."""
        things: list[Thing] = []
        for paint, most, half, height, depth, near, far, kerb, wall in (
            (self.paint_car, 3, 0.95, 1.5, 5.5, 5.5, 15.0, -1.0, 0.0),
            (self.paint_pole, 2, 0.3, 5.0, 0.8, 3.6, 6.2, 0.06, 0.2),
            (self.paint_person, 3, 0.45, 1.75, 0.8, 3.4, 5.5, -0.3, 0.85),
            (self.paint_tree, 3, 0.4, 4.0, 2.0, 6.0, 16.0, 0.1, 1.0),
        ):
            wanted = len(things) + self.random.integers(2, most + 1)
            for _ in range(30):
                z, right, share = self.uniform(near, far), self.uniform() < 0.5, self.uniform(kerb, wall)
                away = share * self.pavement if share > 0 else self.uniform(-0.42, -0.17) * (self.right - self.left)
                x = self.right + away if right else self.left - away
                apart = all(abs(x - o[0]) > half + o[2] or abs(z - o[1]) > depth for o in things)
                if 0.03 < self.seen((x, 0.0, z))[0] / COLUMNS < 0.97 and apart:
                    things.append((x, z, half, height, paint))
                if len(things) == wanted:
                    break
        return sorted(things, key=lambda thing: -thing[1])

    def paint_ground(self, houses: Sequence[House], things: Sequence[Thing]) -> None:
        """Lay road and pavements, with the shadows on them, under the sky."""
        shadow = Image.new("L", (COLUMNS, ROWS))
        obstacles = [(x, near, far, 0.45 * height) for x, near, far, height in houses if x * self.sun > 0]
        obstacles += [(x + self.sun * half, z - 0.2, z + 0.5, 0.6 * height) for x, z, half, height, _ in things]
        for start, near, far, length in obstacles:
            end = start - self.sun * length
            corners = ((start, near), (start, far), (end, far), (end, near))
            ImageDraw.Draw(shadow).polygon([self.seen((across, 0, ahead)) for across, ahead in corners], fill=255)
        soft = np.asarray(shadow.filter(ImageFilter.BoxBlur(2)))[self.ground :] * np.float32(
            0.1 / 255 + 0.28 / 255 * self.direct
        )

        z = self.focal * self.eye / (np.arange(self.ground, ROWS, dtype=np.float32)[:, None] - self.horizon)
        x = (np.arange(COLUMNS, dtype=np.float32)[None] - self.center) * z / self.focal
        on_road, slab = (x > self.left) & (x < self.right), self.uniform(0.6, 1.4)
        slabs = self.drab(0.48, 0.76, 0.14)
        color = np.where(on_road[..., None], self.drab(0.26, 0.44, 0.08), slabs)
        color[np.minimum(abs(x - self.left), abs(x - self.right)) < 0.11] = slabs * 1.22  # kerbs
        stripes = z - self.uniform(6.0, 30.0)  # of a crossing
        marking = (abs(x - (self.left + self.right) / 2) < 0.09) & (np.mod(z, 6.0) < 3.2)
        marking |= (stripes > 0) & (stripes < 3) & (np.mod(x - self.left, 1.0) < 0.5)
        color[marking & on_road] = (0.86, 0.86, 0.82)
        joints = (np.mod(x - self.left, slab) < 0.05) | (np.mod(z, slab) < 0.07)
        checker = (np.floor((x - self.left) / slab) + np.floor(z)) % 2 - np.float32(0.5)
        fine = np.clip(1.6 - z / 14, 0, 1) * ~on_road  # far away it would only flicker
        level = 1 + fine * (0.16 * checker - 0.2 * joints) + 0.16 * (self.noise(6, 8, ROWS - self.ground) - 0.5)
        grain = np.where(on_road, np.float32(0.16), np.float32(0.07))
        level += (self.random.random(x.shape, dtype=np.float32) - 0.5) * grain

        clear = np.exp(-self.density * z)
        self.sky[self.ground :] = (clear * level * (1 - soft))[..., None] * color * self.tint
        self.sky[self.ground :] += (1 - clear)[..., None] * self.haze
        labels = np.full((ROWS, COLUMNS), SKY, np.uint8)
        labels[self.ground :] = np.where(on_road, ROAD, PAVEMENT)
        self.image = Image.fromarray((np.clip(self.sky, 0, 1) * 255).astype(np.uint8))
        self.labels = Image.fromarray(labels)
        self.color, self.label = ImageDraw.Draw(self.image), ImageDraw.Draw(self.labels)

    def paint_far_end(self) -> None:
        """Close the view with a hazy row of houses or trees."""
        wooded, x = self.uniform() < 0.5, -70.0
        while x < 70.0:
            size = self.uniform(3.0, 6.0)
            if wooded:
                self.disc((x, size * 0.7, END), size, np.array((0.3 * self.uniform(0.8, 1.2), 0.42, 0.24)), TREE)
            else:
                self.upright(x, x + 2 * size, 0, self.uniform(4.0, 14.0), END, self.drab(), BUILDING)
            x += size * (0.9 if wooded else 2.0)

    def paint_house(self, x: float, near: float, far: float, height: float) -> None:
        """Paint the front and the side of a house, some with a gabled roof."""
        side, width = (1 if x > 0 else -1), self.uniform(6.0, 12.0)
        wall = self.vivid(0.2, 0.45) if self.uniform() < 0.3 else self.vivid(0.1, 0.55, hues=0.13)
        if self.uniform() < 0.45:
            ridge = (x + side * width / 2, height + self.uniform(1.5, 3.0))
            roof = [(x, height, near), (x, height, far), (*ridge, far), (*ridge, near)]
            self.polygon(roof, self.drab(0.2, 0.6, 0.6), BUILDING)
            self.polygon([(x, height, near), (*ridge, near), (x + side * width, height, near)], wall * 0.95, BUILDING)
        # The glass mirrors the sky, so that color alone does not tell a window from the sky.
        glass, wide, tall = self.uniform(0.1, 0.45), self.uniform(0.35, 0.8), self.uniform(0.4, 0.75)
        mirror = glass + (self.haze - glass) * glass * 1.6
        for front, length in ((True, width), (False, far - near)):
            level = 1.0 if front else 1 - 0.28 * self.direct * side * self.sun

            def patch(
                left: float, low: float, wide: float, high: float, paint: np.ndarray, front: bool = front
            ) -> None:
                corners = ((left, low), (left + wide, low), (left + wide, low + high), (left, low + high))
                points = [(x + side * u, v, near) if front else (x, v, near + u) for u, v in corners]
                self.polygon(points, paint, BUILDING, level)  # noqa: B023

            patch(0, 0, length, height, wall)
            if near > 45:
                continue
            for low in np.arange(0.8, height, 0.8):
                patch(0, low, length, 0.16, wall * 0.86)
            floors, columns = max(1, int(height / 3.2)), max(1, int(length / 2.4))
            storey, cell = (height - 0.6) / floors, length / columns
            for floor, column in np.ndindex(floors, columns):
                left, low = (column + 0.5 - wide / 2) * cell, (floor + 0.95 - tall) * storey
                pane = LAMP if self.dusk and self.uniform() < 0.45 else mirror
                patch(left, low, wide * cell, tall * storey * 0.9, pane)
            if self.uniform() < 0.4:  # an awning
                patch(0.1 * length, 2.4, 0.8 * length, 0.8, self.vivid())

    def paint_tree(self, x: float, z: float) -> None:
        """Paint a tree of any season."""
        stem, radius = self.uniform(1.8, 2.8), self.uniform(1.6, 2.6)
        girth = max(self.uniform(0.14, 0.22), 5.0 * z / self.focal)
        self.upright(x - girth, x + girth, 0, stem + radius, z, self.drab(0.15, 0.45, 0.5), TREE)
        value, autumn = self.uniform(0.3, 0.65), self.uniform() < 0.25
        some, few = self.uniform(0.5, 0.95), self.uniform(0.2, 0.55)
        leaf = value * np.array((1.25, some, few) if autumn else (some, 1.0, few))
        for layer in np.repeat((0.72, 1.0, 1.25), 7):  # dark leaves below first, bright ones towards the sun last
            across = radius * (self.uniform(-0.7, 0.7) * (1.15 - 0.2 * layer) + self.sun * 0.5 * (layer - 0.95))
            up = stem + radius * (1 + self.uniform(-0.6, 0.6) + 0.5 * (layer - 0.95))
            tuft = radius * self.uniform(0.3, 0.55) * (1.35 - 0.45 * layer)
            self.disc((x + across, up, z), tuft, leaf * layer * self.uniform(0.88, 1.12), TREE, 0.9)

    def paint_car(self, x: float, z: float) -> None:
        """Paint a car or a van, seen from behind or in front, or a crossing one from its side."""
        paint, van, crossing = self.cloth(0.55), self.uniform() < 0.2, self.uniform() < 0.25
        half, length = (2.15, 1.85) if crossing else (0.95, 4.4)
        waist, roof = (1.05, 2.05) if van else (0.85, 1.5)
        inset, lean = (0.55 if crossing and not van else 0.12), 0.0 if van else 0.12
        front = z + (0.1 if van or crossing else self.uniform(0.5, 1.1))
        # The faces of body and cabin that are seen; the cabin's top is narrower by ``lean`` on either side.
        for left, right, low, high, near, far, narrow in (
            (x - half, x + half, 0.28, waist, z, z + length, 0.0),
            (x - half + inset, x + half - inset, waist, roof, front, z + length - 0.3, lean),
        ):
            ends = left + narrow, right - narrow
            foot, tip = (left, ends[0]) if left > 0 else (right, ends[1])
            if left > 0 or right < 0:
                flank = [(foot, low, near), (foot, low, far), (tip, high, far), (tip, high, near)]
                self.polygon(flank, paint * 0.88, CAR)
            lid = [(ends[0], high, near), (ends[1], high, near), (ends[1], high, far), (ends[0], high, far)]
            self.polygon(lid, paint * 1.2, CAR)
            self.polygon([(left, low, near), (right, low, near), *lid[1::-1]], paint, CAR)
        self.upright(x - half + inset + 0.2, x + half - inset - 0.2, waist + 0.06, roof - 0.12, front, self.haze * 0.35)
        lamp = np.array((0.75, 0.08, 0.08) if x > (self.left + self.right) / 2 else (0.95, 0.95, 0.85))
        for side in (-1, 1):
            if crossing:
                self.disc((x + 1.3 * side, 0.34, z), 0.36, _color((0.06,) * 3), CAR)
                self.disc((x + 1.3 * side, 0.34, z), 0.18, _color((0.6,) * 3))
            else:
                middle = x + 0.74 * side
                self.upright(middle - 0.16, middle + 0.16, 0.0, 0.32, z, _color((0.06,) * 3), CAR)
                self.upright(middle - 0.16, middle + 0.16, waist - 0.3, waist - 0.1, z, lamp)

    def paint_person(self, x: float, z: float) -> None:
        """Paint a walking person."""
        size, stride, value = self.uniform(0.93, 1.08), self.uniform(0.05, 0.16), self.uniform(0.3, 0.95)
        coat, trousers, hair = self.cloth(0.7), self.cloth(0.3), self.drab(0.05, 0.4, 0.6)
        skin = value * np.array((1.0, 0.76, 0.62))

        def part(points: Sequence[tuple[float, float]], paint: np.ndarray, side: int = 1) -> None:
            self.polygon([(x + side * across * size, up * size, z) for across, up in points], paint, PERSON)

        foot, hand = stride * 0.9, 0.36 + stride * 0.3
        for side in (-1, 1):
            part(
                [(0.22, 0.9), (-0.03, 0.9), (foot - 0.08, 0.0), (foot + 0.15, 0.0)], trousers * (0.9 + side / 10), side
            )
            part([(0.18, 1.45), (0.3, 1.4), (hand + 0.03, 0.8), (hand - 0.11, 0.8)], coat * 0.8, side)
        part([(-0.27, 1.42), (-0.14, 1.5), (0.14, 1.5), (0.27, 1.42), (0.26, 0.75), (-0.26, 0.75)], coat)
        part([(-0.07, 1.56), (0.07, 1.56), (0.07, 1.46), (-0.07, 1.46)], skin)
        self.disc((x, 1.66 * size, z), 0.135 * size, hair, PERSON, 1.2)
        if self.uniform() < 0.6:  # the face is seen
            self.disc((x, 1.62 * size, z), 0.105 * size, skin, PERSON, 1.2)
        if self.uniform() < 0.4:  # a bag
            part([(0.2, 1.0), (0.44, 1.0), (0.44, 0.66), (0.2, 0.66)], self.cloth(0.5))

    def paint_pole(self, x: float, z: float) -> None:
        """Paint a lamp post, a traffic light or a sign post."""
        paint = self.drab(0.1, 0.3) if self.uniform() < 0.7 else self.cloth(0.4)
        half, kind = max(self.uniform(0.11, 0.16), 8.5 * z / self.focal), self.random.integers(3)
        height = (self.uniform(4.5, 7.0), 3.2, 2.6)[kind]
        self.upright(x - half * 1.5, x + half * 1.5, 0, 0.35, z, paint * 0.85, POLE)
        self.upright(x - half, x + half, 0, height, z, paint, POLE)
        for low in np.arange(0.75, height - 0.5, 0.8):
            self.upright(x - half, x + half, low, low + 0.14, z, paint * 1.5)
        if kind == 0:
            reach = x + (1.1 if x < 0 else -1.1)
            self.upright(min(x, reach), max(x, reach), height - 0.3, height, z, paint, POLE)
            self.disc((reach, height - 0.3, z), 0.34, LAMP, POLE, 0.6)
        elif kind == 1:
            self.upright(x - 0.24, x + 0.24, height - 1.1, height, z, _color((0.12,) * 3), POLE)
            place, lamp = ((0, (0.9, 0.15, 0.1)), (1, (0.9, 0.7, 0.1)), (2, (0.15, 0.8, 0.3)))[self.random.integers(3)]
            self.disc((x, height - 0.2 - 0.34 * place, z), 0.13, np.array(lamp))
        else:
            self.disc((x, height, z), 0.42, _color((0.9,) * 3), POLE)
            self.disc((x, height, z), 0.33, self.vivid())

    def photograph(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what a small camera makes of it, with exposure, color cast, vignette and noise, and the labels."""
        seen = np.asarray(self.image.reduce(OVERSAMPLE), np.float32) / 255
        cast = _color([self.uniform(0.93, 1.07) for _ in range(3)]) * self.uniform(0.9, 1.12)
        down, across = (np.linspace(-1, 1, side, dtype=np.float32) ** 2 for side in (HEIGHT, WIDTH))
        vignette = down[:, None, None] + across[None, :, None]
        grain = (
            self.random.standard_normal(seen.shape, dtype=np.float32)
            * self.uniform(0.005, 0.015)
            * (1.4 if self.dusk else 1.0)
        )
        exposed = np.clip(seen * cast * (1 - 0.09 * vignette) + grain, 0, 1) * 255
        return exposed.round().astype(np.uint8), np.asarray(self.labels)[::OVERSAMPLE, ::OVERSAMPLE].copy()
