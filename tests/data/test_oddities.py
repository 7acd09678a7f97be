from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.depth import Numbers, Stored
from scenescope.data.oddities import MaskFacts, Oddities, OddityCounts, find_oddities, mask_facts

WIDE = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
SQUARE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


def kinds(stored: Stored, mask: MaskFacts | None = None) -> list[str]:
    return [kind for kind, _ in find_oddities(stored, stored.array, mask, ()).kinds]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turn_is_odd_where_the_size_does_not_show_it(orientation: int) -> None:
    keeps_size = orientation in (2, 3, 4)
    assert kinds(Stored(WIDE, orientation=orientation), MaskFacts()) == ["image turned"] * keeps_size
    assert kinds(Stored(SQUARE, orientation=orientation), MaskFacts()) == ["image turned"] * (orientation != 1)
    # The mask is turned likewise, or there is none.
    assert kinds(Stored(SQUARE, orientation=orientation), MaskFacts(orientation=orientation)) == []
    assert kinds(Stored(SQUARE, orientation=orientation)) == []


def test_pages_transparency_and_one_color() -> None:
    assert kinds(Stored(WIDE, frames=3)) == ["image with further pages"]
    assert kinds(Stored(WIDE, transparent=True)) == ["image transparent"]
    assert kinds(Stored(np.full((2, 3, 3), (1, 2, 3), np.uint8))) == ["image of one color"]
    assert kinds(Stored(WIDE), MaskFacts(frames=2, transparent=True)) == ["mask with further pages", "mask transparent"]
    assert find_oddities(None, None, MaskFacts(), ()) == Oddities()


def test_a_palette_counts_for_the_numbers_that_occur() -> None:
    mask = MaskFacts(palette=(0, 0, 0, 255, 0, 0, 9, 9, 9))
    assert find_oddities(Stored(WIDE), WIDE, mask, (1, 2, 7)).palette == {1: (255, 0, 0), 2: (9, 9, 9)}


def test_facts_of_mask_files(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.info["transparency"] = 0
    image.save(tmp_path / "a.png")
    facts = mask_facts(tmp_path / "a.png", 10)
    assert facts.palette[:6] == (0, 0, 0, 10, 20, 30)
    assert (facts.transparent, facts.frames, facts.orientation) == (True, 1, 1)
    gray = Image.fromarray(np.array([[0, 1]], np.uint8))
    gray.save(tmp_path / "b.tif", save_all=True, append_images=[gray] * 2)
    assert mask_facts(tmp_path / "b.tif", 10) == MaskFacts(frames=3)
    assert mask_facts(tmp_path / "c.mat", 10) == MaskFacts()


def test_what_is_odd_is_counted_and_told() -> None:
    counts = OddityCounts()
    for number in range(5):
        counts.add(f"s{number}", Oddities((("image turned", "orientation 3"),)))
    counts.add("dark", Oddities(numbers=Numbers(1, "uint16", 5, 4000), palette={0: (0, 0, 0), 1: (255, 0, 0)}))
    counts.add("light", Oddities(numbers=Numbers(1, "uint16", 0, 3000), palette={0: (0, 0, 0), 1: (0, 255, 0)}))
    turned, palettes = counts.sentences("train")
    assert turned.startswith("train: an image is turned as its EXIF says and its mask is not")
    assert "in 5 of the scenes (s0, orientation 3; s1, orientation 3; s2, orientation 3; ...)." in turned
    assert "1 is (255, 0, 0) in dark, (0, 255, 0) in light; labels are the numbers" in palettes
    told = json.loads(json.dumps(counts.to_json()))
    assert told["oddities"] == [
        {"kind": "image turned", "scenes": 5, "first": [f"s{n}, orientation 3" for n in range(3)]}
    ]
    assert told["not_8_bit"] == [{"bands": 1, "type": "uint16", "low": 0, "high": 4000, "images": 2}]
    assert [each["value"] for each in told["palettes_differ"]] == [1]
    assert OddityCounts().sentences("train") == []
