"""Every command of docs/data.md runs, in order, as it is printed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from scenescope.cli.main import app
from scenescope.data.catalog import open_dataset
from scenescope.data.classes_yaml import read_class_file
from scenescope.data.formats.catalog import FORMATS
from tests.test_readme import BLOCK, ROOT

PAGE = ROOT / "docs/data.md"
OUTLINE = [4, 4, 20, 4, 20, 15, 4, 15]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small source of each format that the page imports."""
    pytest.importorskip("pycocotools")
    monkeypatch.chdir(tmp_path)

    def image(name: str, value: int = 90) -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 24), (value, 120, 90)).save(name)

    def text(name: str, content: object) -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content if isinstance(content, str) else json.dumps(content))

    def coco(*segmentations: list[list[float]]) -> dict[str, object]:
        return {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 32, "height": 24}],
            "categories": [{"id": 1, "name": "car"}],
            "annotations": [
                {"id": number, "image_id": 1, "category_id": 1, "segmentation": segmentation}
                for number, segmentation in enumerate(segmentations)
            ],
        }

    shares = " ".join(f"{value / side:.4f}" for value, side in zip(OUTLINE, [32, 24] * 4, strict=True))
    points = [OUTLINE[i : i + 2] for i in range(0, 8, 2)]
    for number, split in enumerate(("train", "val")):
        image(f"coco/{split}/a.jpg", number)
        text(f"coco/{split}/_annotations.coco.json", coco([OUTLINE]))
        image(f"labelme/{split}/a.jpg")
        shape = {"label": "car", "points": points, "shape_type": "polygon"}
        text(f"labelme/{split}/a.json", {"imagePath": "a.jpg", "imageData": None, "shapes": [shape]})
        image(f"yolo/images/{split}/a.jpg")
        text(f"yolo/labels/{split}/a.txt", f"0 {shares}\n")
        image(f"voc/JPEGImages/{split}.jpg")
        text(f"voc/ImageSets/Segmentation/{split}.txt", f"{split}\n")
        (tmp_path / "voc/SegmentationClass").mkdir(exist_ok=True)
        mask = np.zeros((24, 32), np.uint8)
        mask[4:16, 4:21] = 1
        Image.fromarray(mask).save(f"voc/SegmentationClass/{split}.png")
    text("yolo/data.yaml", "train: images/train\nval: images/val\nnames: [car]\n")
    text("voc/class_names.txt", "__ignore__\n_background_\ncar\n")
    text("instances.json", coco([OUTLINE], [[1, 1, 2, 2]]))
    image("photos/a.jpg")
    Image.fromarray(mask).save("photos/a_mask.png")
    return tmp_path


def test_every_command_of_the_page_runs(place: Path) -> None:
    blocks = [block["shell"] for block in BLOCK.finditer(PAGE.read_text())]
    lines = [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
    assert len(lines) == len(re.findall("^    scenescope ", PAGE.read_text(), re.MULTILINE)) > 6
    for line in lines:
        _, *arguments = shlex.split(line, comments=True)
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == int("skip" in arguments), f"{line}\n{result.output}\n{result.exception!r}"
    for name in ("mine", "mine-labelme", "mine-yolo", "mine-voc"):
        dataset = open_dataset("folder", name, "val")
        drawn = dataset[0].labels == dataset.classes.names.index("car")
        assert abs(int(drawn.sum()) - 17 * 12) <= 28, name  # the square, with or without its outline


def test_the_example_of_classes_yaml_is_read(tmp_path: Path) -> None:
    example = re.search(r"(    names: .*\n)(    ignore: .*\n)(    values: .*\n)(    colors: .*\n)", PAGE.read_text())
    assert example is not None
    names, ignore, values, colors = (line.strip() + "\n" for line in example.groups())
    for kind, ignored in ((values, ignore), (colors, "")):
        (tmp_path / "classes.yaml").write_text(names + ignored + kind)
        classes, table = read_class_file(tmp_path / "classes.yaml")
        assert classes.names == ("background", "car", "road")
        assert table.train_id(11 if kind == values else 128 << 16) == 1


def test_every_format_has_a_row() -> None:
    rows = re.findall(r"^\| ([A-Za-z][^|]+) \|", PAGE.read_text(), re.MULTILINE)
    assert len(rows) - 1 >= len(FORMATS) > 5
