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
from typing import Any

from scenescope.config import SECTIONS, SETTINGS, Config
from scenescope.errors import RecipeError, nearest
from scenescope.models.options import recipe_options
from scenescope.old_names import new_name, renamed
from scenescope.yaml_reader import parse_yaml, read_yaml

SUFFIXES = (".yaml", ".yml")
QUOTED = re.compile(r"""'([^']|'')*'|"([^"\\]|\\.)*\"""")


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Config:
    """Read a recipe and replace single settings.

    Args:
        name_or_path: a recipe of the package, such as ``camvid/danet-lite0``, or the path of a YAML file.
        overrides: ``a.b=c`` each; the last one of a key counts.

    Raises:
        RecipeError: no such recipe, not YAML, an unknown key or a value that is not possible.
    """
    if is_ablation(name_or_path) and name_or_path in _packaged():
        raise RecipeError(f"{name_or_path} is an ablation; run it by scenescope ablate {name_or_path}.")
    document = read_document(name_or_path)
    for override in overrides:
        replace_setting(document, *parse_override(override))
    return build_config(document, name_or_path)


def list_recipes() -> dict[str, str]:
    """Return the names of the package's recipes, sorted, each with the comment that opens its file."""
    return {name: comment for name, comment in _opening_comments().items() if not is_ablation(name)}


def list_ablations() -> dict[str, str]:
    """Return the names of the package's ablations likewise."""
    return {name: comment for name, comment in _opening_comments().items() if is_ablation(name)}


def is_ablation(name: str) -> bool:
    """Tell whether a file of the package holds an ablation: its name begins with that word."""
    return name.rpartition("/")[2].startswith("ablation")


def recipe_text(name: str) -> str:
    """Return the file of one of the package's recipes as it is written, comments and all.

    Raises:
        RecipeError: there is no recipe of that name.
    """
    return _file(name).read_text(encoding="utf-8")


def build_config(document: Mapping[str, Any], source: str) -> Config:
    """Check nested settings and make a Config of them.

    Raises:
        RecipeError: a key that does not exist (the nearest is named), a setting that is missing or not possible.
    """
    source = f"Recipe {source}"
    config = Config.from_dict(document, source)
    recipe_options(config.model, source, renamed(document).get("model", {}).get("options", {}))
    return config


def read_document(name_or_path: str) -> dict[str, object]:
    """Return what a YAML file or a recipe of the package holds, unchecked."""
    if name_or_path.endswith(SUFFIXES):
        return renamed(read_yaml(Path(name_or_path), RecipeError))
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


def _opening_comments() -> dict[str, str]:
    return {name: _opening_comment(file.read_text(encoding="utf-8")) for name, file in sorted(_packaged().items())}


def _opening_comment(text: str) -> str:
    """Return the comment lines at the top of a file, without their signs."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return "\n".join(lines)


def parse_override(override: str) -> tuple[str, object]:
    """Return key and value of ``a.b=c``.

    Raises:
        RecipeError: it is none, or its value is not YAML.
    """
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise RecipeError(f"{override!r} is not a setting; write KEY=VALUE, such as train.steps=2000.")
    return key, _value(key, text)


def replace_setting(document: dict[str, object], key: str, value: object) -> None:
    """Put a value under a dotted key into nested settings.

    Raises:
        RecipeError: it is a section, or lies below a single value.
    """
    new = new_name(key)
    if new is None:
        return
    if new in SECTIONS:
        first = next(setting for setting in SETTINGS if setting.startswith(f"{key}."))
        raise RecipeError(f"{key} is a section, not a setting; replace single settings, such as {first}=VALUE.")
    parts = new.split(".")
    section: dict[str, object] = document
    for position, part in enumerate(parts[:-1], start=1):
        inner = section[part] = {} if section.get(part) is None else section[part]
        if not isinstance(inner, dict):
            raise RecipeError(
                f"{key} cannot be set: {'.'.join(parts[:position])} is {json.dumps(inner)}, a single value."
            )
        section = inner
    section.pop(parts[-1], None)  # a key knows its line, and the value is no longer of that line
    section[parts[-1]] = value


def _value(key: str, text: str) -> object:
    """Read the right side of an override: YAML, but where a setting is text, text as it stands.

    ``data.root=a: #1`` is a folder then, and the shell's quotes are enough. Quotes and ``null`` keep their meaning.
    """
    if text.encode(errors="replace").decode() != text:
        raise RecipeError(f"{key} holds bytes that are not UTF-8 text; rename what it names.")
    kind, text = SETTINGS.get(new_name(key, tell=False) or key), text.strip()
    absent = kind == "str | None" and text in ("", "null")
    if kind in ("str", "str | None") and not absent and not QUOTED.fullmatch(text):
        return text
    value = parse_yaml(text, key, RecipeError)
    return {str(name): inner for name, inner in value.items()} if isinstance(value, dict) else value  # of no line
