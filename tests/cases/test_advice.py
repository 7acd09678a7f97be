"""Masks and folders as people bring them: what ``check`` proposes, followed to the letter, makes them fit and right."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

SIDE = 48


Run = Callable[..., Any]


def shapes(number: int, kinds: int) -> np.ndarray:
    """A map of ``kinds`` kinds: mostly 0, each other a disc of its own."""
    image = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    for kind in range(1, kinds):
        x = 3 + (11 * kind + 5 * number) % 30
        y = 3 + (17 * kind + 7 * number) % 30
        draw.ellipse((x, y, x + 9 + kind, y + 9 + kind), fill=kind)
    return np.asarray(image)


def write(root: Path, classes: str, mask: Callable[[np.ndarray], Image.Image], kinds: int, scenes: int = 3) -> None:
    """Write a folder whose masks ``mask`` makes of maps of ``kinds`` kinds."""
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(scenes):
            image = generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / "images" / split / f"{number}.png")
            mask(shapes(number + 9 * (split == "val"), kinds)).save(root / "masks" / split / f"{number}.png")
    (root / "classes.yaml").write_text(classes)


def follow(root: Path, output: str) -> None:
    """Replace the lines of classes.yaml that a proposal names."""
    (proposal,) = [line for line in output.splitlines() if line.startswith("Proposal")]
    lines = yaml.safe_load((root / "classes.yaml").read_text())
    for line in re.findall(r"`((?:names|values|colors|ignore): [^`]*)`", proposal):
        lines |= yaml.safe_load(line)
    (root / "classes.yaml").write_text(json.dumps(lines))


def shares(root: Path, scenescope: Run, tmp_path: Path) -> dict[str, int]:
    """The pixels of each class in train, of a folder that has to be fit."""
    result = scenescope("check", f"folder:{root}", "--output", tmp_path / "checked")
    assert result.exit_code == 0, result.output
    pixels: dict[str, int] = json.loads((tmp_path / "checked" / "check.json").read_text())["splits"][0]["pixels"]
    return pixels


def true_shares(kinds: int, scenes: int = 3) -> list[int]:
    maps = [shapes(number, kinds) for number in range(scenes)]
    return [int(sum((each == kind).sum() for each in maps)) for kind in range(kinds)]


def numbers(*values: int) -> Callable[[np.ndarray], Image.Image]:
    """Masks that hold these values for kinds 0, 1, ..."""
    return lambda kinds: Image.fromarray(np.array(values, dtype=np.uint8)[kinds])


def colors(*palette: Sequence[int]) -> Callable[[np.ndarray], Image.Image]:
    return lambda kinds: Image.fromarray(np.array(palette, dtype=np.uint8)[kinds])


BLACK, WHITE, RED, GREEN = (0, 0, 0), (255, 255, 255), (128, 0, 0), (0, 128, 0)

MASKS: dict[str, Any] = {
    # what it is: names given, masks, kinds, names of the kinds afterwards (None: not scored)
    "yassouali/pytorch-segmentation#139 black and white": (
        ["background", "crack"],
        colors(BLACK, WHITE),
        ["background", "crack"],
    ),
    "transformers#27224 0 and 255, one name": (["crack"], numbers(0, 255), ["background", "crack"]),
    "Pytorch-UNet#321 0 and 1, one name": (["crack"], numbers(0, 1), ["background", "crack"]),
    "HybridNets#60 0 and 255, two names": (["bg", "fg"], numbers(0, 255), ["bg", "fg"]),
    "two names, the background last": (["crack", "background"], numbers(0, 255), ["background", "crack"]),
    "two gray values": (["bg", "fg"], numbers(38, 113), ["bg", "fg"]),
    "two gray values, one name": (["fg"], numbers(38, 113), ["background", "fg"]),
    "1 and 2": (["bg", "fg"], numbers(1, 2), ["bg", "fg"]),
    "1 and 255": (["bg", "fg"], numbers(1, 255), ["bg", "fg"]),
    "one bit": (["crack"], lambda kinds: Image.fromarray(kinds > 0), ["background", "crack"]),
    "black and white, one name": (["crack"], colors(BLACK, WHITE), ["background", "crack"]),
    "black and red, one name": (["crack"], colors(BLACK, RED), ["background", "crack"]),
    "black and red, two names": (["none", "crack"], colors(BLACK, RED), ["none", "crack"]),
    "two colors without black": (["bg", "fg"], colors((68, 1, 84), (253, 231, 36)), ["bg", "fg"]),
    "white paper, red ink": (["ink"], colors(WHITE, (255, 0, 0)), ["background", "ink"]),
    "more names than the two values": (["bg", "crack", "hole"], numbers(0, 255), ["bg", "crack"]),
    "more names than the two colors": (["bg", "crack", "hole"], colors(BLACK, WHITE), ["bg", "crack"]),
    "gray kept as RGB": (["a", "b", "c"], colors(BLACK, (1, 1, 1), (2, 2, 2)), ["a", "b", "c"]),
    "cheetah and fox on black": (
        ["cheetah", "fox"],
        colors(BLACK, (200, 10, 10), (10, 200, 200)),
        ["background", None, None],
    ),
    "labelme2voc without its background": (
        ["cheetah", "fox"],
        colors(BLACK, RED, GREEN),
        ["background", "cheetah", "fox"],
    ),
    "labelme2voc with it": (["_background_", "cheetah", "fox"], colors(BLACK, RED, GREEN), 3),
    "three grays": (["cat", "dog"], numbers(0, 128, 255), ["background", "cat", "dog"]),
    "numbered from one": (["cat", "dog"], numbers(0, 1, 2), ["background", "cat", "dog"]),
    "numbered from one, all named": (["cat", "dog", "rest"], numbers(1, 2, 3), ["cat", "dog", "rest"]),
    "border of 255": (["bg", "cat", "dog"], numbers(0, 1, 2, 255), ["bg", "cat", "dog", None]),
    "border of 255, a name too many": (["bg", "cat", "cow", "dog"], numbers(0, 1, 3, 255), ["bg", "cat", "dog", None]),
    "white border": (["bg", "cat", "dog"], colors(BLACK, RED, GREEN, WHITE), ["bg", "cat", "dog", None]),
    "a number without a name": (["bg", "cat"], numbers(0, 1, 7), ["bg", "cat", "class_7"]),
    "a color without a name": (["bg", "cat"], colors(BLACK, RED, (9, 200, 80)), ["bg", None, None]),
    "names that YAML would not read": (["on: off"], numbers(0, 9), ["background", "on: off"]),
}


@pytest.mark.parametrize("case", MASKS)
def test_what_is_proposed_is_right(case: str, tmp_path: Path, scenescope: Run) -> None:
    names, mask, expected = MASKS[case]
    expected = names if expected == 3 else expected
    write(tmp_path / "data", json.dumps({"names": names}), mask, len(expected))
    first = scenescope("check", f"folder:{tmp_path / 'data'}")
    assert first.exit_code == 2, first.output
    follow(tmp_path / "data", first.output)
    pixels = shares(tmp_path / "data", scenescope, tmp_path)
    true = true_shares(len(expected))
    for name, count in zip(expected, true, strict=True):
        # A color whose class cannot be known has to be one all the same.
        assert (
            count in pixels.values()
            if name is None and "border" not in case
            else name is None or (pixels[name] == count)
        ), (case, pixels, true)
    if "border" in case:
        assert sum(pixels.values()) == sum(true[:-1])


@pytest.mark.parametrize("names", [["crack"], ["background", "crack"]])
def test_masks_of_two_sources(names: list[str], tmp_path: Path, scenescope: Run) -> None:
    """0 and 1 from one tool, 0 and 255 from another: 255 is the same class and not ignored."""
    forms = itertools.cycle([numbers(0, 1), numbers(0, 255)])
    write(tmp_path / "data", json.dumps({"names": names}), lambda kinds: next(forms)(kinds), 2, scenes=4)
    follow(tmp_path / "data", scenescope("check", f"folder:{tmp_path / 'data'}").output)
    assert list(shares(tmp_path / "data", scenescope, tmp_path).values()) == true_shares(2, scenes=4)


FOLLOWED = {
    "0 and 255, 255 ignored": ({"names": ["crack"], "ignore": 255}, numbers(0, 255)),
    "0 and 1, 0 ignored": ({"names": ["crack"], "values": [1], "ignore": 0}, numbers(0, 1)),
    "white ignored": (
        {"names": ["bg", "crack"], "colors": [[0, 0, 0], [1, 1, 1]], "ignore": [[255, 255, 255]]},
        colors(BLACK, WHITE),
    ),
}


@pytest.mark.parametrize("case", FOLLOWED)
def test_one_class_in_every_pixel_is_not_fit(case: str, tmp_path: Path, scenescope: Run) -> None:
    """Pytorch-UNet#493: what ignores the other label leaves one class, which scores 1.0 and says nothing."""
    lines, mask = FOLLOWED[case]
    write(tmp_path / "data", json.dumps(lines), mask, 2)
    result = scenescope("check", f"folder:{tmp_path / 'data'}")
    assert result.exit_code == 2, result.output
    assert "fills 100 % of the scored pixels" in result.output
    follow(tmp_path / "data", result.output)
    assert list(shares(tmp_path / "data", scenescope, tmp_path).values()) == true_shares(2)


