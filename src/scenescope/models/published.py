"""The tables of results of both papers, systems not built here included: ``published.yaml``, one entry a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from scenescope.errors import ModelError, nearest
from scenescope.yaml_reader import read_yaml


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper, its cells the text that is printed there.

    Attributes:
        certainty: where the numbers were read, and what confirms them.
        columns: their names; scores are in percent.
        rows: cells by column; an empty cell is one that the source does not give.
        catalogue: keys of rows that are networks of the catalogue and stand in its list, with the backbone that is
            meant, None where the table names none.
    """

    id: str
    title: str
    source: str
    certainty: str
    data_set: str
    split: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]
    notes: str = ""
    catalogue: Mapping[str, str | None] = field(default_factory=dict)

    def score(self, key: str, backbone: str | None = None, column: str = "mIoU") -> float:
        """Return a number of the row with this key, as printed (mIoU and accuracy in percent).

        Args:
            key: such as ``pam+cam``; the column ``key`` of the table.
            backbone: such as ``R50``; needed where several rows have this key.

        Raises:
            ModelError: no such column, no such number, or several.
        """
        if column not in self.columns:
            raise ModelError(f"Table {self.id} has no column {column!r}; known: {', '.join(self.columns)}.")
        numbers = {
            (row.get("key", ""), row.get("backbone", "")): row[column]
            for row in self.rows
            if row.get("key") and row[column]
        }
        found = [number for (k, b), number in numbers.items() if k == key and backbone in (None, b)]
        if len(found) != 1:
            known = ", ".join(f"{k} {b}".strip() for k, b in numbers)
            count = "several numbers" if found else "no number"
            raise ModelError(f"Table {self.id} has {count} for {key} {backbone or '(any backbone)'}; known: {known}.")
        return float(found[0])


@cache
def published_tables() -> dict[str, PublishedTable]:
    """Return every table by its id, in the order of the file."""
    entries: dict[str, Any] = read_yaml(Path(__file__).with_name("published.yaml"), ModelError)
    return {identity: _table(identity, **entry) for identity, entry in entries.items()}


def published_table(identity: str) -> PublishedTable:
    """Return a table by its id, such as ``danet-cityscapes-attention``.

    Raises:
        ModelError: no such table.
    """
    tables = published_tables()
    if identity not in tables:
        guess = nearest(identity, tables)
        raise ModelError(f"There is no published table {identity!r}.{guess} Known: {', '.join(tables)}.")
    return tables[identity]


def published_scores(network: str) -> str:
    """Return the mIoU of a network of the catalogue, in percent, with data sets and sources."""
    return "; ".join(
        f"{table.score(network, table.catalogue[network])} {table.data_set} {table.split} ({table.source})"
        for table in published_tables().values()
        if network in table.catalogue
    )


def as_markdown(table: PublishedTable) -> str:
    """Return a table in Markdown with its source, how sure its numbers are, and its notes."""
    about = f"`{table.id}`: {table.data_set} {table.split}. {table.source}. Certainty: {table.certainty}. {table.notes}"
    lines = [list(table.columns), ["---"] * len(table.columns), *(list(row.values()) for row in table.rows)]
    return "\n".join([f"## {table.title}", "", about.strip(), "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def _table(identity: str, cells: str, **about: Any) -> PublishedTable:
    """Build a table whose cells are lines with a bar between columns, the first line their names."""
    names, *rows = ([cell.strip() for cell in line.split("|")] for line in cells.splitlines())
    return PublishedTable(
        id=identity, columns=tuple(names), rows=tuple(dict(zip(names, row, strict=True)) for row in rows), **about
    )
