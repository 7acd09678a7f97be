"""Writing files so that nothing half-written is ever left behind."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from scenescope.errors import StorageError

CHECKSUMS = "SHA256SUMS"
"""Name of the checksum file inside a written directory; the format of ``sha256sum``."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Cells that begin like this are run by spreadsheets."""


@contextlib.contextmanager
def storage_errors(path: Path, num_bytes: int | None = None) -> Iterator[None]:
    """Turn operating-system errors while writing ``path`` into a StorageError that names it.

    Raises:
        StorageError: no space left, not a directory, not allowed, name too long.
    """
    try:
        yield
    except OSError as error:
        needed = f" ({num_bytes:,} bytes needed)" if num_bytes is not None else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "free some space there or choose another --output"
        elif error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            advice = "a file or directory of that name is in the way; move it or choose another --output"
        elif error.errno == errno.ENAMETOOLONG:
            advice = "choose a shorter name or --output"
        else:
            advice = "choose an --output that can be written"
        raise StorageError(f"Cannot write {path}{needed}: {error.strerror or error}; {advice}.") from error


def make_directory(path: Path) -> Path:
    """Create a directory with its parents, or explain why it cannot be."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def csv_cell(value: str | float | None) -> str | float | None:
    """Return what a cell holds as a spreadsheet shows it: names of strangers must not be formulas."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


class StagedFiles:
    """Files that are written under other names beside their places, to be moved there together."""

    def __init__(self) -> None:
        self.temporaries: dict[Path, Path] = {}
        """Where each file is meanwhile, by its place."""

    def write(self, path: Path, write: Callable[[Path], object], num_bytes: int | None = None) -> None:
        """Call ``write`` with a temporary path beside ``path`` and flush it to disk.

        Raises:
            StorageError: the place cannot be written.
        """
        with storage_errors(path, num_bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = _partial(path)
            temporary.touch(exist_ok=False)
            try:
                write(temporary)
                _flush(temporary)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            self.temporaries[path] = temporary


@contextlib.contextmanager
def staged_files() -> Iterator[StagedFiles]:
    """Give a ``with`` block files to write, and move all into place when it ends; if it fails, none.

    Raises:
        StorageError: a file cannot be moved into its place.
    """
    files = StagedFiles()
    try:
        yield files
        for path, temporary in files.temporaries.items():
            with storage_errors(path):
                temporary.replace(path)
    finally:
        for temporary in files.temporaries.values():
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object], num_bytes: int | None = None) -> None:
    """Call ``write`` with a temporary path beside ``path``, flush it to disk and move it into place.

    Raises:
        StorageError: the place cannot be written; neither a partial nor a temporary file remains.
    """
    with staged_files() as files:
        files.write(path, write, num_bytes)


def write_text(path: Path, text: str) -> None:
    r"""Write a UTF-8 text file atomically; what is no Unicode, as in names of strangers, as \xNN or \uNNNN."""
    content = text.encode(errors="backslashreplace")
    write_atomically(path, lambda temporary: temporary.write_bytes(content), len(content))


def write_csv(path: Path, rows: Iterable[Iterable[str | float | None]]) -> None:
    """Write a table atomically, header first, for spreadsheets too: text that they would run is marked as text.

    Raises:
        StorageError: the place cannot be written.
    """

    def write(place: Path) -> None:
        # A file name that is no Unicode is written with its odd bytes as \\xNN.
        with place.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            csv.writer(file).writerows([[csv_cell(value) for value in row] for row in rows])

    write_atomically(path, write)


def write_directory(path: Path, write: Callable[[Path], None], num_bytes: int | None = None) -> None:
    """Let ``write`` fill a new directory, seal it with checksums and move it into place in one step.

    An older directory of that name is replaced; where the name is a link, what it leads to is. A crash between two
    moves may leave it as ``.NAME.previous``: ``whole_directory`` finds it there and the next writer puts it back.

    Raises:
        StorageError: the place cannot be written; the older directory is then untouched.
    """
    with storage_errors(path, num_bytes):
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_directory(path)
        if path.exists() and not path.is_dir():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        temporary = _partial(path)
        temporary.mkdir()
        try:
            write(temporary)
            _seal(temporary)
            if path.exists():
                path.rename(_previous(path))
            temporary.rename(path)
            _flush(path.parent)
        finally:
            recover_directory(path)
            shutil.rmtree(temporary, ignore_errors=True)


