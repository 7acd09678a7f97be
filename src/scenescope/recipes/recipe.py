"""The settings of a run, checked."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from scenescope.data.settings import AugmentSettings, DataSettings
from scenescope.errors import RecipeError, nearest
from scenescope.models.settings import ModelSettings
from scenescope.training.settings import LossSettings, TrainSettings

if TYPE_CHECKING:
    from scenescope.workflows.train import RunSettings

SECTIONS: dict[str, type[Any]] = {
    "model": ModelSettings,
    "data": DataSettings,
    "augment": AugmentSettings,
    "loss": LossSettings,
    "train": TrainSettings,
}
"""The sections of a recipe, each the settings of one room."""

SETTINGS = {
    f"{section}.{field.name}": str(field.type)
    for section, settings in SECTIONS.items()
    for field in dataclasses.fields(settings)
}
"""Every setting by its dotted key, with its type as it is written in the source."""

EXPECTATIONS = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid array": "a list such as [1, 2]",
    "a valid tuple": "a list such as [1, 2]",
    "a valid dictionary": "keys and values",
    "an object": "keys and values",
}
"""pydantic's words for what JSON holds, and ours."""

UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""pydantic's types of error for a key that does not exist, in a model and in a dataclass."""


class Recipe(BaseModel):
    """All settings of a run; sections left out keep their defaults, but data and augment have to be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelSettings = Field(default_factory=ModelSettings)
    data: DataSettings
    augment: AugmentSettings
    loss: LossSettings = Field(default_factory=LossSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)

    def settings(self) -> RunSettings:
        """Return the sections as a training run takes them."""
        from scenescope.workflows.train import RunSettings

        return RunSettings(self.model, self.data, self.augment, self.loss, self.train)


def build_recipe(document: Mapping[str, object], source: str) -> Recipe:
    """Check nested settings and make a recipe of them.

    Args:
        document: sections of settings, as YAML holds them.
        source: where they came from, for messages.

    Raises:
        RecipeError: a key that does not exist (the nearest is named), a setting that is missing or not possible.
    """
    _refuse_infinite(document, "", source)
    # A section that is left out altogether is told like one that is empty: by the settings it lacks.
    document = {section: {} for section in SECTIONS} | dict(document)
    try:
        # By way of JSON, because a strict reading of JSON takes a list for a tuple but no text for a number.
        return Recipe.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as problem:
        # A misspelt key may be why another is missing, so unknown keys come first.
        errors = sorted(problem.errors(include_url=False), key=lambda error: error["type"] not in UNKNOWN)
    problems = list(dict.fromkeys(_explain(error, errors, document) for error in errors))
    more = f" And {len(problems) - 1} more." if len(problems) > 1 else ""
    raise RecipeError(f"Recipe {source}: {problems[0]}{more}")


def unknown_setting(key: str) -> str:
    """Say that a dotted key does not exist and which one is nearest."""
    known = SETTINGS if "." in key else [*SECTIONS, *SETTINGS]
    return f"{key} is not a setting." + (nearest(key, known) or f" The sections are {', '.join(SECTIONS)}.")


def _explain(error: ErrorDetails, errors: list[ErrorDetails], document: Mapping[str, object]) -> str:
    """Say in one sentence which setting is wrong, what was given and what was expected."""
    key, value = _locate(error["loc"], document)
    if error["type"] in UNKNOWN:
        return unknown_setting(key)
    if error["type"] in ("missing", "missing_argument"):
        return f"{key} is missing; write it into the recipe or add {key}=... to the command."
    if error["type"] == "value_error":
        return f"{key}: {error['msg'].removeprefix('Value error, ')}"
    # A setting that may be of several types has one error for each of them.
    expected = [_expectation(other) for other in errors if _locate(other["loc"], document)[0] == key]
    return f"{key} is {json.dumps(value, ensure_ascii=False)}, but {', or '.join(dict.fromkeys(expected))}."


def _locate(location: tuple[int | str, ...], document: Mapping[str, object]) -> tuple[str, object]:
    """Return the dotted key of an error's place and the value there.

    Behind section and setting, pydantic adds positions in a list and the names of alternatives: both left out.
    """
    value: object = document
    keys: list[str] = []
    for part in location:
        inside = isinstance(value, Mapping)
        if not inside or (len(keys) > 1 and part not in value):  # type: ignore[operator]
            break
        keys.append(str(part))
        value = value.get(part) if isinstance(value, Mapping) else None
    return ".".join(keys), value


def _expectation(error: ErrorDetails) -> str:
    """Say what was expected, in our words: of the setting, or of the values in its list."""
    message = error["msg"]
    for theirs, ours in EXPECTATIONS.items():
        message = message.replace(theirs, ours)
    if message.startswith("Input should be "):
        subject = "its values" if isinstance(error["loc"][-1], int) else "it"
        return f"{subject} should be {message.removeprefix('Input should be ')}"
    return message.replace("Tuple should have", "it should have").replace(" after validation", "")


def _refuse_infinite(value: object, key: str, source: str) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_infinite(inner, f"{key}.{name}" if key else str(name), source)
    elif isinstance(value, list):
        for inner in value:
            _refuse_infinite(inner, key, source)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"Recipe {source}: {key} is {value}; give a finite number.")
