"""The tables of results of both papers, systems not built here included: ``published.yaml``, one entry a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from scenescope.errors import ModelError, nearest
from scenescope.yaml_reader import read_yaml

_PREFACE = """# Published results

The tables of results of Fu et al., "Dual Attention Network for Scene Segmentation" (CVPR 2019, code at
github.com/junfu1115/DANet), and Zhong et al., "Squeeze-and-Attention Networks for Semantic Segmentation" (CVPR 2020),
and what toolkits publish of DANet. Neither paper's PDF was at hand, so each table says where its numbers were read.

mIoU and accuracy are in percent. Digits are as printed; an empty cell is one that the source does not give. R50 and
R101 are ResNets. The first column is the key by which an ablation names a row. This page is what
`scenescope models --published` prints; with the name of a table it prints that one.
"""


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper.

    Attributes:
        certainty: where the numbers were read, and what confirms them.
        columns: their names; the first holds the key of a row.
        rows: cells by column, the text that is printed there; an empty cell is one that the source does not give.
        catalog: for networks of the catalog the key and the backbone of the row that stands in its list.
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
    catalog: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def score(self, key: str, backbone: str | None = None, column: str = "mIoU") -> float:
        """Return the number of one row as printed, mIoU and accuracy in percent.

        Args:
            key: the first cell of the row, such as ``pam+cam``.
            backbone: such as ``R50``; needed where several rows have this key.

        Raises:
            ModelError: no such column, no such number, or several.
        """
        if column not in self.columns:
            raise ModelError(f"Table {self.id} has no column {column!r}. Known: {', '.join(self.columns)}.")
        numbers = [(row[self.columns[0]], row.get("backbone", ""), row[column]) for row in self.rows if row[column]]
        found = [number for *names, number in numbers if names[0] == key and backbone in (None, names[1])]
        if len(found) != 1:
            asked = repr(key) if backbone is None else f"{key!r} with backbone {backbone!r}"
            known = dict.fromkeys(" ".join(names).strip() for *names, _ in numbers)
            several = "several numbers" if found else "no number"
            raise ModelError(f"Table {self.id} has {several} in {column} for {asked}. Known: {', '.join(known)}.")
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
    """Return the mIoU of a network of the catalog, in percent, with data sets and sources."""
    return "; ".join(
        f"{table.score(*row)} {table.data_set} {table.split} ({', '.join([*row[1:], table.source])})"
        for table in published_tables().values()
        for name, row in table.catalog.items()
        if name == network
    )


def as_markdown(table: PublishedTable) -> str:
    """Return a table as Markdown, with its source, how sure its numbers are, and its notes."""
    about = f"`{table.id}`: {table.data_set}, {table.split}. {table.notes}".strip()
    source = f"Source: {table.source}; {table.certainty}."
    lines = [table.columns, ["---"] * len(table.columns), *(row.values() for row in table.rows)]
    return "\n".join(
        [f"## {table.title}", "", about, "", source, "", *(f"| {' | '.join(line)} |" for line in lines), ""]
    )


def as_page(identity: str | None = None) -> str:
    """Return a table as Markdown, or every table: the page ``docs/published.md``.

    Raises:
        ModelError: no such table.
    """
    if identity is not None:
        return as_markdown(published_table(identity))
    return "\n".join([_PREFACE, *map(as_markdown, published_tables().values())])


def _table(identity: str, cells: str, **about: Any) -> PublishedTable:
    """Return a table whose cells are lines with a bar between columns, the first line their names."""
    names, *rows = ([cell.strip() for cell in line.split("|")] for line in cells.splitlines())
    return PublishedTable(
        id=identity, columns=tuple(names), rows=tuple(dict(zip(names, row, strict=True)) for row in rows), **about
    )
