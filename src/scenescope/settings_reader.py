"""The one reader of settings: dataclasses made of plain values, strictly; the only user of pydantic."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from scenescope.errors import ModelError, RecipeError, ScenescopeError, nearest

T = TypeVar("T")
_hints: Callable[[Any], dict[str, Any]] = functools.cache(functools.partial(get_type_hints, include_extras=True))


def read_settings(
    kind: type[T],
    values: Mapping[str, object],
    source: str,
    *,
    within: str = "",
    known: Sequence[str] | None = None,
    error: type[ScenescopeError] = RecipeError,
) -> T:
    """Make a dataclass of plain values, strictly: a list may stand for a tuple, but text for no number.

    Args:
        kind: the dataclass; its fields may be dataclasses too.
        values: by name of field.
        source: where they came from, for messages.
        within: the dotted key that all names stand behind, with a dot at its end, for messages.
        known: dotted keys to guess from what an unknown one was to be; those of the dataclass if not given.
        error: the class of the error to raise.

    Raises:
        ScenescopeError: of class ``error``: names what is unknown, missing or not possible, and the line of a file.
    """
    problems: list[_Problem] = []
    made = _read(kind, values, within, known or [f"{within}{name}" for name in _hints(kind)], problems)
    if made is not None and not problems:
        return made
    # A misspelt key may be why another is missing, so unknown keys come first.
    first = min(problems, key=lambda problem: not problem.unknown)
    line = "" if first.line is None else f", line {first.line}"
    more = f" And {len(problems) - 1} more." if len(problems) > 1 else ""
    raise error(f"{source}{line}: {first.told}{more}")


def checked(options: T) -> T:
    """Return a dataclass whose values the reader would have taken.

    Raises:
        ModelError: a value that is not possible.
    """
    values = {each.name: getattr(options, each.name) for each in dataclasses.fields(options)}  # type: ignore[arg-type]
    return read_settings(type(options), values, type(options).__name__, error=ModelError)


@dataclass(frozen=True)
class _Problem:
    told: str
    line: int | None = None
    unknown: bool = False


def _read(kind: type[T], values: object, within: str, known: Sequence[str], problems: list[_Problem]) -> T | None:
    """Make a dataclass, or add to the problems what is wrong."""
    hints = _hints(kind)
    if not isinstance(values, Mapping):
        problems.append(_Problem(f"{within.removesuffix('.')} is {_shown(values)}, but it should be keys and values."))
        return None
    before = len(problems)
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        key, line = f"{within}{name}", getattr(name, "line", None)
        if name not in hints:
            here = [each.removeprefix(within) for each in known if each.startswith(within)]
            guess = nearest(key, known) or f" Known: {', '.join(each for each in here if '.' not in each)}."
            problems.append(_Problem(f"{key} is not a setting.{guess}", line, unknown=True))
        elif dataclasses.is_dataclass(hints[name]):
            arguments[name] = _read(hints[name], value, f"{key}.", known, problems)
        else:
            try:
                arguments[name] = _adapter(hints[name]).validate_python(_tuples(value))
            except ValidationError as error:
                found = error.errors(include_url=False)
                told = dict.fromkeys(_explain(each, found, key, value) for each in found)
                problems += [_Problem(each, line) for each in told]
    for setting in dataclasses.fields(kind):  # type: ignore[arg-type]
        key = f"{within}{setting.name}"
        if setting.default is setting.default_factory is dataclasses.MISSING and setting.name not in values:
            problems.append(_Problem(f"{key} is missing; write it into the recipe or add {key}=... to the command."))
    if len(problems) > before:
        return None
    try:
        return kind(**arguments)
    except ValueError as error:
        problems.append(_Problem(f"{within.removesuffix('.')}: {error}" if within else str(error)))
        return None


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


@functools.cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))


def _explain(error: ErrorDetails, errors: list[ErrorDetails], key: str, value: object) -> str:
    """Say in one sentence what was given and what was expected."""
    place, given = _locate(error["loc"], key, value)
    # A setting that may be of several types has one error for each of them.
    expected = [_expectation(other) for other in errors if _locate(other["loc"], key, value)[0] == place]
    return f"{place} is {_shown(given)}, but {', or '.join(dict.fromkeys(expected))}."


def _locate(location: tuple[int | str, ...], key: str, value: object) -> tuple[str, object]:
    """Return the dotted key of an error's place and the value there; positions and alternatives are left out."""
    for part in location:
        if not isinstance(value, Mapping) or part not in value:
            break
        key, value = f"{key}.{part}", value[part]
    return key, value


EXPECTATIONS = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid tuple": "a list such as [1, 2]",
    "a valid dictionary": "keys and values",
}
"""pydantic's words, and ours."""


def _expectation(error: ErrorDetails) -> str:
    """Say what was expected, in our words: of the setting, or of the values in its list."""
    message = error["msg"]
    for theirs, ours in EXPECTATIONS.items():
        message = message.replace(theirs, ours)
    if message.startswith("Input should be "):
        subject = "its values" if error["loc"] and isinstance(error["loc"][-1], int) else "it"
        return f"{subject} should be {message.removeprefix('Input should be ')}"
    return message.replace("Tuple should have", "it should have").replace(" after validation", "")


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
