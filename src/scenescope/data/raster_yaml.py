"""The file ``raster.yaml`` of a ``raster:`` data set: maps, their labels, and how scenes are taken of them.

names: [field, road, pond]          # and values, ignore, bands, range: as in classes.yaml
images: [west.tif, east.tif]        # GeoTIFFs, by their paths from this folder

labels: [west_labels.tif, ...]      # a label raster for each image, pixel on pixel
polygons: fields.geojson            # or polygons, one file for all images or one for each,
column: class                       # with the property that holds the name or the value of the class,
background: field                   # and the class of what no polygon holds; without, it is ignored

window: 512                         # side of a scene in pixels
stride: 512                         # optional: from scene to scene; the window if not given
block: 4096                         # optional: side of the blocks that belong to one split; eight windows
margin: 512                         # optional: pixels between the scenes of two blocks; the window
splits: {train: 0.8, val: 0.2}      # optional: shares of the blocks
seed: 0                             # optional: of the draw of the blocks
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scenescope.bands import BandRule, declared_rule
from scenescope.data.classes_yaml import interpret_classes
from scenescope.data.file_pairs import require_directory
from scenescope.data.masks import LabelTable
from scenescope.errors import DataError, nearest
from scenescope.labels import Classes
from scenescope.yaml_reader import read_yaml

FILE = "raster.yaml"
_CLASSES = ("names", "values", "ignore", "bands", "range")
_KEYS = (
    *_CLASSES,
    *("images", "labels", "polygons", "column", "background"),
    *("window", "stride", "block", "margin", "splits", "seed"),
)


@dataclass(frozen=True)
class RasterSettings:
    """What ``raster.yaml`` says.

    Attributes:
        images: paths of the maps; ``labels`` or ``polygons`` those of as many label rasters or files of polygons.
        column: the property of a polygon that holds its class.
        background: the train id of what no polygon holds; None where it is ignored.
        splits: the share of the blocks of each split, in order; they sum to 1.
        text: the content of the file.
    """

    classes: Classes
    table: LabelTable
    rule: BandRule | None
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    polygons: tuple[Path, ...]
    column: str
    background: int | None
    window: int
    stride: int
    block: int
    margin: int
    splits: Mapping[str, float]
    seed: int
    text: str


def read_raster_yaml(root: str) -> RasterSettings:
    """Read ``raster.yaml`` of a folder, or a file of another name.

    Raises:
        DataError: missing, not YAML, an unknown key, or a value of the wrong kind; names the file.
    """
    path = Path(root)
    path = path if path.is_file() else require_directory(path) / FILE
    content = read_yaml(path, DataError)
    for key in content:
        if key not in _KEYS:
            raise DataError(f"{path}: unknown key {key!r}; known are {', '.join(_KEYS)}.{nearest(key, _KEYS)}")
    try:
        return _interpret(content, path)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _interpret(content: dict[str, object], path: Path) -> RasterSettings:
    classes, table = interpret_classes({key: content[key] for key in _CLASSES[:3] if key in content})
    images = _paths(content, "images", path.parent)
    labels, polygons = (_paths(content, key, path.parent) if key in content else () for key in ("labels", "polygons"))
    if bool(labels) == bool(polygons):
        raise DataError("give either `labels`, a label raster for each image, or `polygons`.")
    if polygons and len(polygons) == 1:
        polygons *= len(images)
    for key, files in (("labels", labels), ("polygons", polygons)):
        if files and len(files) != len(images):
            raise DataError(f"`{key}` has {len(files)} files for {len(images)} images; give one for each image.")
    column, background = content.get("column"), content.get("background")
    if polygons and not (isinstance(column, str) and column):
        raise DataError("`polygons` need `column`, the name of the property that holds the class.")
    if labels and (column is not None or background is not None):
        raise DataError("`column` and `background` are for `polygons`; leave them out.")
    if background is not None and background not in classes.names:
        raise DataError(f"`background` is {background!r}, which is none of the names.")
    window = _whole(content, "window", None, 1)
    return RasterSettings(
        classes=classes,
        table=table,
        rule=declared_rule(content.get("bands"), content.get("range")),
        images=images,
        labels=labels,
        polygons=polygons,
        column=str(column),
        background=None if background is None else classes.names.index(str(background)),
        window=window,
        stride=_whole(content, "stride", window, 1),
        block=_whole(content, "block", 8 * window, window),
        margin=_whole(content, "margin", window, 0),
        splits=_splits(content.get("splits", {"train": 0.8, "val": 0.2})),
        seed=_whole(content, "seed", 0, 0),
        text=path.read_text(encoding="utf-8-sig"),
    )


def _paths(content: dict[str, object], key: str, folder: Path) -> tuple[Path, ...]:
    given = content.get(key)
    names = [given] if isinstance(given, str) else given
    if not (isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)):
        raise DataError(f"`{key}` must list files, for example {key}: [west.tif, east.tif].")
    found = []
    for name in names:
        if not (folder / name).is_file():
            raise DataError(f"`{key}` has {name!r}, but there is no file {folder / name}.")
        found.append(folder / name)
    return tuple(found)


def _whole(content: dict[str, object], key: str, default: int | None, least: int) -> int:
    value = content.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise DataError(f"`{key}` is {value!r}; give a whole number of at least {least}, in pixels.")
    return value


def _splits(given: object) -> Mapping[str, float]:
    shares = list(given.values()) if isinstance(given, dict) else []
    numbers = all(isinstance(share, (int, float)) and not isinstance(share, bool) and share > 0 for share in shares)
    if not (isinstance(given, dict) and shares and numbers and abs(sum(shares) - 1) < 1e-6):
        raise DataError("`splits` must be shares of the blocks that sum to 1, for example {train: 0.8, val: 0.2}.")
    return {str(name): float(share) for name, share in given.items()}
