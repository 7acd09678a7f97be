"""The names of classes in the YAML and JSON files of other tools."""

from __future__ import annotations

from pathlib import Path

from scenescope.errors import DataError


def names_in(content: dict[str, object], file: Path) -> tuple[str, ...] | None:
    """Return the names of a list or of a mapping from 0, 1, 2, ... under ``names``; None if there is no such key.

    Raises:
        DataError: they are something else, have gaps or a name twice; names the file.
    """
    found = content.get("names")
    if found is None:
        return None
    if isinstance(found, dict):
        numbers = {str(key): str(name) for key, name in found.items()}
        if sorted(numbers) != sorted(str(number) for number in range(len(numbers))):
            raise DataError(
                f"{file}: `names` has the numbers {', '.join(numbers)}; expected 0, 1, 2, ... without a gap."
            )
        found = [numbers[str(number)] for number in range(len(numbers))]
    if not isinstance(found, list) or not found:
        raise DataError(f"{file}: `names` is no list of classes; expected names: [cat, dog].")
    names = tuple(str(name).strip() for name in found)
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{file}: the class {twice[0]!r} stands twice in `names`; give each its own name.")
    return names
