"""Decoded scenes kept on disk, for data that is read many times: a JPEG or PNG is decoded once and then mapped.

A kept scene is a file of its own, named by what it was decoded from (paths, inodes, sizes, times of change, table of
labels), so that a source that has changed is decoded again. Nothing but speed depends on the cache: whatever cannot be
kept, or is found damaged, is read from its source.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np

from scenescope.config import DataSettings
from scenescope.data.dataset import FileDataset, Scene, SceneDataset
from scenescope.data.images import read_header
from scenescope.errors import DataError, ScenescopeError, StorageError
from scenescope.files import make_directory, write_atomically
from scenescope.labels import Classes

HEADER = struct.Struct("<8sIII")
"""Magic, height, width and CRC-32 of what follows: H x W x 3 bytes of picture, H x W of labels."""
MAGIC = b"scenes 1"
BYTES_PER_PIXEL = 4
HOUR = 3600.0


def cached(dataset: SceneDataset, settings: DataSettings) -> SceneDataset:
    """Return a data set with the cache that the settings ask for.

    Raises:
        DataError: scenes that are generated, or a folder that holds something else.
        StorageError: the folder cannot be made.
    """
    if settings.cache is None:
        return dataset
    return CachedDataset(
        require_files(dataset, settings), Path(settings.cache).expanduser(), round(settings.cache_gigabytes * 1e9)
    )


def require_files(dataset: SceneDataset, settings: DataSettings) -> FileDataset:
    """Return a data set that is read from files; raise DataError for one that is not."""
    if isinstance(dataset, FileDataset):
        return dataset
    raise DataError(f"data.cache keeps decoded files, and data.kind={settings.kind} has none; leave it out.")


class CachedDataset:
    """A data set of files whose scenes are kept decoded once they have been read.

    Which scenes may be kept is settled beforehand, from the headers of the pictures: in their order, as many as the
    limit has room for. So the limit holds with any number of processes, and nothing is ever thrown out to be decoded
    again, which is all that a replacement policy could do when every scene is read once per epoch.

    Args:
        dataset: the scenes.
        directory: gets one folder per split, with one file per scene; files of this split that are out of date are
            removed from it.
        max_bytes: the folder of this split never grows beyond it.

    Raises:
        DataError: the directory holds something else.
        StorageError: the directory cannot be made.
    """

    def __init__(self, dataset: FileDataset, directory: Path, max_bytes: int) -> None:
        self.dataset = dataset
        place = hashlib.sha256(str(Path(dataset.root).resolve()).encode()).hexdigest()[:8]
        self.directory = make_directory(directory / f"{dataset.split}-{place}")
        self.paths = self._paths(max_bytes)
        self._remove_what_is_out_of_date()
        self.verified: set[int] = set()
        self.storage_failed = False

    @property
    def classes(self) -> Classes:
        """The K classes."""
        return self.dataset.classes

    @property
    def split(self) -> str:
        """The name of the split."""
        return self.dataset.split

    @property
    def root(self) -> str:
        """The folder it was opened with."""
        return self.dataset.root

    def __len__(self) -> int:
        return len(self.dataset)

    def name(self, index: int) -> str:
        """Return the name of a scene without reading it."""
        return self.dataset.name(index)

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files that a scene is decoded from."""
        return self.dataset.files(index)

    def __getitem__(self, index: int) -> Scene:
        """Map a scene, or read it and keep it; raises what reading raises."""
        path = self.paths.get(index)
        if path is None:
            return self.dataset[index]
        kept = self._map(index, path)
        if kept is not None:
            return kept
        scene = self.dataset[index]
        if not self.storage_failed:
            try:
                _write(path, scene)
            except StorageError as error:
                # A full disk takes the speed and not the training.
                self.storage_failed = True
                warnings.warn(f"{error} Scenes that are not kept yet are decoded each time.", stacklevel=2)
        return scene

    def _paths(self, max_bytes: int) -> dict[int, Path]:
        """Where each scene is kept, of those that the limit has room for."""
        paths, used = {}, 0
        for index, (image, _) in enumerate(self.dataset.pairs):
            # A picture that cannot be opened is told of when it is read.
            with contextlib.suppress(ScenescopeError, OSError):
                width, height = read_header(image, self.dataset.max_pixels).size
                used += HEADER.size + BYTES_PER_PIXEL * width * height
                if used > max_bytes:
                    break
                paths[index] = self.directory / f"{index:07}-{self._source(index)}.scene"
        return paths

    def _remove_what_is_out_of_date(self) -> None:
        wanted = set(self.paths.values())
        for path in sorted(self.directory.iterdir()):
            partial = path.name.startswith(".partial-")
            if path.suffix != ".scene":
                raise DataError(f"{path} is not of a cache of decoded scenes; choose another data.cache.")
            with contextlib.suppress(FileNotFoundError):  # another training has removed it
                # One that is young may be of another training, which is writing it.
                if time.time() - path.stat().st_mtime > HOUR if partial else path not in wanted:
                    path.unlink()

    def _source(self, index: int) -> str:
        """A digest of all that a scene is decoded from; another one when a file has changed."""
        parts = [hashlib.sha256(self.dataset.table.fingerprint).hexdigest()]
        for file in self.dataset.files(index):
            state = file.stat()
            # The time of change of the inode cannot be set back, as rsync -t and cp -p do with that of the content.
            parts += [
                str(file.resolve()),
                *map(str, (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)),
            ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]

    def _map(self, index: int, path: Path) -> Scene | None:
        """Return the kept scene, verified when this process maps it first; None if there is none, or a damaged one."""
        try:
            data = np.memmap(path, dtype=np.uint8, mode="c")  # what a caller changes stays with it
        except (OSError, ValueError):
            return None
        if len(data) < HEADER.size:
            return None
        magic, height, width, checksum = HEADER.unpack(data[: HEADER.size].tobytes())
        pixels = height * width
        body = data[HEADER.size :]
        if magic != MAGIC or len(body) != BYTES_PER_PIXEL * pixels:
            return None
        if index not in self.verified:
            if zlib.crc32(body.data) != checksum:
                return None
            self.verified.add(index)
        image = np.asarray(body[: 3 * pixels]).reshape(height, width, 3)
        labels = np.asarray(body[3 * pixels :]).reshape(height, width)
        return Scene(image, labels, self.name(index))


def _write(path: Path, scene: Scene) -> None:
    image, labels = np.ascontiguousarray(scene.image), np.ascontiguousarray(scene.labels)
    checksum = zlib.crc32(labels.data, zlib.crc32(image.data))

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(HEADER.pack(MAGIC, *labels.shape, checksum))
            file.write(image.data)
            file.write(labels.data)

    write_atomically(path, write, HEADER.size + image.nbytes + labels.nbytes)
