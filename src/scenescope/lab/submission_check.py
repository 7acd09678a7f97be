"""Would the server take this archive? All that is wrong with a submission is told, not only the first fault."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scenescope.data.dataset import FileDataset
from scenescope.data.images import MAX_PIXELS, opened
from scenescope.errors import DataError, ImageError, ScenescopeError
from scenescope.lab.submission import Server

MAX_OTHER_FILES = 1000
"""Archives with more files than predictions and these are refused."""

MAX_BYTES_PER_PIXEL = 4
"""No PNG of 8 bit needs as many, whatever it shows; larger files are refused unread."""

Faults = dict[str, list[str]]
"""Kind of fault, in words, to what has it."""


def check_submission(server: Server, sizes: Mapping[str, tuple[int, int]], path: Path) -> Faults:
    """Return what is wrong with an archive; it is not unpacked, and no file in it is trusted to be as small as it says.

    Args:
        sizes: (width, height) of every image of the split by its id.

    Raises:
        DataError: it is no zip archive, or holds more or larger files than any submission.
    """
    faults: Faults = {}
    seen = set()
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > len(sizes) + MAX_OTHER_FILES:
                raise DataError(f"{path} holds {len(entries):,} files, but the split has {len(sizes):,} images.")
            for entry in entries:
                name = server.entry_id(entry.filename)
                if _is_unsafe(entry):
                    kind, told = "unsafe name or kind of file", repr(entry.filename)
                elif entry.is_dir():
                    continue
                elif name is None or name not in sizes:
                    kind, told = "not a prediction of the split", entry.filename
                elif name in seen:
                    kind, told = "more than one prediction of an image", name
                else:
                    seen.add(name)
                    kind, told = _fault(server, archive, entry, sizes[name])
                if kind:
                    faults.setdefault(kind, []).append(told)
    except ScenescopeError:
        raise
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}; check the path.") from error
    # Damaged archives make the reader raise nearly anything.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is not a whole zip archive ({reason}); write it again.") from error
    missing = [name for name in sizes if name not in seen]
    return {"no prediction": missing, **faults} if missing else faults


def submission_notes(server: Server, dataset: FileDataset, sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return what is no fault of an archive but keeps the server from scoring it: part of a split, reduced images."""
    notes = []
    if dataset.published and len(dataset) not in dataset.published:
        notes.append(
            f"Split {dataset.split!r} has {len(dataset):,} images here, not the published {dataset.published[0]:,}: "
            "the server asks for all of them."
        )
    others = [name for name, size in sizes.items() if server.size not in (None, size)]
    if others and server.size is not None:
        notes.append(
            f"{others[0]} is {_shown(sizes[others[0]])} pixels, not {_shown(server.size)} as the server asks for "
            f"({len(others):,} such images)."
        )
    return notes


def _is_unsafe(entry: zipfile.ZipInfo) -> bool:
    """Whether unpacking an entry could write elsewhere or make no plain file, or printing its name steer a terminal."""
    name, parts = entry.filename, entry.filename.removesuffix("/").split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    odd = kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG)
    odd = odd or name != entry.orig_filename  # Python ends a name at a NUL, others may not
    return odd or not name.isprintable() or "\\" in name or ":" in name or not {"", ".", ".."}.isdisjoint(parts)


def _fault(server: Server, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, size: tuple[int, int]) -> tuple[str, str]:
    """Kind and sentence of the fault of one prediction; empty when there is none."""
    name, (width, height) = entry.filename, size
    if entry.file_size > MAX_BYTES_PER_PIXEL * width * height + 2**16:
        return "too large a file", f"{name} ({entry.file_size:,} bytes)"
    # Only these are unpacked as far as is asked for and no further.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "unreadable", f"{name} (compressed in an unusual way)"
    try:
        with archive.open(entry) as file:
            content = file.read(entry.file_size)
        with opened(Path(name), MAX_PIXELS, content) as image:
            if image.size != size:
                return "another size than its image", f"{name} is {_shown(image.size)}, its image {_shown(size)}"
            if image.format != "PNG" or image.mode not in ("P", server.mode):
                return "not a PNG of the right kind", f"{name} ({image.format} of pixel type {image.mode})"
            found = np.unique(np.asarray(image))
    except ImageError as error:
        return "unreadable", str(error)
    except Exception as error:  # as for the whole archive
        return "unreadable", f"{name} ({' '.join(str(error).split()) or type(error).__name__})"
    unknown = found[~np.isin(found, server.values)].tolist()
    if unknown:
        return "a value that the server does not know", f"{name} ({', '.join(map(str, unknown[:8]))})"
    return "", ""


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
