"""The file ``classes.yaml`` of a ``folder:`` data set: what the numbers or colors of its masks mean.

    names: [building, car, road]                 # train ids 0, 1, 2; without values or colors, masks hold these
    names: {0: building, 1: car, 2: road}        # the same
    ignore: 255                                  # optional: values (or colors) that are not scored

    values: [10, [20, 21], 30]                   # optional: the raw values of each class, in the order of names
    colors: [[128, 0, 0], [128, 0, 128], ...]   # or its RGB color, or a list of colors

    bands: [0, 1, 2, 3]                          # optional: the bands of the images that are seen, see ``bands.py``
    range: [0, 3000]                             # and what is black and white in them, or one such pair for each

``values`` and ``colors`` exclude each other. Nothing is ignored that the file does not name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeGuard

from scenescope.bands import BandRule, declared_rule
from scenescope.data.masks import LabelTable
from scenescope.errors import DataError, nearest
from scenescope.labels import Classes, Color
from scenescope.old_names import renamed_class_keys
from scenescope.yaml_reader import read_yaml

_KEYS = ("names", "ignore", "values", "colors", "bands", "range")


def read_class_file(path: Path) -> tuple[Classes, LabelTable]:
    """Read the classes and the meaning of mask values from ``classes.yaml``.

    Raises:
        DataError: missing, not YAML, an unknown key, or a value of the wrong kind; names the file.
    """
    if not path.exists():
        raise DataError(
            f"{path} does not exist; write one that names the classes in the order of their numbers, for example: "
            "names: [background, person]"
        )
    content = renamed_class_keys(read_yaml(path, DataError))
    for key in content:
        if key not in _KEYS:
            raise DataError(f"{path}: unknown key {key!r}; known are {', '.join(_KEYS)}.{nearest(key, _KEYS)}")
    try:
        _rule(content)
        return interpret_classes(content)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_band_rule(path: Path) -> BandRule | None:
    """Read how images are seen from a ``classes.yaml`` that ``read_class_file`` reads; None for 8-bit RGB."""
    return _rule(read_yaml(path, DataError))


def _rule(content: dict[str, object]) -> BandRule | None:
    return declared_rule(content.get("bands"), content.get("range"))


def interpret_classes(content: dict[str, object]) -> tuple[Classes, LabelTable]:
    """Return the classes and the meaning of values of what a ``classes.yaml`` holds.

    Raises:
        DataError: a value of the wrong kind.
    """
    names = content.get("names")
    if isinstance(names, dict) and names:
        names = _in_order(names)
    if not isinstance(names, list) or not names:
        raise DataError("`names` must list the classes, for example names: [background, person].")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"the class name {name!r} is not text; put it in quotes.")
    ignore = content.get("ignore", [])
    remedy = "add it to `{}` or `ignore` in classes.yaml, or repair the mask (scenescope check proposes what)"
    if "colors" in content:
        if "values" in content:
            raise DataError("`values` and `colors` are both given; keep the one that the masks hold.")
        colors = [_colors(entry, "colors") for entry in _per_class(content["colors"], names, "colors")]
        table = LabelTable.of_colors(colors, _colors(ignore, "ignore"), remedy.format("colors"))
        return Classes.named(names, [group[0] for group in colors]), table
    if "values" in content:
        values = [_values(entry, "values") for entry in _per_class(content["values"], names, "values")]
    else:
        values = [[index] for index in range(len(names))]
    key = "values" if "values" in content else "names"
    return Classes.named(names), LabelTable.of_values(values, _values(ignore, "ignore"), remedy.format(key))


def _in_order(numbered: dict[str, object]) -> list[object]:
    """The names of a mapping from numbers, as other tools write it."""
    if not all(key.isdecimal() for key in numbered):
        raise DataError(
            "`names` must list the classes, for example names: [background, person] or {0: background, ...}."
        )
    ordered = sorted(numbered, key=int)
    if ordered != [str(number) for number in range(len(numbered))]:
        names = ", ".join(str(numbered[key]) for key in ordered)
        raise DataError(
            f"`names` has the numbers {', '.join(ordered)}, but classes are 0, 1, 2, ... without a gap; if these are "
            f"the values in the masks, write names: [{names}], values: [{', '.join(ordered)}]."
        )
    return [numbered[key] for key in ordered]


def _per_class(entries: object, names: list[str], key: str) -> list[object]:
    if not isinstance(entries, list):
        raise DataError(f"`{key}` must be a list with one entry per class, in the order of `names`.")
    if len(entries) != len(names):
        raise DataError(f"`{key}` has {len(entries)} entries for {len(names)} names; give one entry per class.")
    for name, entry in zip(names, entries, strict=True):
        if entry == []:
            raise DataError(f"`{key}` of class {name!r} is empty; give at least one.")
    return entries


def _values(entry: object, key: str) -> list[int]:
    numbers: list[int] = []
    for number in entry if isinstance(entry, list) else [entry]:
        if not _is_int(number):
            colors = " For RGB colors, use `colors`." if isinstance(number, list) else ""
            raise DataError(f"`{key}` holds {number!r}; expected a whole number or a list of them.{colors}")
        numbers.append(number)
    return numbers


def _colors(entry: object, key: str) -> list[Color]:
    if isinstance(entry, list) and len(entry) == 3 and all(_is_int(part) for part in entry):
        return [(entry[0], entry[1], entry[2])]
    if not isinstance(entry, list) or any(not isinstance(part, list) for part in entry):
        raise DataError(f"`{key}` holds {entry!r}; expected an RGB color such as [128, 0, 0] or a list of colors.")
    if any(len(part) != 3 or not all(_is_int(number) for number in part) for part in entry):
        raise DataError(f"`{key}` holds {entry!r}; a color is three whole numbers: red, green, blue.")
    return [(part[0], part[1], part[2]) for part in entry]


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
