from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scenescope.errors import DataError, RecipeError
from scenescope.yaml_reader import MAX_BYTES, parse_yaml, read_yaml


def parse(text: str) -> object:
    return parse_yaml(text, "text", RecipeError)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("3.", 3.0),
        ("12", 12),
        ("010", 10),
        ("-3", -3),
        (".inf", math.inf),
        ("true", True),
        ("null", None),
        ("", None),
        ("no", "no"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("'1e-4'", "1e-4"),
        ("<<", "<<"),
        ("camvid/danet-lite0", "camvid/danet-lite0"),
        ("[0.5, 2]", [0.5, 2]),
    ],
)
def test_plain_values_follow_yaml_1_2(text: str, value: object) -> None:
    result = parse(text)
    assert result == value
    assert type(result) is type(value)


@given(st.floats(allow_nan=False))
def test_every_float_that_python_writes_is_read_back(number: float) -> None:
    text = {math.inf: ".inf", -math.inf: "-.inf"}.get(number, repr(number))
    result = parse(text)
    assert isinstance(result, float)
    assert result == number


def test_agrees_with_the_plain_safe_loader_on_ordinary_settings() -> None:
    text = "model:\n  name: danet\n  sizes: [1, 2.5]\n  flag: true\n# a comment\nlast: {a: 'x: y', b: null}\n"
    assert parse(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' is given twice, first on line 1"),
        ("x:\n  - {k: 1, k: 2}\n", 2, "'k' is given twice"),
        ("a: &name 1\n", 1, "anchors (&name) and aliases"),
        ("b: 0\na: *name\n", 2, "anchors (&name) and aliases"),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "tag"),
        ("a: !!timestamp nonsense\n", 1, "tag"),
        ("a: 1\n1.5: 3\n", 2, "'1.5' is not text; put it in quotes"),
        ("? [a, b]\n: 3\n", 1, "is not text"),
        ("a: [1, 2\nb: 3\n", 2, "expected"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: 1\nb: \x00\n", 2, "character that YAML does not allow"),
    ],
)
def test_refusals_name_source_and_line(text: str, line: int, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith(f"text, line {line}: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["[" * 5000, "a: " + "9" * 5000])
def test_hostile_sizes_are_plain_errors(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^text"):
        parse(text)


def test_read_yaml_returns_the_mapping(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("\ufeffa: 1\nb: {c: [x]}\n", encoding="utf-8")
    assert read_yaml(path, DataError) == {"a": 1, "b": {"c": ["x"]}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"- 1\n- 2\n", "it holds a list"),
        (b"hello", "the single value 'hello'"),
        (b"a: 1\nb: \xff\n", "line 2: not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "larger than 1,000,000 bytes"),
    ],
)
def test_a_file_without_a_mapping_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_yaml(path, DataError)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_file_and_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        read_yaml(tmp_path / "none.yaml", RecipeError)
    with pytest.raises(RecipeError, match="it is a directory"):
        read_yaml(tmp_path, RecipeError)


@pytest.mark.parametrize("text", ["a: " + "[" * 200_000, "\n".join(" " * depth + "a:" for depth in range(300))])
def test_deep_nesting_is_refused_before_it_is_read(text: str) -> None:
    with pytest.raises(DataError, match="nested too deeply"):
        parse_yaml(text, "the text", DataError)
