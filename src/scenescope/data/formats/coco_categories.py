"""The categories of COCO's files as classes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

from scenescope.data.formats.labeled_image import color_of
from scenescope.errors import DataError
from scenescope.labels import Color, voc_color


class Categories:
    """Classes in the order of the files, known by the numbers of their categories.

    Attributes:
        names: of the classes.
        notes: what is to be told about them.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.notes: list[str] = []
        self._labels: dict[Hashable, int] = {}
        self._colors: dict[int, Color] = {}

    def add(self, categories: Iterable[dict[str, Any]], file: Path) -> None:
        """Add the categories of a file; categories of one name are one class.

        Raises:
            DataError: none at all, one without a name, or a number that has another name in the file before.
        """
        for category in categories:
            name, key = _name(category.get("name")), id_key(category.get("id"))
            if not name:
                raise DataError(f"{file}: category {key!r} has no name; give it one.")
            known = self._labels.get(key)
            if known is not None and self.names[known] != name:
                raise DataError(
                    f"{file}: category {key!r} is {name!r} and {self.names[known]!r}; import the files one by one."
                )
            if name not in self.names:
                self.names.append(name)
            elif known is None:
                self.notes.append(f"Two categories are called {name!r}, which makes them one class.")
            label = self._labels[key] = self.names.index(name)
            if color := _color(category.get("color")):
                self._colors[label] = color
        if not self.names:
            raise DataError(f"{file} has no categories; export it again.")

    def label(self, number: Any) -> int | None:
        """Return the class of a category's number, or None if no file has it."""
        return self._labels.get(id_key(number))

    def colors(self) -> tuple[Color, ...]:
        """Return the colors of the classes, as VOC's where one has none; empty if none has."""
        if not self._colors:
            return ()
        return tuple(self._colors.get(label, voc_color(label + 1)) for label in range(len(self.names)))


def id_key(value: Any) -> Hashable:
    """Return what two ids have in common that mean the same: 1 and 1.0, as tables write them."""
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else repr(value)


def _name(value: Any) -> str:
    """A name in one line; nothing if it is none."""
    return " ".join(str(value).split()) if isinstance(value, (str, int, float)) else ""


def _color(value: Any) -> Color | None:
    """[r, g, b] as panoptic files have it, or "#rrggbb" of other tools."""
    if isinstance(value, list) and len(value) == 3 and all(isinstance(part, int) for part in value):
        red, green, blue = (min(max(part, 0), 255) for part in value)
        return red, green, blue
    return color_of(value)
