from __future__ import annotations

from pathlib import Path

import pytest

from scenescope.lab import layout
from scenescope.lab.layout import explain_folder, explain_unpaired, partners


@pytest.mark.parametrize(
    ("images", "masks", "expected"),
    [
        (["a", "b"], ["a_mask", "b_mask"], {"a": "a_mask", "b": "b_mask"}),
        (["1", "11", "2"], ["gt_1", "gt_11", "gt_2"], {"1": "gt_1", "11": "gt_11", "2": "gt_2"}),
        (["a_sat", "b_sat"], ["a_mask", "b_mask"], {"a_sat": "a_mask", "b_sat": "b_mask"}),
        (["img_01", "img_12"], ["mask_12", "mask_01"], {"img_01": "mask_01", "img_12": "mask_12"}),
        (["a", "b"], ["a", "c"], {"a": "a"}),
        (["day", "night"], ["x7", "y9"], {}),
        (["a"], ["b"], {}),
    ],
)
def test_partners(images: list[str], masks: list[str], expected: dict[str, str]) -> None:
    assert partners(images, masks) == expected


def test_a_few_that_miss_are_left_to_be_told_one_by_one() -> None:
    images = {stem: Path(f"r/images/{stem}.jpg") for stem in "abcd"}
    masks = {stem: Path(f"r/masks/{stem}.png") for stem in ("a", "b", "c", "d_mask")}
    assert explain_unpaired(Path("r"), "train", images, masks) is None
    assert explain_unpaired(Path("r"), "train", images, {}) is None


def test_a_search_of_a_folder_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.jpg", "a_mask.png", "deep/b.jpg", "deep/b_mask.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert "2 images with masks, such as a.jpg with a_mask.png" in str(explain_folder(tmp_path, "train"))
    monkeypatch.setattr(layout, "MAX_SEARCHED", 1)
    assert "1 images with masks" in str(explain_folder(tmp_path, "train"))
    assert explain_folder(tmp_path / "none", "train") is None
