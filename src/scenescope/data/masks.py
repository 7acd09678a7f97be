"""Reading label masks, and the guard that no unknown label passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from scenescope.data.band_files import read_wide_integers
from scenescope.data.decoding import is_wide, stored, upright
from scenescope.data.images import MAX_PIXELS, opened
from scenescope.data.mat_files import read_matrix
from scenescope.data.samples import as_stored, is_inverted, is_lossy, largest_sample
from scenescope.data.tiff import true_numbers
from scenescope.errors import DataError, LabelError
from scenescope.labels import IGNORE, Color

_UNKNOWN = 256
_MAX_VALUE = 65535


class LabelTable:
    """What the raw values or the RGB colors of a mask mean.

    Make one with ``of_values`` or ``of_colors``.

    Attributes:
        colors: True when masks hold RGB colors, False when they hold one number per pixel.
    """

    def __init__(self, codes: dict[int, int], colors: bool, remedy: str) -> None:
        self.colors = colors
        self._remedy = remedy
        self._codes = np.array(sorted(codes), dtype=np.uint32)
        self._labels = np.array([codes[code] for code in sorted(codes)], dtype=np.uint16)
        # One step per pixel for numbers; colors (24 bit) are searched for, their table would be 32 MB.
        self._lookup = np.full(_MAX_VALUE + 2, _UNKNOWN, dtype=np.uint16)
        if not colors:
            self._lookup[self._codes] = self._labels

    @property
    def fingerprint(self) -> bytes:
        """Bytes that are equal for two tables exactly when they give every mask the same labels."""
        return bytes([self.colors]) + self._codes.tobytes() + self._labels.tobytes()

    @classmethod
    def of_values(
        cls, values: Sequence[Sequence[int]], ignore: Sequence[int] = (), remedy: str = "repair the mask"
    ) -> LabelTable:
        """Make a table from the raw values (0..65535) of each class, in the order of the train ids.

        Args:
            values: for each class its values.
            ignore: the values that are not scored.
            remedy: what a user can do about a value that is none of them, for the error message.

        Raises:
            DataError: a value out of range or with two meanings.
        """
        for value in (*ignore, *(value for group in values for value in group)):
            if not 0 <= value <= _MAX_VALUE:
                raise DataError(f"Raw value {value} is out of range; masks hold 0 to {_MAX_VALUE}.")
        return cls(_one_meaning(values, ignore, str), colors=False, remedy=remedy)

    @classmethod
    def of_colors(
        cls, colors: Sequence[Sequence[Color]], ignore: Sequence[Color] = (), remedy: str = "repair the mask"
    ) -> LabelTable:
        """Make a table from the RGB colors (0..255 each) of each class, in the order of the train ids.

        Raises:
            DataError: a color out of range or with two meanings.
        """
        for color in (*ignore, *(color for group in colors for color in group)):
            if not all(0 <= part <= 255 for part in color):
                raise DataError(f"Color {color} is out of range; red, green and blue are 0 to 255 each.")
        packed = [[pack(color) for color in group] for group in colors]
        return cls(_one_meaning(packed, [pack(color) for color in ignore], shown_color), True, remedy)

    def to_labels(self, raw: np.ndarray, path: Path) -> np.ndarray:
        """Map a raw mask, H x W numbers or H x W x 3 uint8 colors, to H x W uint8 labels (train ids and IGNORE).

        Raises:
            LabelError: a value or color that is neither a class nor ignored; tells ``path`` and the first pixel.
        """
        codes, labels = self._look_up(raw)
        unknown = labels == _UNKNOWN
        if unknown.any():
            raise self._unknown_label(codes, unknown, path)
        return labels.astype(np.uint8)

    def to_known_labels(self, raw: np.ndarray) -> np.ndarray:
        """Map a raw mask as ``to_labels``, but take what is neither a class nor ignored for ignored."""
        _, labels = self._look_up(raw)
        return np.where(labels == _UNKNOWN, IGNORE, labels).astype(np.uint8)

    @property
    def train_ids(self) -> dict[int, int]:
        """The train id or IGNORE of every value, or packed color, that has a meaning."""
        return dict(zip(self._codes.tolist(), self._labels.tolist(), strict=True))

    def train_id(self, code: int) -> int | None:
        """Return the train id of a value or a color (packed, see ``count_raw_values``), IGNORE, or None if unknown."""
        return self.train_ids.get(code)

    def _look_up(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The codes of a raw mask, and their labels or _UNKNOWN."""
        if self.colors:
            codes = _packed(raw)
            places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
            return codes, np.where(self._codes[places] == codes, self._labels[places], _UNKNOWN)
        codes = raw
        if raw.dtype.itemsize > 2:
            raw = np.where((raw >= 0) & (raw <= _MAX_VALUE), raw, _MAX_VALUE + 1)
        return codes, self._lookup[raw]

    def _unknown_label(self, codes: np.ndarray, unknown: np.ndarray, path: Path) -> LabelError:
        y, x = divmod(int(unknown.argmax()), unknown.shape[1])
        shown = shown_color if self.colors else str
        kinds, counts = np.unique(codes[unknown], return_counts=True)
        total = int(counts.sum())
        others = f", {len(kinds)} such {'colors' if self.colors else 'values'}" if len(kinds) > 1 else ""
        listed = ", ".join(shown(int(code)) for code in self._codes[:12]) + (", ..." if len(self._codes) > 12 else "")
        return LabelError(
            f"{path}: {'color' if self.colors else 'value'} {shown(int(codes[y, x]))} at pixel (x={x}, y={y}) is "
            f"neither a class nor ignored ({total:,} pixel{'s' * (total > 1)}{others}; known: {listed}); "
            f"{self._remedy}."
        )


