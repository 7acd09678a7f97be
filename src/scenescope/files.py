"""Writing files so that nothing half-written is ever left behind."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from scenescope.errors import StorageError

CHECKSUMS = "SHA256SUMS"
"""Name of the checksum file inside a written directory; the format of ``sha256sum``."""


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
            handle, name = tempfile.mkstemp(prefix=".partial-", suffix=path.suffix, dir=path.parent)
            os.close(handle)
            temporary = Path(name)
            try:
                write(temporary)
                _flush(temporary)
                temporary.chmod(0o666 & ~_umask())
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
    """Write a UTF-8 text file atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), len(text))


def write_directory(path: Path, write: Callable[[Path], None], num_bytes: int | None = None) -> None:
    """Let ``write`` fill a new directory, seal it with checksums and move it into place in one step.

    An older directory of that name is replaced. A crash between two moves may leave it as ``.NAME.previous``:
    ``whole_directory`` finds it there and the next writer puts it back.

    Raises:
        StorageError: the place cannot be written; the older directory is then untouched.
    """
    with storage_errors(path, num_bytes):
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_directory(path)
        if path.exists() and not path.is_dir():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        temporary = Path(tempfile.mkdtemp(prefix=".partial-", dir=path.parent))
        try:
            write(temporary)
            _seal(temporary)
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                path.rename(_previous(path))
            temporary.rename(path)
            _flush(path.parent)
        finally:
            recover_directory(path)
            shutil.rmtree(temporary, ignore_errors=True)


def recover_directory(path: Path) -> None:
    """Undo what a crash in ``write_directory`` may have left: put the previous directory back or remove it."""
    previous = _previous(path)
    if previous.exists():
        if path.exists():
            shutil.rmtree(previous, ignore_errors=True)
        else:
            previous.rename(path)


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
def held_directory(path: Path) -> Iterator[None]:
    """Keep a directory to this process for the length of a ``with`` block, by a lock on its file ``.lock``.

    The lock ends with the process, however it ends, and processes forked from it do not share it. Where the system
    has no such locks, nothing is kept.

    Raises:
        StorageError: another process keeps it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    lock = path / ".lock"
    with storage_errors(lock):
        file = lock.open("w")
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise StorageError(
                f"{path} is in use by another process; wait until it has ended or choose another --output."
            ) from error
        except OSError:  # a network drive without locks
            pass
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


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


def _previous(path: Path) -> Path:
    path = Path(os.path.abspath(path))
    return path.parent / f".{path.name}.previous"


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
