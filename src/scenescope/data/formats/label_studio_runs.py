"""The run lengths of Label Studio's brush: numbers of few bits without gaps, the rle-pack of thi.ng/umbrella.

The stream begins with the count of its values (32 bits), the bits of a value less one (5) and the bits of four kinds
of length less one (4 each). Then come groups: one bit that says "the same value again" or "each value for itself", two
bits for the kind of length, the length less one, and the value or the values. The values are red, green, blue and alpha
of each pixel, row by row; only alpha says what was painted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scenescope.errors import DataError


def brush_mask(runs: Any, height: int, width: int) -> np.ndarray:
    """Decode the value ``rle`` of a brush region into H x W bool: where alpha is not 0, as in Label Studio's exports.

    Raises:
        DataError: not a list of bytes, for an image of another size, or cut short.
    """
    try:
        stream = _Bits(bytes(runs if isinstance(runs, list) else [-1]))
    except (TypeError, ValueError) as error:
        raise DataError("runs that are not a list of numbers from 0 to 255") from error
    count, value_bits = stream.number(32), stream.number(5) + 1
    length_bits = [stream.number(4) + 1 for _ in range(4)]
    if count != height * width * 4:
        raise DataError(f"runs of {count:,} values for {height} x {width} x 4 = {height * width * 4:,}")
    values = np.zeros(count, dtype=bool)
    place = 0
    while place < count:
        same = stream.number(1)
        end = place + 1 + stream.number(length_bits[stream.number(2)])
        if end > count:
            raise DataError(f"runs that go beyond the {count:,} values that they say")
        values[place:end] = stream.number(value_bits) > 0 if same else stream.numbers(end - place, value_bits)
        place = end
    return values.reshape(height, width, 4)[:, :, 3].copy()


class _Bits:
    """A stream of bits, the highest of each byte first."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    def number(self, bits: int) -> int:
        """Take a number of at most 32 bits."""
        end = self._advance(bits)
        first, last = (end - bits) // 8, (end + 7) // 8
        return int.from_bytes(self._content[first:last]) >> (last * 8 - end) & (1 << bits) - 1

    def numbers(self, count: int, bits: int) -> np.ndarray:
        """Take so many numbers; tells of each whether it is not 0."""
        end = self._advance(count * bits)
        first = (end - count * bits) // 8
        unpacked = np.unpackbits(np.frombuffer(self._content[first : (end + 7) // 8], dtype=np.uint8))
        start = end - count * bits - first * 8
        nonzero: np.ndarray = unpacked[start : start + count * bits].reshape(count, bits).max(axis=1) > 0
        return nonzero

    def _advance(self, bits: int) -> int:
        self._place += bits
        if self._place > len(self._content) * 8:
            raise DataError("runs that are cut short")
        return self._place
