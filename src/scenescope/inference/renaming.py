"""The classes of a model under the names of a user's project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scenescope.errors import DataError, nearest
from scenescope.labels import IGNORE, Classes
from scenescope.yaml_reader import read_yaml

Names = Mapping[str, str | None]


def read_names(path: Path) -> Names:
    """Read a YAML file with a line ``name of the model: name of the project`` for each class that gets another name.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    names: dict[str, str | None] = {}
    for old, new in read_yaml(path, DataError).items():
        if not (new is None or isinstance(new, str)) or new == "":
            raise DataError(
                f"{path}: {old} gets the name {new!r}, which is not text; put it in quotes, or write null to leave that"
                " class out."
            )
        names[old] = new
    return names


def renamed(classes: Classes, names: Names) -> tuple[Classes, npt.NDArray[np.uint8]]:
    """Return the classes under other names, and the new class of each old one.

    Classes that ``names`` does not list keep their names. Those that get one name become one class, in the place and
    the color of the first of them; those that get None are left out.

    Returns:
        The classes, and 256 uint8: the new number of each label, or 255.

    Raises:
        DataError: a name that is none of the classes', or no class is left.
    """
    for name in names:
        if name not in classes.names:
            raise DataError(
                f"{name!r} is renamed, but is none of the classes {', '.join(classes.names)}."
                f"{nearest(name, classes.names)}"
            )
    colors: dict[str, tuple[int, int, int]] = {}
    for name, color in zip(classes.names, classes.palette, strict=True):
        new = names.get(name, name)
        if new is not None:
            colors.setdefault(new, color)
    if not colors:
        raise DataError("Every class is renamed to null and so left out; leave at least one.")
    places = {name: place for place, name in enumerate(colors)}
    table = np.full(256, IGNORE, np.uint8)
    for label, name in enumerate(classes.names):
        new = names.get(name, name)
        if new is not None:
            table[label] = places[new]
    return Classes.named(list(colors), list(colors.values())), table
