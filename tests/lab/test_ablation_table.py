"""The table of an ablation, by hand."""

from __future__ import annotations

import pytest

from scenescope.inference.settings import InferenceSettings
from scenescope.lab.ablation import Ablation, AblationRow, Outcome
from scenescope.lab.ablation_table import as_markdown, summarize


def row(name: str, published: float | None = None) -> AblationRow:
    return AblationRow(name, {}, (), InferenceSettings(), published)


def score(miou: float, **scales: float) -> dict[str, float]:
    return {"miou": miou, "pixel_accuracy": 0.8} | scales


ABLATION = Ablation("a", "Title", (row("FCN", 70.03), row("PAM", 75.74), row("new")), published="Table 1")
OUTCOME = Outcome(
    {
        "FCN": {0: score(0.50), 1: score(0.54)},
        "PAM": {0: score(0.53, alpha=-0.1), 1: score(0.59, alpha=0.3)},
        "new": {1: score(0.60)},
    },
    [],
)


def test_means_deviations_and_differences() -> None:
    fcn, pam, new = summarize(ABLATION, OUTCOME)
    assert (fcn["miou"], pam["miou"]) == (pytest.approx(0.52), pytest.approx(0.56))
    # Of two numbers the sample deviation is their distance over the root of two.
    assert pam["miou_deviation"] == pytest.approx(0.06 / 2**0.5)
    assert pam["delta"] == pytest.approx(0.04)
    assert pam["abs_alpha"] == pytest.approx(0.2)
    assert fcn["abs_alpha"] is None
    assert pam["published_delta"] == pytest.approx(5.71)
    assert new["miou_deviation"] is None
    assert new["published_delta"] is None
    # Only seed 1 is done, so only seed 1 of the first row is what it is compared with.
    assert new["delta"] == pytest.approx(0.06)


def test_markdown_shows_percent_and_leaves_empty_columns_out() -> None:
    text = as_markdown(ABLATION, summarize(ABLATION, OUTCOME))
    assert (
        "| network | seeds | mIoU | to the first | pixel accuracy | abs(alpha) | published mIoU | to its first |"
        in text
    )
    assert "| FCN | 2 | 52.00 ± 2.83 |  | 80.00 |  | 70.03 |  |" in text
    assert "| PAM | 2 | 56.00 ± 4.24 | +4.00 | 80.00 | 0.200 | 75.74 | +5.71 |" in text
    assert "| new | 1 | 60.00 | +6.00 | 80.00 |  |  |  |" in text
    assert "Published: Table 1." in text
    assert "beta" not in text


def test_a_class_has_the_mean_of_the_seeds_that_score_it() -> None:
    runs = {0: score(0.5) | {"iou": {"Car": 0.5, "Pole": 0.1}}, 1: score(0.5) | {"iou": {"Car": 0.7, "Pole": None}}}
    outcome = Outcome({"FCN": runs, "PAM": {0: score(0.5) | {"iou": {"Car": 0.25, "Pole": None}}}, "new": {}}, [])
    text = as_markdown(ABLATION, summarize(ABLATION, outcome))
    assert "| class | FCN | PAM | new |" in text
    assert "| Car | 60.0 | 25.0 |  |" in text
    assert "| Pole | 10.0 |  |  |" in text


def test_what_is_not_done_or_failed_leaves_a_gap_and_its_reason() -> None:
    outcome = Outcome({"FCN": {}, "PAM": {0: score(0.5)}, "new": {}}, ["FCN, seed 0: The loss of step 3 is nan."])
    rows = summarize(ABLATION, outcome)
    assert [entry["miou"] for entry in rows] == [None, 0.5, None]
    assert rows[1]["delta"] is None
    text = as_markdown(ABLATION, rows, outcome.failures)
    assert "| FCN | 0 |  |" in text
    assert text.endswith("Failed: FCN, seed 0: The loss of step 3 is nan.\n")


def test_a_class_whose_name_is_markup_stays_in_its_cell() -> None:
    scores = {name: {0: {**score(0.5), "iou": {"a|b\n| c |": 0.25}}} for name in ("FCN", "PAM", "new")}
    text = as_markdown(ABLATION, summarize(ABLATION, Outcome(scores, [])))
    assert r"| a\|b \| c \| | 25.0 | 25.0 | 25.0 |" in text.splitlines()