def recover_directory(path: Path) -> None:
    """Undo what a crash in ``write_directory`` may have left: put the previous directory back or remove it."""
    path = Path(os.path.realpath(path))
    previous = _previous(path)
    if not path.exists() and previous.exists():
        previous.rename(path)
    elif previous.is_symlink():
        previous.unlink()
    elif previous.exists():
        shutil.rmtree(previous, ignore_errors=True)


def whole_directory(path: Path) -> Path:
    """Return where a directory is: under its name, or, after a crash while it was replaced, as ``.NAME.previous``.

    Nothing is moved: a reader must not disturb a writer.
    """
    previous = _previous(path)
    return previous if not path.exists() and previous.is_dir() else path


@contextlib.contextmanager
def output_directory(path: Path) -> Iterator[Path]:
    """Make a directory for results; if the ``with`` block fails and nothing was written, remove it again.

    Raises:
        StorageError: it cannot be made, or nothing can be written in it.
    """
    missing = [place for place in (path, *path.parents) if not place.exists()]
    make_directory(path)
    with storage_errors(path):
        tempfile.TemporaryFile(dir=path).close()
    try:
        yield path
    except BaseException:
        with contextlib.suppress(OSError):  # the first that is not empty stays, and so do those above it
            for place in missing:
                place.rmdir()
        raise


@contextlib.contextmanager
def held_directory(path: Path) -> Iterator[bool]:
    """Keep a directory to this call for the length of a ``with`` block, by a lock on its file ``.lock``.

    The lock ends with the process, however it ends, and processes forked from it do not share it. Gives whether the
    directory is kept: some network drives have no such locks.

    Raises:
        StorageError: another process keeps it, or this one does already.
    """
    from filelock import FileLock, Timeout

    place = path / ".lock"
    with storage_errors(place):
        place.open("a").close()  # so that whatever the lock cannot do after this is for want of locks
    # The fallback is a file that outlives a killed process: a run could not be resumed at once.
    lock, kept = FileLock(place, timeout=0, fallback_to_soft=False), True
    try:
        lock.acquire()
    except (Timeout, PermissionError) as error:
        raise StorageError(
            f"{path} is in use by another process; wait until it has ended or choose another --output."
        ) from error
    except OSError:
        kept = False
    try:
        yield kept
    finally:
        if kept:
            with contextlib.suppress(OSError):  # Windows removes no file that is open
                if not place.stat().st_size:  # a file that says something is not ours
                    place.unlink()
            lock.release()


def remove_partial(directory: Path) -> None:
    """Remove what a killed process left half-written in ``directory``."""
    for stray in directory.glob(".partial-*"):
        if stray.is_dir():
            shutil.rmtree(stray, ignore_errors=True)
        else:
            stray.unlink(missing_ok=True)


def damaged_file(directory: Path, *needed: str) -> str | None:
    """Return the name of the first file that does not match its checksum, or None when all match.

    A file without a checksum is a stray (.DS_Store, ...) and passed over, unless it is one of those ``needed``. A
    directory without checksums (not written by scenescope) is not judged: None.
    """
    sums = directory / CHECKSUMS
    if not sums.is_file():
        return None
    try:
        lines = sums.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        return CHECKSUMS
    listed = set()
    for line in lines:
        digest, _, name = line.partition("  ")
        if "/" in name or not (directory / name).is_file():
            return name or CHECKSUMS
        if sha256(directory / name) != digest:
            return name
        listed.add(name)
    return next((name for name in needed if name not in listed), None)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(directory: Path) -> None:
    """Write the checksums of a directory's files and flush everything to disk."""
    files = sorted(file for file in directory.iterdir() if file.is_file())
    text = "".join(f"{sha256(file)}  {file.name}\n" for file in files)
    (directory / CHECKSUMS).write_text(text, encoding="utf-8")
    for file in (*files, directory / CHECKSUMS, directory):
        _flush(file)


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a directory.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _partial(path: Path) -> Path:
    """Return a new name beside a path for what is being written; made by the usual calls, it gets the usual mode."""
    return path.parent / f".partial-{uuid.uuid4().hex[:12]}{path.suffix}"


def _previous(path: Path) -> Path:
    path = Path(os.path.realpath(path))
    return path.parent / f".{path.name}.previous"