def saved_as_jpeg(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, format="JPEG", quality=95)
    return Image.open(content)


def enlarged(image: Image.Image) -> Image.Image:
    return image.resize((SIDE // 2, SIDE // 2), Image.Resampling.NEAREST).resize(
        (SIDE, SIDE), Image.Resampling.BILINEAR
    )


BLURRED: dict[str, tuple[Any, ...]] = {
    "glasses-detector#23 a JPEG that became a PNG": (["bg", "glasses"], numbers(0, 255), saved_as_jpeg, [0, 255]),
    "a JPEG of three grays": (["bg", "cat", "dog"], numbers(0, 128, 255), saved_as_jpeg, [0, 128, 255]),
    "a JPEG, one name": (["glasses"], numbers(0, 255), saved_as_jpeg, [0, 255]),
    "enlarged": (["bg", "glasses"], numbers(0, 255), enlarged, [0, 255]),
    "a JPEG of black and white": (["bg", "fg"], colors(BLACK, WHITE), saved_as_jpeg, [[0, 0, 0], [255, 255, 255]]),
}


@pytest.mark.parametrize("case", BLURRED)
def test_masks_that_were_compressed_or_resized_are_told_as_such(case: str, tmp_path: Path, scenescope: Run) -> None:
    names, mask, blur, meant = BLURRED[case]
    write(tmp_path / "data", json.dumps({"names": names}), lambda kinds: blur(mask(kinds)), len(meant))
    result = scenescope("check", f"folder:{tmp_path / 'data'}")
    assert result.exit_code == 2
    (proposal,) = [line for line in result.output.splitlines() if line.startswith("Proposal")]
    assert "compressed, resized or drawn with smooth edges. Export them again" in proposal
    assert "as PNG without anti-aliasing and resized by nearest neighbor only" in proposal
    assert f": {meant}`" in proposal
    assert len(proposal) < 700
