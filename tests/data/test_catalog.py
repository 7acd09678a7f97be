from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.catalog import CLASS_CHOICES, DATASETS, open_dataset, parse_source
from scenescope.errors import DataError


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("camvid:some/dir", ("camvid", "some/dir")),
        ("scenes:", ("scenes", "")),
        ("scenes:7", ("scenes", "7")),
        (r"folder:C:\photos", ("folder", r"C:\photos")),
        ("voc2012:a:b", ("voc2012", "a:b")),
    ],
)
def test_a_source_is_split_at_the_first_colon(source: str, expected: tuple[str, str]) -> None:
    assert parse_source(source) == expected


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (r"C:\photos", r"is a Windows path without a kind of data set; write folder:C:\photos"),
        ("photos/street", "does not say what kind of data set it is; write folder:photos/street"),
        ("camvid", "lacks its folder; write camvid:DIR."),
        ("scenes", "write scenes:."),
        ("camvis:DIR", "Did you mean 'camvid'?"),
        ("kitti:DIR", "known are scenes:, folder:, raster:, camvid:, cityscapes:, voc2012:"),
    ],
)
def test_a_source_that_cannot_be_meant_says_what_to_write(source: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_source(source)
    assert words in str(caught.value)


def test_a_folder_of_maps_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "raster.yaml").write_text("")
    with pytest.raises(DataError, match=f"write raster:{tmp_path} "):
        parse_source(str(tmp_path))


def test_every_kind_opens_or_says_what_it_lacks(tmp_path: Path) -> None:
    for kind in DATASETS:
        if kind == "scenes":
            assert len(open_dataset(kind, "3", "val")) > 0
            continue
        with pytest.raises(DataError, match=f"write {kind}:DIR, or in a recipe data.root=DIR"):
            open_dataset(kind, "", "train")
        with pytest.raises(DataError, match="does not exist"):
            open_dataset(kind, str(tmp_path / "none"), "train")
    with pytest.raises(DataError, match="Did you mean 'folder'"):
        open_dataset("foldr", "x", "train")


def test_val_fraction_reaches_the_folder_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("names: [a]\n")
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for stem in "pqrst":
            Image.fromarray(np.zeros((2, 2), dtype=np.uint8)).save(tmp_path / kind / f"{stem}.png")
    assert len(open_dataset("folder", str(tmp_path), "val", val_fraction=0.4)) == 2
    with pytest.raises(DataError, match=r"camvid: has splits of its own. Remove val_fraction"):
        open_dataset("camvid", str(tmp_path), "val", val_fraction=0.4)


def test_classes_reach_the_kinds_that_leave_a_choice_and_no_others(tmp_path: Path) -> None:
    assert set(CLASS_CHOICES) < set(DATASETS)
    for kind, choices in CLASS_CHOICES.items():
        with pytest.raises(DataError, match=rf"classes=5 is not a choice of {kind}:; choose {' or '.join(choices)}"):
            open_dataset(kind, str(tmp_path), "val", classes=5)
        for choice in choices:
            with pytest.raises(DataError, match=r"holds|does not exist"):
                open_dataset(kind, str(tmp_path), "val", classes=choice)
    for kind in set(DATASETS) - set(CLASS_CHOICES):
        with pytest.raises(DataError, match=rf"classes=60 is given, but {kind}: leaves no choice .* Remove classes"):
            open_dataset(kind, "0", "val", classes="60")
