"""The files that a command has written into a folder, known again by their content: nothing else is ever replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from scenescope.errors import StorageError
from scenescope.files import make_directory, sha256, storage_errors, write_atomically


class OwnFiles:
    """What a command has written into a folder, in a hidden list there: of each file its name, subject and SHA-256.

    Args:
        folder: need not exist yet.
        command: gives the list its name, and says in messages who writes.
    """

    def __init__(self, folder: Path, command: str) -> None:
        self.folder, self.command = folder, command
        self._list = folder / f".{command}"
        self._written: set[tuple[str, str, str]] = set()
        if self._list.is_file():
            for line in self._list.read_text(encoding="ascii", errors="replace").splitlines():
                self._written.add(_entry(line))

    def require_free(self, path: Path, subject: str, inputs: Iterable[Path] = ()) -> None:
        """Refuse a place of what is none of the command's own files about a subject, or is an input.

        Args:
            path: within the folder.
            subject: what will be written is about.
            inputs: what is read in the same call.

        Raises:
            StorageError: such a file is there.
        """
        if not os.path.lexists(path):
            return
        if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
            raise StorageError(
                f"What is written about {subject} would replace the input {path}; choose another --output."
            )
        if not path.is_file() or (self._name(path), subject, sha256(path)) not in self._written:
            raise StorageError(
                f"{path} is in the way: it is not, or no longer, what {self.command} has written about {subject};"
                " move it or choose another --output."
            )

    def write(self, path: Path, subject: str, write: Callable[[Path], object]) -> None:
        """Write a file whole or not at all, see ``write_atomically``, and keep in mind that it is the command's own.

        Raises:
            StorageError: the place cannot be written, or another's file is there.
        """
        self.require_free(path, subject)

        def written_and_listed(temporary: Path) -> None:
            write(temporary)
            # Before it is in its place: a command that is killed in between must know its file again.
            self._add(self._name(path), subject, sha256(temporary))

        make_directory(self.folder)
        write_atomically(path, written_and_listed)

    def _add(self, *entry: str) -> None:
        with storage_errors(self._list), self._list.open("a", encoding="ascii") as file:
            file.write(json.dumps(entry) + "\n")
        self._written.add(_entry(json.dumps(entry)))

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self.folder)


def _entry(line: str) -> tuple[str, str, str]:
    """Return what a line tells; of one that is torn or of other origin, nothing that any file has."""
    try:
        name, subject, digest = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return "", "", ""
    return str(name), str(subject), str(digest)
