"""The files that a command has written into a folder, known again by their content: nothing else is ever replaced.

A hidden list in the folder has a line of JSON for each time that something was written. It is appended before the files
that it tells of move into their places, so whenever a command is killed, it knows its files again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scenescope.errors import StorageError
from scenescope.files import make_directory, sha256, storage_errors, write_atomically


def file_name(name: str, ending: str) -> str:
    """Return the name of a file within a folder: a name and its ending, which may begin with a folder of its own.

    That of ``sub/a`` and ``_labels.png`` is ``sub/a_labels.png``, that of ``sub/a`` and ``coco/.json`` is
    ``coco/sub/a.json``.
    """
    folder, slash, rest = ending.rpartition("/")
    return f"{folder}{slash}{name}{rest}"


class OwnFiles:
    """What a command has written into a folder.

    A line of the list has ``name``, ``subject`` (what was written about) and ``files``: SHA-256 by its ending,
    see ``file_name``.

    Args:
        folder: need not exist yet.
        command: says in messages who writes.
        list_name: of the list; ``.COMMAND`` if not given.
    """

    def __init__(self, folder: Path, command: str, list_name: str = "") -> None:
        self.folder, self.command = folder, command
        self.path = folder / (list_name or f".{command}")
        self._subjects: dict[tuple[str, str], set[str]] = {}
        self._torn = False
        if os.path.isfile(self.path):  # unlike pathlib's, false where the folder cannot be searched
            content = self.path.read_bytes()
            self._torn = bool(content) and not content.endswith(b"\n")
            for line in content.splitlines():
                self._keep(_parse(line))

    def files(self) -> set[Path]:
        """Return what was ever written into the folder, whether it is still there or not."""
        return {self.folder / name for name, _ in self._subjects}

    def subjects(self, path: Path) -> set[str]:
        """Return what a file in the folder was written about; nothing if it is not, or no longer, the command's own."""
        return self._subjects.get((self._name(path), sha256(path)), set()) if path.is_file() else set()

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
        if subject not in self.subjects(path):
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
            self.append({"name": self._name(path), "subject": subject, "files": {"": sha256(temporary)}})

        make_directory(self.folder)
        write_atomically(path, written_and_listed)

    def append(self, line: dict[str, Any]) -> None:
        """Append a line to the list.

        Raises:
            StorageError: the folder cannot be written.
        """
        with storage_errors(self.path), self.path.open("a", encoding="ascii") as file:
            file.write("\n" * self._torn + json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._torn = False
        self._keep(line)

    def _keep(self, line: dict[str, Any]) -> None:
        for ending, digest in line.get("files", {}).items():
            self._subjects.setdefault((file_name(line["name"], ending), digest), set()).add(line["subject"])

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self.folder)


def _parse(line: bytes) -> dict[str, Any]:
    """Return what a line tells; nothing of one that is torn or of other origin."""
    try:
        told = json.loads(line)
        whole = all(isinstance(told[key], str) for key in ("name", "subject"))
        return told if whole and all(isinstance(digest, str) for digest in told["files"].values()) else {}
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}
