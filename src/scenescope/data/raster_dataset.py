"""Scenes that are windows of maps, read when they are asked for; labels are rasters or polygons."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scenescope.bands import BandRule
from scenescope.data.dataset import LabeledImage, unique_names
from scenescope.data.fingerprint import ends_of
from scenescope.data.geojson import Feature, read_geojson
from scenescope.data.geometry import Geometry, burnt, in_crs, pixel_bounds, require_place, same_crs
from scenescope.data.masks import LabelTable
from scenescope.data.raster import Raster, RasterFacts, read_facts
from scenescope.data.raster_bands import chosen_bands, read_seen
from scenescope.data.raster_yaml import RasterSettings, read_raster_yaml
from scenescope.errors import DataError, SplitError, nearest
from scenescope.labels import IGNORE, Classes


class Window(NamedTuple):
    """A scene: the number of its map, and its first column and row."""

    image: int
    left: int
    top: int


@dataclass(frozen=True, eq=False)
class Drawn:
    """Polygons on a map, in its coordinates.

    Attributes:
        geometries: each with its train id.
        bounds: P x 4, the pixels that the box of each touches: left, top, right, bottom.
    """

    geometries: list[tuple[Geometry, int]]
    bounds: npt.NDArray[np.int64]

    def within(self, left: int, top: int, right: int, bottom: int) -> list[tuple[Geometry, int]]:
        """Return those whose boxes reach into a window."""
        first_x, first_y, last_x, last_y = self.bounds.T
        near = (first_x < right) & (last_x > left) & (first_y < bottom) & (last_y > top)
        return [self.geometries[number] for number in np.flatnonzero(near)]


@dataclass(frozen=True, eq=False)
class RasterDataset:
    """Windows of maps that belong to one split; made by ``open_raster``.

    Attributes:
        settings: what ``raster.yaml`` says.
        windows: the scenes.
        drawn: the polygons of each map; empty where labels are rasters.
        content: a digest of the settings and of size and ends of all files.
    """

    split: str
    root: str
    settings: RasterSettings
    windows: tuple[Window, ...]
    drawn: tuple[Drawn, ...]
    content: str
    _names: list[str] = field(default_factory=list)

    @property
    def classes(self) -> Classes:
        """The K classes."""
        return self.settings.classes

    @property
    def rule(self) -> BandRule | None:
        """How images are seen; None for 8-bit RGB."""
        return self.settings.rule

    @property
    def table(self) -> LabelTable:
        """What values mean."""
        return self.settings.table

    def __len__(self) -> int:
        return len(self.windows)

    def name(self, index: int) -> str:
        """Return the name of the map, with the column and the row at which the scene begins."""
        image, left, top = self.windows[index]
        return f"{self._names[image]}_{left}_{top}"

    def files(self, index: int) -> tuple[Path, ...]:
        """Return no files: those of a scene hold other scenes as well."""
        return ()

    def __getitem__(self, index: int) -> LabeledImage:
        """Read a scene.

        Raises:
            ImageError: the map or its label raster is damaged, or the map is not what the rule expects.
            LabelError: a value that is neither a class nor ignored.
        """
        number, left, top = self.windows[index]
        with Raster(self.settings.images[number]) as raster:
            side = self.settings.window
            bands = chosen_bands(raster.facts, self.rule)
            image, valid = read_seen(raster, left, top, side, side, bands, self.rule)
            labels = self.labels(number, left, top, raster.facts)
        labels[~valid] = IGNORE
        return LabeledImage(image, labels, self.name(index))

    def labels(self, number: int, left: int, top: int, facts: RasterFacts) -> npt.NDArray[np.uint8]:
        """Return the labels of a window of a map, whatever the map holds there."""
        side = self.settings.window
        if self.drawn:
            empty = IGNORE if self.settings.background is None else self.settings.background
            polygons = self.drawn[number].within(left, top, left + side, top + side)
            return burnt(polygons, require_place(facts)[1], side, side, empty, left, top)
        path = self.settings.labels[number]
        with Raster(path) as raster:
            raw, valid = raster.read(left, top, side, side)
        # Nodata need not be among the values.
        known = self.table.to_labels(np.where(valid, raw[..., 0], next(iter(self.table.train_ids))), path)
        return np.where(valid, known, np.uint8(IGNORE))


def open_raster(root: str, split: str) -> RasterDataset:
    """Open a split of a ``raster:`` data set: a folder with ``raster.yaml``, or such a file.

    Maps are divided into blocks, and blocks drawn for the splits; scenes of two blocks are ``margin`` pixels apart, so
    that neighbors do not leak. Windows without any label are no scenes; label rasters are read once to find them.

    Raises:
        DataError: settings, maps and labels that do not fit each other, or too few blocks.
        ImageError: a raster that cannot be read.
        SplitError: there is no such split.
    """
    settings = read_raster_yaml(root)
    if split not in settings.splits:
        raise SplitError(
            f"raster:{root} has no split {split!r}; choose {', '.join(settings.splits)}."
            f"{nearest(split, settings.splits)}"
        )
    maps = [read_facts(path) for path in settings.images]
    for facts in maps:
        _require_fit(facts, settings)
    for facts, path in zip(maps, settings.labels, strict=False):
        labels = read_facts(path)
        _require_upon(labels, facts)
        _require_no_class(labels, settings)
    files = [*settings.images, *settings.labels, *settings.polygons]
    content = hashlib.sha256(b"".join([settings.text.encode(), *map(ends_of, files)])).hexdigest()
    names = unique_names(settings.images)
    dataset = RasterDataset(split, root, settings, (), _drawn(settings, maps), content, names)
    blocks = _blocks(maps, settings, root)[split]
    windows = (window for block in blocks for window in _windows(block, maps[block.image], settings))
    labeled = tuple(window for window in windows if _has_label(dataset, window, maps[window.image]))
    if not labeled:
        raise DataError(
            f"Split {split!r} of raster:{root} has no window with a label; label more, or set another seed."
        )
    return replace(dataset, windows=labeled)


def _has_label(dataset: RasterDataset, window: Window, facts: RasterFacts) -> bool:
    return bool((dataset.labels(*window, facts) != IGNORE).any())


def _blocks(maps: list[RasterFacts], settings: RasterSettings, root: str) -> Mapping[str, list[Window]]:
    """Return the blocks of each split: all of them in a drawn order, and of that each split its share."""
    # The last block of a side is the one that still holds a window.
    blocks = [
        Window(number, left, top)
        for number, facts in enumerate(maps)
        for left, top in product(
            range(0, max(facts.width - settings.window, 0) + 1, settings.block + settings.margin),
            range(0, max(facts.height - settings.window, 0) + 1, settings.block + settings.margin),
        )
    ]
    if len(blocks) < len(settings.splits):
        raise DataError(
            f"raster:{root} has {len(blocks)} blocks of {settings.block} pixels for {len(settings.splits)} splits;"
            " set a smaller `block`."
        )
    random.Random(settings.seed).shuffle(blocks)
    chosen, start, total = {}, 0, 0.0
    for number, (name, share) in enumerate(settings.splits.items(), start=1):
        total += share
        left_over = len(settings.splits) - number  # each split gets one at least
        end = min(max(round(total * len(blocks)), start + 1), len(blocks) - left_over)
        chosen[name] = sorted(blocks[start:end])
        start = end
    return chosen


def _windows(block: Window, facts: RasterFacts, settings: RasterSettings) -> list[Window]:
    """Return the windows that lie within a block and on the map."""
    right, bottom = min(block.left + settings.block, facts.width), min(block.top + settings.block, facts.height)
    lefts = range(block.left, right - settings.window + 1, settings.stride)
    tops = range(block.top, bottom - settings.window + 1, settings.stride)
    return [Window(block.image, left, top) for top in tops for left in lefts]


def _require_fit(facts: RasterFacts, settings: RasterSettings) -> None:
    if min(facts.width, facts.height) < settings.window:
        raise DataError(
            f"{facts.path} is {facts.width} x {facts.height} pixels, smaller than the window of {settings.window};"
            " set a smaller `window`."
        )
    chosen_bands(facts, settings.rule)


def _require_upon(labels: RasterFacts, image: RasterFacts) -> None:
    """Refuse a label raster that does not lie pixel on pixel upon its image."""
    if labels.bands != 1 or np.dtype(labels.dtype).kind not in "iu":
        raise DataError(
            f"{labels.path} has {labels.bands} bands of {labels.dtype}; labels are one band of whole numbers."
        )
    own, other = require_place(labels), require_place(image)
    if not same_crs(own[0], other[0]):
        raise DataError(
            f"{labels.path} is in {own[0][:60]}, but its image {image.path} in {other[0][:60]};"
            " bring the labels into the CRS of the image, with gdalwarp -r near."
        )
    if (labels.width, labels.height) != (image.width, image.height) or not np.allclose(own[1], other[1], rtol=1e-9):
        raise DataError(
            f"{labels.path} ({labels.width} x {labels.height} pixels) does not lie pixel on pixel upon {image.path}"
            f" ({image.width} x {image.height}); cut it to the same grid, with gdalwarp -r near -te ... -ts ..."
        )


def _require_no_class(labels: RasterFacts, settings: RasterSettings) -> None:
    """Refuse a label raster that calls the number of a class nodata, as GIS programs do with 0 by default."""
    label = settings.table.train_ids.get(labels.nodata, IGNORE)  # type: ignore[call-overload]
    if label != IGNORE:
        name, number = settings.classes.names[label], f"{labels.nodata:g}"
        raise DataError(
            f"{labels.path} says that {number} is nodata, but it is the class {name!r}; say which, with gdal_edit"
            f" -unsetnodata, or with `ignore: [{number}]` and `values` for the classes."
        )


def _drawn(settings: RasterSettings, maps: list[RasterFacts]) -> tuple[Drawn, ...]:
    """Return the polygons of each map in its coordinates."""
    found, read = [], {path: read_geojson(path) for path in dict.fromkeys(settings.polygons)}
    for facts, path in zip(maps, settings.polygons, strict=False):
        features, crs = read[path]
        own_crs, transform = require_place(facts)
        geometries = [(in_crs(each.geometry, crs, own_crs), _train_id(each, path, settings)) for each in features]
        bounds = np.array([pixel_bounds(geometry, transform) for geometry, _ in geometries], np.int64)
        drawn = Drawn(geometries, bounds)
        if not drawn.within(0, 0, facts.width, facts.height):
            raise DataError(
                f"No polygon of {path} lies on {facts.path}; check that the CRS of both is right: {own_crs[:60]} is"
                f" that of the map, {crs} that of the polygons."
            )
        found.append(drawn)
    return tuple(found)


def _train_id(feature: Feature, path: Path, settings: RasterSettings) -> int:
    """Return the class of a polygon by its name, or by its value."""
    names, given = settings.classes.names, feature.properties.get(settings.column)
    if isinstance(given, str) and given in names:
        return names.index(given)
    if isinstance(given, int) and (known := settings.table.train_id(given)) is not None:
        return known
    columns = ", ".join(list(feature.properties)[:8]) or "none"
    raise DataError(
        f"{path}: polygon {feature.name} has {str(given)[:40]!r} in {settings.column!r}, which is neither a name nor a"
        f" value; known are {', '.join(names[:8])}; the columns are {columns}."
    )
