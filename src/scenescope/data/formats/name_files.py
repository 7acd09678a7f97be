"""The names of classes in the YAML, JSON and text files of other tools."""

from __future__ import annotations

from pathlib import Path

from scenescope.errors import DataError


def names_listed(file: Path) -> list[str]:
    """Return the names of a text file, one a line: the number of a class is that of its line.

    Raises:
        DataError: it cannot be read, or a line before the last name is empty, so that it is not clear what the others'
            numbers are; names the file.
    """
    try:
        # With a mark of UTF-8 at its start, as Windows writes it, the first name would be another.
        text = file.read_text("utf-8-sig", "replace")
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror or error}; check its permissions.") from error
    names = [line.strip() for line in text.rstrip().splitlines()]
    if "" in names:
        raise DataError(f"{file}, line {names.index('') + 1} is empty; give that class a name, or remove the line.")
    return names


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
