"""Finding, reading and writing recipes.

Recipes are YAML files: those of the package (``camvid/danet-lite0``) and the user's own (``my.yaml``). One setting
can be replaced on the command line: ``train.steps=2000``, the right side being YAML, or the text of a text setting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from scenescope.errors import RecipeError, nearest
from scenescope.recipes.recipe import SECTIONS, SETTINGS, Recipe, build_recipe, unknown_setting
from scenescope.yaml_reader import parse_yaml, read_yaml

SUFFIXES = (".yaml", ".yml")
PLAIN_TEXT = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
QUOTED = re.compile(r"""'([^']|'')*'|"([^"\\]|\\.)*\"""")


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and replace single settings.

    Args:
        name_or_path: a recipe of the package, such as ``camvid/danet-lite0``, or the path of a YAML file.
        overrides: ``a.b=c`` each; the last one of a key counts.

    Raises:
        RecipeError: no such recipe, not YAML, an unknown key or a value that is not possible.
    """
    document = _read(name_or_path)
    for override in overrides:
        _replace(document, override)
    return build_recipe(document, name_or_path)


def list_recipes() -> dict[str, str]:
    """Return the names of the package's recipes, sorted, each with the comment that opens its file."""
    return {name: _opening_comment(file.read_text(encoding="utf-8")) for name, file in sorted(_packaged().items())}


def recipe_text(name: str) -> str:
    """Return the file of one of the package's recipes as it is written, comments and all.

    Raises:
        RecipeError: there is no recipe of that name.
    """
    return _file(name).read_text(encoding="utf-8")


def dump_recipe(recipe: Recipe) -> str:
    """Return a recipe as YAML with every setting written out; ``load_recipe`` reads it back as an equal recipe."""
    lines: list[str] = []
    for section, settings in recipe.model_dump(mode="json").items():
        lines.append(f"{section}:")
        lines += [f"  {key}: {_yaml(value)}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"


def _read(name_or_path: str) -> dict[str, object]:
    if name_or_path.endswith(SUFFIXES):
        return read_yaml(Path(name_or_path), RecipeError)
    file = _file(name_or_path, " For a file of your own, give its path with .yaml.")
    document = parse_yaml(file.read_text(encoding="utf-8"), name_or_path, RecipeError)
    if not isinstance(document, dict):
        raise RecipeError(f"Recipe {name_or_path} of the package holds no settings; install scenescope again.")
    return document


def _packaged() -> dict[str, Traversable]:
    """Find the recipes of the package: GROUP/NAME by file."""
    root = resources.files("scenescope.recipes")
    return {
        f"{group.name}/{file.name.removesuffix('.yaml')}": file
        for group in root.iterdir()
        if group.is_dir()
        for file in group.iterdir()
        if file.name.endswith(".yaml")
    }


def _file(name: str, advice: str = "") -> Traversable:
    file = _packaged().get(name)
    if file is None:
        guess = nearest(name, _packaged()) or advice
        raise RecipeError(f"There is no recipe {name!r}.{guess} 'scenescope recipes' lists them all.")
    return file


def _opening_comment(text: str) -> str:
    """Return the comment lines at the top of a file, without their signs."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return "\n".join(lines)


def _replace(document: dict[str, object], override: str) -> None:
    """Put the value of ``a.b=c`` into nested settings."""
    key, equals, text = override.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise RecipeError(f"{override!r} is no setting; write KEY=VALUE, such as train.steps=2000.")
    if key in SECTIONS:
        first = next(setting for setting in SETTINGS if setting.startswith(f"{key}."))
        raise RecipeError(f"{key} is a section, not a setting; replace single settings, such as {first}=VALUE.")
    if ".".join(parts[:2]) not in SETTINGS:
        raise RecipeError(unknown_setting(key))
    section: dict[str, object] = document
    for position, part in enumerate(parts[:-1], start=1):
        inner = section[part] = {} if section.get(part) is None else section[part]
        if not isinstance(inner, dict):
            raise RecipeError(f"{key} cannot be set: {'.'.join(parts[:position])} is {_yaml(inner)}, a single value.")
        section = inner
    section[parts[-1]] = _value(key, text)


def _value(key: str, text: str) -> object:
    """Read the right side of an override: YAML, but where a setting is text, text as it stands.

    ``data.root=a: #1`` is a folder then, and the shell's quotes are enough. Quotes and ``null`` keep their meaning.
    """
    if text.encode(errors="replace").decode() != text:
        raise RecipeError(f"{key} holds bytes that are not UTF-8 text; rename what it names.")
    kind, text = SETTINGS.get(key), text.strip()
    absent = kind == "str | None" and text in ("", "null")
    if kind in ("str", "str | None") and not absent and not QUOTED.fullmatch(text):
        return text
    return parse_yaml(text, key, RecipeError)


def _yaml(value: object) -> str:
    """Write a plain value on one line, as YAML that reads back the same."""
    match value:
        case str():
            plain = PLAIN_TEXT.fullmatch(value) and parse_yaml(value, "", RecipeError) == value
            return value if plain else _quoted(value)
        case Mapping():
            return "{" + ", ".join(f"{_yaml(key)}: {_yaml(inner)}" for key, inner in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(_yaml(inner) for inner in value) + "]"
        case _:
            return json.dumps(value)


def _quoted(text: str) -> str:
    """Write text in double quotes; what YAML would not print is escaped."""
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(character if character.isprintable() else f"\\U{ord(character):08x}" for character in escaped)
