"""Maps: GeoTIFFs of any size, read and written window by window. The only user of rasterio.

Only GDAL's driver for GeoTIFF is used (Cloud Optimized GeoTIFFs are such), and only files on disk: names that would
make GDAL look elsewhere, such as /vsicurl/..., are no files.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scenescope.errors import ImageError, ScenescopeError, StorageError, first_line
from scenescope.files import storage_errors
from scenescope.labels import MAX_CLASSES

CACHE = 64
"""Megabytes of decoded blocks that GDAL keeps; its own default is a share of the machine's memory."""
MAX_BLOCK = 2**29
"""The largest block of a file that is decoded, in bytes: whoever reads a window needs the blocks that it touches."""
TILE = 256
"""Side of the tiles that are written, in pixels."""

Affine = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f: column x and row y lie at (a x + b y + c, d x + e y + f)."""


@dataclass(frozen=True)
class RasterFacts:
    """What the header of a raster says.

    Attributes:
        bands: how many, without one that is marked as alpha.
        dtype: numpy's name of the type of its numbers.
        transform: from pixels to coordinates; None where the file does not say where it lies.
        crs: the coordinate reference system as an authority's code or WKT; None where the file has none.
        nodata: the number that stands for nothing, NaN among them; None where there is none.
        alpha: the index of the band that is marked as alpha, from 0; None without.
        classes: the names of the classes 0..K-1, where it is a label map that scenescope has written.
        palette: whether its numbers are places in a palette, as of label maps.
    """

    path: Path
    width: int
    height: int
    bands: int
    dtype: str
    transform: Affine | None
    crs: str | None
    nodata: float | None
    alpha: int | None
    classes: tuple[str, ...] = ()
    palette: bool = False

    @property
    def pixel_area(self) -> float:
        """The area of a pixel in squared units of the CRS; 1 without a transform."""
        a, b, _, d, e, _ = self.transform or (1, 0, 0, 0, 1, 0)
        return abs(a * e - b * d)


class Raster:
    """An open GeoTIFF; close it, or use it in a ``with`` block.

    Raises:
        ImageError: missing, no GeoTIFF, damaged, of complex numbers, of several bands with a palette, or in blocks too
            large to decode.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._open = contextlib.ExitStack()
        with _read_errors(self.path), contextlib.ExitStack() as opening:
            opening.enter_context(_environment())
            self._file: Any = opening.enter_context(_opened(self.path))
            self.facts = _facts(self.path, self._file)
            self._open = opening.pop_all()

    def __enter__(self) -> Raster:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def read(
        self, left: int, top: int, width: int, height: int, bands: Sequence[int] | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Read a window that lies within the raster.

        Args:
            left: its first column; ``top`` its first row, ``width`` and ``height`` its size in pixels.
            bands: indices from 0; all but alpha when not given.

        Returns:
            Numbers, height x width x B, and height x width: where there are any. A pixel has none where all bands are
            nodata, one of them is NaN, or the file's mask or alpha says so.

        Raises:
            ImageError: the file is damaged or cut short there.
        """
        from rasterio.windows import Window

        facts, window = self.facts, Window(left, top, width, height)
        chosen = [index for index in range(self._file.count) if index != facts.alpha] if bands is None else list(bands)
        with _read_errors(self.path):
            numbers = self._file.read([index + 1 for index in chosen], window=window)
            valid = np.ones((height, width), np.bool_)
            if numbers.dtype.kind == "f":
                valid &= ~np.isnan(numbers).any(axis=0)
            if facts.nodata is not None and not math.isnan(facts.nodata):
                nothing, any_band = np.asarray(facts.nodata).astype(numbers.dtype), np.zeros_like(valid)
                for band in numbers:  # one at a time takes less memory
                    any_band |= band != nothing
                valid &= any_band
            if facts.alpha is not None and facts.alpha not in chosen:
                valid &= self._file.read(facts.alpha + 1, window=window) > 0
            elif facts.nodata is None and facts.alpha is None and self._masked:
                valid &= self._file.dataset_mask(window=window) > 0
        return numbers.transpose(1, 2, 0), valid

    @property
    def _masked(self) -> bool:
        """Whether the file has a mask of its own."""
        from rasterio.enums import MaskFlags

        return any(MaskFlags.per_dataset in flags for flags in self._file.mask_flag_enums)


class RasterWriter:
    """A new GeoTIFF, tiled and compressed, that is filled from the top by bands of rows; use it in a ``with`` block.

    Args:
        path: of the file; written to as it is, so give a temporary one.
        like: the raster that it lies upon, pixel on pixel.
        bands: how many.
        dtype: numpy's name of the type of its numbers.
        nodata: what stands for nothing; None for no such number.
        colors: the colors of the numbers 0, 1, ... of a single band of uint8.
        names: what each band shows.
        scale: what the numbers are to be multiplied with.
        tags: texts of the file, by their names.

    Raises:
        StorageError: the place cannot be written.
    """

    def __init__(
        self,
        path: Path,
        like: RasterFacts,
        bands: int,
        dtype: str,
        nodata: float | None,
        *,
        colors: Sequence[tuple[int, int, int]] = (),
        names: Sequence[str] = (),
        scale: float = 1,
        tags: dict[str, str] | None = None,
    ) -> None:
        rasterio = require_rasterio()
        self.path, self.bands = path, bands
        self._next, self._waiting = 0, np.zeros((bands, 0, like.width), dtype)
        georeferenced: dict[str, Any] = {"crs": like.crs}
        if like.transform is not None:
            georeferenced["transform"] = rasterio.Affine(*like.transform)
        with _write_errors(path), contextlib.ExitStack() as opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it lies in no place: so does the one it lies upon
            opening.enter_context(_environment())
            self._file: Any = opening.enter_context(
                rasterio.open(
                    path,
                    "w",
                    driver="GTiff",
                    width=like.width,
                    height=like.height,
                    count=bands,
                    dtype=dtype,
                    nodata=nodata,
                    tiled=True,
                    blockxsize=TILE,
                    blockysize=TILE,
                    compress="deflate",
                    zlevel=1,
                    interleave="band",
                    photometric="minisblack",  # else three bands are taken for colors, and a fourth for alpha
                    alpha="no",
                    # Four gigabytes are the end of a plain TIFF; what this one will need is not known before.
                    bigtiff="yes" if like.width * like.height * bands * np.dtype(dtype).itemsize > 2**31 else "no",
                    **georeferenced,
                )
            )
            if colors:
                self._file.write_colormap(1, dict(enumerate(colors)))
            for number, name in enumerate(names, start=1):
                self._file.set_band_description(number, name)
            if scale != 1:
                self._file.scales = (scale,) * bands
            self._file.update_tags(**(tags or {}))
            self._open = opening.pop_all()

    def __enter__(self) -> RasterWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            with _write_errors(self.path):
                self._write(self._waiting)
                self._open.close()
                self._read_back()
        else:  # what failed is told already, and the file is thrown away
            with contextlib.suppress(Exception):
                self._open.close()

    def write_rows(self, rows: npt.NDArray[Any]) -> None:
        """Write the next rows, B x h x width; tiles are compressed once they are full.

        Raises:
            StorageError: the place cannot be written.
        """
        self._waiting = np.concatenate([self._waiting, rows], axis=1)
        full = self._waiting.shape[1] // TILE * TILE
        if full:
            with _write_errors(self.path):
                self._write(self._waiting[:, :full])
            self._waiting = self._waiting[:, full:].copy()

    def _write(self, rows: npt.NDArray[Any]) -> None:
        from rasterio.windows import Window

        if rows.shape[1]:
            self._file.write(rows, window=Window(0, self._next, rows.shape[2], rows.shape[1]))
            self._next += rows.shape[1]

    def _read_back(self) -> None:
        """Decode all that was written: where a disk is full when the file is closed, GDAL does not tell."""
        try:
            with Raster(self.path) as written:
                width, height = written.facts.width, written.facts.height
                for top in range(0, height, TILE):
                    written.read(0, top, width, min(TILE, height - top))
        except ImageError as error:
            raise StorageError(
                f"Cannot write {self.path}: it cannot be read back; free some space there or choose another --output."
            ) from error


def read_facts(path: Path | str) -> RasterFacts:
    """Return what the header of a raster says.

    Raises:
        ImageError: see ``Raster``.
    """
    with Raster(path) as raster:
        return raster.facts


def require_rasterio() -> Any:
    """Return the library, or say how to install it.

    Raises:
        ImageError: it is not there.
    """
    try:
        import rasterio
    except ImportError as error:
        raise ImageError(
            "Maps and TIFFs of this kind are read by rasterio, which is not installed; pip install 'scenescope[geo]'."
        ) from error
    return rasterio


def _environment() -> Any:
    return require_rasterio().Env(GDAL_CACHEMAX=CACHE)


def _opened(path: Path) -> Any:
    if not path.is_file():
        found = "it is a directory; give a file in it" if path.is_dir() else "no such file; check the path"
        raise ImageError(f"Cannot read {path}: {found}.")
    if not path.stat().st_size:
        raise ImageError(f"Cannot read {path}: the file is empty; copy or export it again.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it lies in no place: facts say so
        return require_rasterio().open(path.resolve(), driver="GTiff")


def _facts(path: Path, file: Any) -> RasterFacts:
    from rasterio.enums import ColorInterp

    kinds = set(file.dtypes)
    if len(kinds) > 1 or any(kind.startswith("complex") for kind in kinds):
        raise ImageError(f"Cannot read {path}: bands of {', '.join(sorted(kinds))} are not read; export one kind.")
    dtype = kinds.pop()
    if ColorInterp.palette in file.colorinterp and len(file.colorinterp) > 1:
        raise ImageError(f"Cannot read {path}: several bands with a palette; expand it, gdal_translate -expand rgb.")
    rows, columns = file.block_shapes[0]
    together = file.count if file.profile.get("interleave") == "pixel" else 1
    # GDAL cuts what is not compressed by itself.
    if file.compression is not None and rows * columns * together * np.dtype(dtype).itemsize > MAX_BLOCK:
        raise ImageError(
            f"Cannot read {path}: it is compressed in blocks of {columns} x {rows} pixels, of which none can be read"
            " in part; tile it, such as gdal_translate -co TILED=YES -co COMPRESS=DEFLATE IN OUT."
        )
    alpha = next((n for n, kind in enumerate(file.colorinterp) if kind == ColorInterp.alpha and n), None)
    tags = file.tags()
    names = itertools.takewhile(lambda name: name is not None, (tags.get(f"CLASS_{n}") for n in range(MAX_CLASSES)))
    transform: Any = None if file.transform.is_identity else tuple(file.transform)[:6]
    return RasterFacts(
        path=path,
        width=file.width,
        height=file.height,
        bands=file.count - (alpha is not None),
        dtype=dtype,
        transform=transform,
        crs=file.crs.to_string() if file.crs else None,
        nodata=file.nodata,
        alpha=alpha,
        classes=tuple(names),
        palette=ColorInterp.palette in file.colorinterp,
    )


@contextlib.contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except ScenescopeError:
        raise
    except PermissionError as error:
        raise ImageError(f"Cannot read {path}: {error.strerror}; check its permissions.") from error
    except Exception as error:  # rasterio's errors, GDAL's behind them, and numpy's of sizes that no file has
        if isinstance(error, MemoryError):
            raise
        reason = first_line(error.__cause__ or error)
        raise ImageError(
            f"Cannot read {path}: no GeoTIFF, or damaged or cut short ({reason}); copy or export it again."
        ) from error


@contextlib.contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    with storage_errors(path):
        try:
            yield
        except ScenescopeError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:  # rasterio's own have no number
                raise
            reason = first_line(error.__cause__ or error)
            raise StorageError(
                f"Cannot write {path} ({reason}); free some space there or choose another --output."
            ) from error
