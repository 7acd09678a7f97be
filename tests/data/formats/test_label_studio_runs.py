from __future__ import annotations

import struct

import numpy as np
import pytest

from scenescope.data.formats.label_studio_runs import brush_mask
from scenescope.errors import DataError

# label_studio_sdk.converter.brush.mask2rle of 3 x 5 pixels: 255 in columns 1 to 3 of row 1 and in column 2 of row 2.
WRITTEN = [0, 0, 0, 60, 57, 27, 254, 23, 0, 183, 255, 108, 2, 63, 249, 192, 0]


def slow_decode(runs: list[int]) -> list[int]:
    """The decoder of thi.ng/umbrella's rle-pack, bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in runs)
    place = 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    count, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    out: list[int] = []
    while len(out) < count:
        same = read(1)
        length = read(sizes[read(2)]) + 1
        out += [read(word)] * length if same else [read(word) for _ in range(length)]
    return out


def pack(
    values: list[tuple[int, list[int]]], count: int, word: int = 8, sizes: tuple[int, ...] = (3, 4, 8, 16)
) -> list[int]:
    """Pack groups: (kind of length, one value or more); one value of a list of one is written as a run of one."""
    bits = f"{count:032b}{word - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    for kind, group in values:
        same = len(set(group)) == 1
        bits += f"{int(same)}{kind:02b}{len(group) - 1:0{sizes[kind]}b}"
        bits += "".join(f"{value:0{word}b}" for value in (group[:1] if same else group))
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def test_bytes_that_the_sdk_has_written() -> None:
    expected = np.zeros((3, 5), dtype=bool)
    expected[1, 1:4] = expected[2, 2] = True
    np.testing.assert_array_equal(brush_mask(WRITTEN, 3, 5), expected)


@pytest.mark.parametrize(
    ("word", "sizes"), [(8, (3, 4, 8, 16)), (8, (1, 2, 3, 5)), (2, (16, 8, 4, 3)), (16, (3, 4, 8, 16))]
)
def test_equals_a_decoder_that_goes_bit_by_bit(word: int, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(word + sizes[0])
    for height, width in ((1, 1), (3, 7), (16, 9)):
        count, groups, left = height * width * 4, [], height * width * 4
        while left:
            kind = int(rng.integers(4))
            length = int(min(rng.integers(1, 2 ** sizes[kind] + 1), left, 40))
            values = rng.integers(0, 2, length) * rng.integers(0, 2**word, length)
            groups.append(
                (kind, [int(value) for value in (values if rng.random() < 0.5 else values[:1].repeat(length))])
            )
            left -= length
        runs = pack(groups, count, word, sizes)
        alpha = np.array(slow_decode(runs)).reshape(height, width, 4)[:, :, 3]
        np.testing.assert_array_equal(brush_mask(runs, height, width), alpha > 0)


def test_only_alpha_says_what_is_painted() -> None:
    red_only = pack([(0, [255, 0, 0, 0]), (0, [0, 0, 0, 1])], 8)
    np.testing.assert_array_equal(brush_mask(red_only, 1, 2), [[False, True]])


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        (WRITTEN[:-3], "cut short"),
        ([], "cut short"),
        ([*struct.pack(">I", 2**32 - 1), *WRITTEN[4:]], "4,294,967,295 values for 3 x 5 x 4 = 60"),
        (pack([(3, [1] * 61)], 60), "beyond the 60 values"),
        ("AAAA", "not a list"),
        ([0, 0, 0, 60, 57, 27, 254, 300], "not a list of numbers from 0 to 255"),
        (None, "not a list"),
    ],
)  # fmt: skip
def test_refuses_runs_that_are_damaged_or_of_another_image(runs: object, told: str) -> None:
    with pytest.raises(DataError, match=told):
        brush_mask(runs, 3, 5)
