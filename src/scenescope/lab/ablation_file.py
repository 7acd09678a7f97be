"""Ablations as YAML: a recipe, and the settings that differ from row to row."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scenescope.errors import RecipeError, nearest
from scenescope.inference.settings import PROTOCOLS, InferenceSettings
from scenescope.lab.published import published_table
from scenescope.recipes.reader import build_config, list_ablations, parse_override, read_document, replace_setting

if TYPE_CHECKING:
    from scenescope.lab.ablation import Ablation, AblationRow


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RowDocument(_Strict):
    """One row: what it is called and what it changes."""

    name: str
    settings: dict[str, Any] = {}
    """Settings by dotted key, such as ``model.name: fcn``."""
    protocol: str | None = None
    """How its models are tested, as ``evaluate --protocol``; the whole image when not given."""
    scales: tuple[float, ...] | None = None
    flip: bool | None = None
    published: str | None = None
    """Key of the row of the published table that stands beside it."""


class SweepDocument(_Strict):
    """Rows that differ in the value of one setting."""

    setting: str
    values: tuple[Any, ...] = Field(min_length=2)


class PublishedDocument(_Strict):
    """A published table, and which of its backbones is meant."""

    table: str
    backbone: str | None = None


class AblationDocument(_Strict):
    """A file of an ablation; either rows or a sweep."""

    title: str
    recipe: str
    """The recipe that all rows start from."""
    settings: dict[str, Any] = {}
    """Settings of all rows that differ from it."""
    seeds: tuple[int, ...] = Field(min_length=1)
    rows: tuple[RowDocument, ...] = ()
    sweep: SweepDocument | None = None
    published: PublishedDocument | None = None


def load_ablation(name_or_path: str, overrides: Sequence[str] = ()) -> Ablation:
    """Read an ablation and resolve the recipe of every run.

    Args:
        name_or_path: an ablation of the package, such as ``camvid/ablation``, or the path of a YAML file.
        overrides: ``a.b=c`` each, for all rows; a row's own settings count more.

    Raises:
        RecipeError: no such ablation, an unknown key, two rows of one name, or a setting that is not possible.
    """
    from scenescope.lab.ablation import Ablation

    if not name_or_path.endswith((".yaml", ".yml")) and name_or_path not in list_ablations():
        known = list_ablations()
        guess = nearest(name_or_path, known) or " For a file of your own, give its path with .yaml."
        raise RecipeError(f"There is no ablation {name_or_path!r}.{guess} Known: {', '.join(known)}.")
    document = _check(read_document(name_or_path), name_or_path)
    base = read_document(document.recipe)
    shared = [*document.settings.items(), *map(parse_override, overrides)]
    for key, value in shared:
        replace_setting(base, key, value)
    own = {key for row in _rows(document) for key in row.settings}
    vain = sorted({key for key, _ in map(parse_override, overrides)} & (own | {"train.seed"}))
    if vain:
        raise RecipeError(f"{vain[0]} is what the rows of {name_or_path} differ in; change it in a copy of the file.")
    table = None if document.published is None else published_table(document.published.table)
    return Ablation(
        name=name_or_path.removesuffix(".yaml").removesuffix(".yml").rpartition("/")[2],
        title=document.title,
        rows=tuple(_resolve(row, document, base, name_or_path) for row in _rows(document)),
        published=None if table is None else f"{table.title}; {table.data_set}, {table.split} ({table.source})",
        sweep=None if document.sweep is None else document.sweep.setting,
    )


def _check(document: dict[str, object], source: str) -> AblationDocument:
    try:
        checked = AblationDocument.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        key = ".".join(map(str, error["loc"]))
        known = AblationDocument.model_fields
        unknown = error["type"] == "extra_forbidden"
        what = f"{key} is not known.{nearest(key, known)}" if unknown else f"{key}: {error['msg']}."
        raise RecipeError(f"Ablation {source}: {what} An ablation has {', '.join(known)}.") from None
    names = [row.name for row in _rows(checked)]
    if len(set(names)) < len(names) or len(set(checked.seeds)) < len(checked.seeds):
        raise RecipeError(f"Ablation {source}: two rows of one name, or a seed twice; each has to differ.")
    if bool(checked.rows) == (checked.sweep is not None) or len(names) < 2:
        raise RecipeError(f"Ablation {source}: give at least two rows, or a sweep with values, and not both.")
    return checked


def _rows(document: AblationDocument) -> tuple[RowDocument, ...]:
    if document.sweep is None:
        return document.rows
    setting = document.sweep.setting
    return tuple(RowDocument(name=str(value), settings={setting: value}) for value in document.sweep.values)


def _resolve(row: RowDocument, document: AblationDocument, base: dict[str, object], source: str) -> AblationRow:
    from scenescope.lab.ablation import AblationRow, PlannedRun

    if row.protocol is not None and row.protocol not in PROTOCOLS:
        raise RecipeError(
            f"Ablation {source}: {row.name} has the protocol {row.protocol!r}; known: {', '.join(PROTOCOLS)}."
        )
    given = {"scales": row.scales, "flip": row.flip}
    inference = dataclasses.replace(
        PROTOCOLS[row.protocol] if row.protocol is not None else InferenceSettings(),
        **{key: value for key, value in given.items() if value is not None},  # type: ignore[arg-type]
    )
    runs = []
    for seed in document.seeds:
        changed = copy.deepcopy(base)
        for key, value in [*row.settings.items(), ("train.seed", seed)]:
            replace_setting(changed, key, value)
        runs.append(PlannedRun(seed, build_config(changed, f"{source}, row {row.name}")))
    published = None
    if row.published is not None and document.published is not None:
        published = published_table(document.published.table).score(row.published, document.published.backbone)
    return AblationRow(row.name, row.settings, tuple(runs), inference, published)