def decode(path: Path, table: LabelTable, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a mask as H x W uint8 labels (train ids and IGNORE), at its own size.

    Numbers come from the indices of a palette, from gray as it is stored or from a ``.mat`` file; colors from RGB,
    RGBA (transparency is not looked at) or through a palette.

    Raises:
        ImageError: the file cannot be read.
        DataError: stored with losses or so that it can be read in two ways, or colors where numbers are expected, or
            the other way round.
        LabelError: a value that is neither a class nor ignored.
    """
    return table.to_labels(read_raw(path, table.colors, max_pixels, table), path)


def read_raw(path: Path, colors: bool, max_pixels: int = MAX_PIXELS, table: LabelTable | None = None) -> np.ndarray:
    """Read a mask as it is stored: H x W numbers, or H x W x 3 uint8 colors where those are expected.

    Args:
        table: if given, gray of less than 8 bit is refused where the table knows what it stores and what it shows.

    Raises:
        ImageError, DataError: as ``decode``.
    """
    if path.suffix.lower() == ".mat":
        if colors:
            raise _numbers_refused(path)
        return read_matrix(path, max_pixels)
    if (whole := read_wide_integers(path, max_pixels)) is not None:
        if colors:
            raise _numbers_refused(path)
        return whole
    with opened(path, max_pixels) as image:
        if is_lossy(image):
            raise DataError(
                f"{path}: masks in {image.format} are not read, its compression changes label values; save masks "
                "as PNG from the original labels (converting this file does not bring them back)."
            )
        if is_inverted(image):
            raise DataError(
                f"{path}: 0 is white in this {image.format}, so that its labels can be read in two ways; save the "
                "mask as a PNG of 8 bit."
            )
        largest, tags = largest_sample(image), getattr(image, "tag_v2", None)
        wide, in_ppm = stored(image).array if is_wide(image) else None, image.format == "PPM"
        image = upright(image)
        if image.mode == "RGBX":
            image = image.convert("RGB")
        if colors and image.mode in ("P", "PA"):
            return np.array(image.convert("RGBA"))[:, :, :3]
        raw = np.array(image)
        mode = image.mode
    if mode in ("RGB", "RGBA"):
        if not colors:
            _refuse_colors(path, raw)
        if wide is not None and (in_ppm or (wide % 257).any()):
            raise DataError(f"{path}: colors of 16 bit that are none of 8 bit; save the mask in RGB of 8 bit.")
        return raw[:, :, :3]
    if mode in ("LA", "PA"):
        raw = raw[:, :, 0]
    if mode not in ("1", "L", "P", "LA", "PA", "I") and not mode.startswith("I;16"):
        raise DataError(f"{path}: a mask of pixel type {mode} is not read; save it as a PNG of 8 or 16 bit.")
    if colors:
        raise _numbers_refused(path)
    if largest:
        return _as_stored(raw * np.uint8(255) if mode == "1" else raw, largest, path, table)
    return raw if tags is None else true_numbers(raw, tags)


def _as_stored(shown: np.ndarray, largest: int, path: Path, table: LabelTable | None) -> np.ndarray:
    """The stored numbers, if the shown ones would not do as well: an optimizer makes 1 bit of {0, 255}."""
    values = np.unique(shown)
    if table is not None:
        as_shown, as_is = (
            [table.train_id(int(value)) for value in each] for each in (values, as_stored(values, largest))
        )
        if None not in (*as_shown, *as_is) and as_shown != as_is:
            raise DataError(
                f"{path}: gray of less than 8 bit that stores {as_stored(values, largest)[-1]} and shows {values[-1]}, "
                "and both have a meaning here; save the mask as a PNG of 8 bit."
            )
    return as_stored(shown, largest)


def _numbers_refused(path: Path) -> DataError:
    return DataError(
        f"{path}: one number per pixel where colors are expected; if the numbers are labels, give `values` "
        "instead of `colors` in classes.yaml, else save the mask in its colors."
    )


def _refuse_colors(path: Path, raw: np.ndarray) -> None:
    first = tuple(int(part) for part in raw[0, 0, :3])
    gray = bool((raw[:, :, 0] == raw[:, :, 1]).all() and (raw[:, :, 1] == raw[:, :, 2]).all())
    remedy = (
        "red, green and blue are equal: save it as grayscale"
        if gray
        else "save the mask as label numbers (gray or palette PNG), or in a `folder:` data set give the color of "
        "each class as `colors` in classes.yaml"
    )
    raise DataError(f"{path}: colors (first pixel {first}) where one label number per pixel is expected; {remedy}.")


def _one_meaning(groups: Sequence[Sequence[int]], ignore: Sequence[int], shown: Callable[[int], str]) -> dict[int, int]:
    """Code -> label; a code that means two things is refused."""
    meanings: dict[int, int] = {}
    for label, group in [*enumerate(groups), (IGNORE, ignore)]:
        for code in group:
            if meanings.setdefault(code, label) != label:
                other = "ignored" if label == IGNORE else f"class {label}"
                raise DataError(f"{shown(code)} means both class {meanings[code]} and {other}; give it one meaning.")
    return meanings


def count_raw_values(raw: np.ndarray) -> dict[int, int]:
    """Return each value of H x W numbers, or each packed color of H x W x 3, with the number of its pixels."""
    codes = _packed(raw) if raw.ndim == 3 else raw
    if codes.dtype.itemsize <= 2:
        counts = np.bincount(codes.ravel())
        return {int(code): int(counts[code]) for code in np.flatnonzero(counts)}
    kinds, counts = np.unique(codes, return_counts=True)
    return dict(zip(kinds.tolist(), counts.tolist(), strict=True))


def _packed(colors: np.ndarray) -> np.ndarray:
    red, green, blue = (colors[:, :, channel].astype(np.uint32) for channel in range(3))
    packed: np.ndarray = red << 16 | green << 8 | blue
    return packed


def pack(color: Color) -> int:
    """Return a color as one number, red first."""
    red, green, blue = color
    return red << 16 | green << 8 | blue


def shown_color(code: int) -> str:
    """Return a packed color as it is written."""
    return f"({code >> 16}, {code >> 8 & 255}, {code & 255})"
