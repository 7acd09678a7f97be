"""What the values or colors of masks mean, by a file of names or by the values alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from scenescope.data.classes_yaml import read_class_file
from scenescope.data.formats.annotations import IGNORED
from scenescope.data.formats.json_reader import read_json
from scenescope.data.formats.name_files import names_in
from scenescope.errors import DataError
from scenescope.labels import IGNORE, Color
from scenescope.yaml_reader import read_yaml

MAX_BYTES = 2**20
_NAMES = ("classes", "data", "dataset", "names")
"""Files that are called so, and that cannot be read, are not passed over."""


@dataclass(frozen=True)
class MaskClasses:
    """The classes of masks: their names, and which index a value or a color has (IGNORED for those not scored)."""

    names: tuple[str, ...]
    of_values: dict[int, int] = field(default_factory=dict)
    of_colors: dict[Color, int] = field(default_factory=dict)
    colors: tuple[Color, ...] = ()


def classes_in(file: Path) -> MaskClasses | None:
    """Return the classes of a YAML or JSON file; None if it tells of none.

    Raises:
        DataError: it tells of some, but cannot be understood; names the file.
    """
    if file.name == "classes.yaml":
        classes, table = read_class_file(file)
        codes = {code: IGNORED if label == IGNORE else label for code, label in table.train_ids.items()}
        if table.colors:
            colors = {(code >> 16, code >> 8 & 255, code & 255): label for code, label in codes.items()}
            return MaskClasses(classes.names, of_colors=colors, colors=classes.palette)
        return MaskClasses(classes.names, codes)
    try:
        content = read_json(file, MAX_BYTES) if file.suffix.lower() == ".json" else read_yaml(file, DataError)
    except DataError:
        if file.stem.lower() in _NAMES:
            raise
        return None
    if not isinstance(content, dict):
        return None
    if (names := names_in(content, file)) is not None:
        return MaskClasses(names, {index: index for index in range(len(names))} | {255: IGNORED})
    if isinstance(content.get("classes"), dict):
        return _of_lightly(content, file)
    plain = isinstance(content, dict) and content and all(str(key).isdecimal() for key in content)
    return _of_lightly({"classes": content}, file) if plain else None


def _of_lightly(content: dict[str, object], file: Path) -> MaskClasses:
    """{"classes": {0: name, 1: {"name", "values" or "labels": [1, 3] or [[r, g, b], ...]}}, "ignore_classes": [0]}."""
    given, ignored = content["classes"], content.get("ignore_classes") or []
    assert isinstance(given, dict)
    names: list[str] = []
    of_values: dict[int, int] = {}
    of_colors: dict[Color, int] = {}
    left_out = {str(number) for number in ignored} if isinstance(ignored, list) else set()
    for key, entry in given.items():
        if not str(key).isdecimal():
            raise DataError(f"{file}: `classes` has the key {key!r}; expected the numbers of classes.")
        values: object = [int(key)]
        name: object = entry
        if isinstance(entry, dict):
            name, values = entry.get("name"), entry.get("values", entry.get("labels", [int(key)]))
        if not isinstance(name, str) or not isinstance(values, list):
            raise DataError(f"{file}: class {key} has no name; expected {key}: NAME.")
        label = IGNORED if str(key) in left_out else len(names)
        if label != IGNORED:
            names.append(name)
        for value in values:
            if isinstance(value, int):
                of_values[value] = label
            elif isinstance(value, list) and len(value) == 3 and all(isinstance(part, int) for part in value):
                of_colors[value[0], value[1], value[2]] = label
            else:
                raise DataError(f"{file}: class {name!r} has the value {value!r}; expected a number or a color.")
    if of_values and of_colors:
        raise DataError(f"{file}: some classes are numbers and some colors; give all one way.")
    if len(set(names)) < len(names):
        raise DataError(f"{file}: a class stands twice in `classes`; give each its own name.")
    return MaskClasses(tuple(names), ({255: IGNORED} | of_values) if of_values else {}, of_colors)


def of_values(values: Iterable[int], colors: Iterable[int]) -> tuple[MaskClasses, list[str]]:
    """Return classes that are called by the values, or packed colors, of masks, and what is to be told of them."""
    found = sorted(values)
    if found:
        if len(found) == 2 and found[0] == 0:
            told = f"No file names the classes: 0 is taken for background, {found[1]} for foreground."
            return MaskClasses(("background", "foreground"), {0: 0, found[1]: 1}), [told]
        kept = [value for value in found if value != 255]
        meanings = {value: index for index, value in enumerate(kept)} | {255: IGNORED}
        told = "No file names the classes: they are called by their values, and 255 is ignored; see classes.yaml."
        return MaskClasses(tuple(str(value) for value in kept), meanings), [told]
    packed = sorted(colors)
    given = [(code >> 16, code >> 8 & 255, code & 255) for code in packed]
    if len(given) == 2 and given[0] == (0, 0, 0):
        told = f"No file names the classes: black is taken for background, {given[1]} for foreground."
        return MaskClasses(("background", "foreground"), {}, {given[0]: 0, given[1]: 1}, tuple(given)), [told]
    told = "No file names the classes: they are called by their colors; see classes.yaml."
    names = tuple(",".join(map(str, color)) for color in given)
    return MaskClasses(names, {}, {color: index for index, color in enumerate(given)}, tuple(given)), [told]
