from __future__ import annotations

from pathlib import Path

import pytest

from scenescope.data.formats.json_reader import MAX_DEPTH, glimpse, numbers, points, read_json
from scenescope.errors import DataError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": [1, 2', "cut short"),
        ("", "cut short"),
        ("NaN", "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "deep"),
        ("[" * 100_000, "deep"),
        ('{"a":' * 200_000, "deep"),
        ("1" * 10_000, "no JSON"),
        (b"\xff\xfe", "no JSON"),
    ],
)
def test_what_is_no_json_is_refused_in_one_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=said) as refused:
        read_json(file)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_size_is_bounded_before_reading(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("[1, 2, 3]")
    assert read_json(file, 9) == [1, 2, 3]
    with pytest.raises(DataError, match="9 bytes, more than 8"):
        read_json(file, 8)
    with pytest.raises(DataError, match="Cannot read"):
        read_json(tmp_path / "none.json")


def test_a_mark_at_the_start_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json") == [1]


def test_a_glimpse_has_each_byte_once(tmp_path: Path) -> None:
    file = tmp_path / "a"
    for content, expected in ((b"", b""), (b"abc", b"abc"), (b"abcde", b"abcde"), (b"abcdefgh", b"abcfgh")):
        file.write_bytes(content)
        assert glimpse(file, 3) == expected
    assert glimpse(tmp_path / "none") == b""


def test_numbers_are_finite_and_no_truths() -> None:
    assert numbers([1, 2.5]) == [1.0, 2.5]
    assert [numbers(value) for value in ([True], ["1"], [None], "12", [1e300], [float("nan")])] == [None] * 6
    assert points([[1, 2]]) == [(1.0, 2.0)]
    assert [points(value) for value in ([[1]], [[1, 2, 3]], [1, 2], None)] == [None] * 4
