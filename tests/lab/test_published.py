"""The published tables: numbers of the papers, and sums and differences that a wrong digit would break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from scenescope.errors import ModelError
from scenescope.lab.published import (
    PublishedTable,
    as_markdown,
    as_page,
    published_scores,
    published_table,
    published_tables,
)
from scenescope.models.catalog import MODELS

ROOT = Path(__file__).parents[2]

STATED = [  # differences that the texts of the papers state: table, row, the row it is compared with, column, points
    ("danet-cityscapes-attention", ("pam", "R50"), ("fcn", "R50"), "mIoU", 5.71),
    ("danet-cityscapes-attention", ("cam", "R50"), ("fcn", "R50"), "mIoU", 4.25),
    ("danet-cityscapes-attention", ("pam+cam", "R101"), ("fcn", "R101"), "mIoU", 5.03),
    ("danet-cityscapes-strategies", ("da",), ("none",), "mIoU", 1.26),
    ("danet-cityscapes-strategies", ("da+mg",), ("da",), "mIoU", 1.11),
    ("danet-cityscapes-strategies", ("da+mg+ms",), ("da+mg",), "mIoU", 1.56),
    ("danet-voc-val", ("DANet", "R50"), ("dilated FCN",), "mIoU", 3.3),
    ("sanet-context-losses", ("sa",), ("fcn",), "mIoU", 6.0),
    ("sanet-context-losses", ("sa",), ("fcn",), "pixel accuracy", 2.7),
    ("sanet-context-backbones", ("sanet", "R50"), ("fcn", "R50"), "mIoU", 4.1),
    ("sanet-context-backbones", ("sanet", "R101"), ("fcn", "R101"), "mIoU", 4.5),
]


def find_faults(tables: Mapping[str, PublishedTable]) -> list[str]:
    """Return what does not add up: stated differences, means over classes, one system in two tables."""
    faults = []
    for identity, row, other, column, points in STATED:
        table = tables[identity]
        if round(table.score(*row, column=column) - table.score(*other, column=column), 2) != points:
            faults.append(f"{identity}: {row} is not {points} above {other}")
    for row in tables["danet-cityscapes-test-classes"].rows:
        method, _, mean, *classes = row.values()
        # Each number is rounded to 0.1, so both the mean and what it is compared with are within 0.05.
        if len(classes) != 19 or abs(sum(map(float, classes)) / 19 - float(mean)) > 0.1:
            faults.append(f"classes: the mean of {method} is not {mean}")
    printed: dict[tuple[str, str, str], set[str]] = {}
    for table in tables.values():
        methods = [row.get("method", "") for row in table.rows]
        for row in table.rows:
            if methods.count(row.get("method", "")) == 1 and "mIoU" in row:
                printed.setdefault((row["method"], table.data_set, table.split), set()).add(row["mIoU"])
    return faults + [f"{system} has {numbers}" for system, numbers in printed.items() if len(numbers) > 1]


def test_the_tables_add_up() -> None:
    assert find_faults(published_tables()) == []
    attention, strategies = (
        published_table("danet-cityscapes-attention"),
        published_table("danet-cityscapes-strategies"),
    )
    assert strategies.score("none") == attention.score("pam+cam", "R101") == 77.57
    # The released network is the best of the strategies, with one scale and with eight.
    one, several = (float(row["mIoU"]) for row in published_table("danet-released").rows if row["method"] == "DANet")
    assert abs(one - strategies.score("da+mg")) < 0.011
    assert abs(several - strategies.score("da+mg+ms")) < 0.011


@pytest.mark.parametrize(
    ("identity", "number", "column", "wrong"),
    [
        ("danet-cityscapes-attention", 1, "mIoU", "75.47"),
        ("danet-cityscapes-strategies", 2, "mIoU", "79.49"),
        ("danet-cityscapes-test-classes", 0, "wall", "65.1"),
        ("danet-cityscapes-test", 18, "mIoU", "89.2"),
        ("danet-voc-test", 2, "mIoU", "73.5"),
        ("danet-context", 3, "mIoU", "47.5"),
        ("sanet-context-losses", 1, "pixel accuracy", "77.7"),
        ("sanet-voc-costs", 4, "mIoU", "82.3"),
    ],
)
def test_a_planted_typo_is_found(identity: str, number: int, column: str, wrong: str) -> None:
    table = published_table(identity)
    rows = [dict(row) for row in table.rows]
    assert rows[number][column] != wrong
    rows[number][column] = wrong
    assert find_faults(dict(published_tables()) | {identity: replace(table, rows=tuple(rows))})


@pytest.mark.parametrize(
    ("identity", "row", "column", "number"),
    [
        ("danet-cityscapes-attention", ("fcn", "R50"), "mIoU", 70.03),
        ("danet-cityscapes-attention", ("pam+cam", "R50"), "mIoU", 76.34),
        ("danet-cityscapes-strategies", ("da+mg+ms",), "mIoU", 81.50),
        ("danet-cityscapes-test", ("DANet",), "mIoU", 81.5),
        ("danet-cityscapes-test-classes", ("DANet",), "train", 86.5),
        ("danet-voc-val", ("DANet", "R101"), "mIoU", 80.4),
        ("danet-context", ("DANet", "R101"), "mIoU", 52.6),
        ("danet-coco-stuff", ("DANet", "R101"), "mIoU", 39.7),
        ("danet-toolkits", ("PaddlePaddle/models",), "mIoU", 80.438),
        ("sanet-context-losses", ("sa+cat+den", "R101"), "mIoU", 53.0),
        ("sanet-context-losses", ("sa+cat+den", "EfficientNet-b7"), "pixel accuracy", 81.6),
        ("sanet-context-background", ("SANet", "EfficientNet-b7"), "mIoU", 54.4),
        ("sanet-context-backbones", ("fcn_se", "R101"), "mIoU", 45.7),
        ("sanet-voc-test", ("SANet",), "dog", 94.1),
        ("sanet-voc-coco", ("SANet",), "mIoU", 86.1),
        ("sanet-voc-costs", ("SANet",), "GMACs", 204.7),
    ],
)
def test_numbers_of_the_papers(identity: str, row: tuple[str, ...], column: str, number: float) -> None:
    assert published_table(identity).score(*row, column=column) == number


def test_every_table_says_where_its_numbers_are_from() -> None:
    for table in published_tables().values():
        assert table.source
        assert table.certainty
        for row in table.rows:
            assert all(20 < float(cell) < 100 for column, cell in row.items() if cell and column.startswith("mIoU"))
            assert not any("|" in cell for cell in row.values())
    assert "12 of the 20 classes" in published_table("sanet-voc-test").certainty


def test_a_table_as_markdown() -> None:
    table = PublishedTable(
        id="t",
        title="Title",
        source="A paper, Table 9",
        certainty="read there",
        data_set="Set",
        split="val",
        columns=("key", "mIoU"),
        rows=({"key": "a", "mIoU": "81.50"}, {"key": "b", "mIoU": ""}),
        notes="A note.",
    )
    assert as_markdown(table) == (
        "## Title\n\n`t`: Set, val. A note.\n\nSource: A paper, Table 9; read there.\n\n"
        "| key | mIoU |\n| --- | --- |\n| a | 81.50 |\n| b |  |\n"
    )


def test_the_page_in_the_docs_is_what_is_printed() -> None:
    page = (ROOT / "docs/published.md").read_text(encoding="utf-8")
    assert page == as_page(), "write it again: scenescope models --published > docs/published.md"


def test_the_catalog_shows_scores_of_its_networks_with_backbone_and_source() -> None:
    named = {network for table in published_tables().values() for network in table.catalog}
    assert named == set(MODELS)
    assert published_scores("sanet") == (
        "53.0 PASCAL Context (59 classes) test (R101, Zhong et al. 2020, Table 1);"
        " 83.2 VOC 2012 test (R101, Zhong et al. 2020, Table 6)"
    )
    assert published_scores("danet").startswith("81.5 Cityscapes test (R101, ")
    assert "78.4 Cityscapes test" in published_scores("pspnet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pan", "R50"), r"no number in mIoU for 'pan' with backbone 'R50'\. Known: fcn R50, pam R50"),
        (("pam", "R152"), "no number in mIoU for 'pam' with backbone 'R152'"),
        (("pam",), "several numbers in mIoU for 'pam'"),
        (("pam", "R50", "IoU"), r"no column 'IoU'\. Known: key, method, backbone, PAM, CAM, mIoU"),
    ],
)
def test_a_number_that_is_not_published_is_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        published_table("danet-cityscapes-attention").score(*arguments)


def test_an_empty_cell_is_no_number() -> None:
    with pytest.raises(ModelError, match="no number in bird for 'DFN'"):
        published_table("sanet-voc-test").score("DFN", column="bird")


def test_an_unknown_table_is_refused_with_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"no published table 'danet-kontext'\. Did you mean 'danet-context'"):
        published_table("danet-kontext")
