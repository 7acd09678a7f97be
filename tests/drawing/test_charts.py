import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.drawing import charts
from scenescope.errors import StorageError

ROWS = [
    {"step": step, "loss": 2.0 / step, "loss/position": 1.5 / step, "lr": 0.01, "alpha": 0.1 * step, "beta": 0.2}
    for step in range(1, 31)
]
VALIDATION = [{"step": 30, "val/miou": 0.5, "val/pixel_accuracy": 0.8, "val/iou": {"road": 0.5, "tree": None}}]


def test_rows_are_normalized_and_absent_rows_not_a_number() -> None:
    shares = charts.row_shares(np.array([[3, 1], [0, 0]]))
    assert shares[0].tolist() == [0.75, 0.25]
    assert np.isnan(shares[1]).all()


def test_confusion_of_an_absent_class_is_gray(tmp_path: Path) -> None:
    gray = np.array([217, 217, 217])
    for matrix, absent in (([[8, 2], [0, 0]], True), ([[8, 2], [1, 9]], False)):
        charts.draw_confusion(np.array(matrix), ["road", "tree"], tmp_path / "confusion.png")
        image = np.asarray(Image.open(tmp_path / "confusion.png").convert("RGB"))
        assert ((abs(image.astype(int) - gray) <= 1).all(axis=2).mean() > 0.05) == absent


@pytest.mark.filterwarnings("error")
def test_names_are_no_formulas_and_may_be_of_any_script(tmp_path: Path) -> None:
    for names in (["$x^{$", "road"], ["tree", "道路"]):
        charts.draw_confusion(np.eye(2, dtype=np.int64), names, tmp_path / "confusion.png")
    charts.draw_curves([{"step": 1, "loss": 1.0, "loss/$x^{$": 1.0}], tmp_path / "curves.png")
    assert {file.name for file in tmp_path.iterdir()} == {"confusion.png", "curves.png"}


def test_confusion_of_many_classes_stays_within_reason(tmp_path: Path) -> None:
    charts.draw_confusion(np.eye(150, dtype=np.int64), [f"class {k}" for k in range(150)], tmp_path / "confusion.png")
    assert max(Image.open(tmp_path / "confusion.png").size) < 3000


@pytest.mark.parametrize(
    ("rows", "titles"),
    [
        (ROWS + VALIDATION, ["loss", "validation", "learning rate", "attention scales"]),
        ([{"step": 1, "loss": 1.0}], ["loss"]),
        ([], []),
    ],
)
def test_curves_show_what_the_log_holds(
    rows: list[dict[str, object]], titles: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    panel = charts._panel
    monkeypatch.setattr(charts, "_panel", lambda axes, title, *rest: (drawn.append(title), panel(axes, title, *rest)))
    charts.draw_curves(rows, tmp_path / "curves.png")
    assert drawn == titles
    assert Image.open(tmp_path / "curves.png").format == "PNG"


def test_running_mean_by_hand() -> None:
    assert charts._running_mean(np.array([1.0, 2.0, 6.0, 3.0]), 1).tolist() == [1.5, 3.0, 11 / 3, 4.5]


def test_charts_use_no_pyplot(tmp_path: Path) -> None:
    loaded = "matplotlib.pyplot" in sys.modules
    charts.draw_curves(ROWS, tmp_path / "curves.png")
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_chart_in_the_place_of_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(StorageError, match=r"Cannot write .*curves\.png"):
        charts.draw_curves(ROWS, tmp_path / "run" / "curves.png")
