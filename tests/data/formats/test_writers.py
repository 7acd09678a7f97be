"""Label maps that are written, and drawn again from what was written by the rule of the tool that it is for."""

import csv
import io
import itertools
import json
import weakref
from pathlib import Path

import numpy as np
import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from scenescope.data.formats.labeled_image import LabeledImage, color_of, hexadecimal
from scenescope.data.formats.opencv_polygon import opencv_polygon
from scenescope.data.formats.regions import Regions
from scenescope.data.formats.writers import KINDS
from scenescope.errors import DataError
from scenescope.labels import Classes
from scenescope.yaml_reader import parse_yaml

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools and numpy 2

CLASSES = Classes.named(["road", "sky & <sea>", "=1+1", 'a "car"'])
LABELS = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 0, 0, 1, 2, 3, 255])
)
TARGET = Path("out/kind/a.txt")


def written(kind, labels, file_name="sub/a.jpg", classes=CLASSES):
    image = LabeledImage(Path("photos") / file_name, file_name, Regions(labels), classes)
    return "".join(KINDS[kind].write(image, TARGET))


def by_coco(segmentation, height, width):
    runs = coco.frPyObjects(segmentation, height, width)
    return coco.decode(coco.merge(runs) if isinstance(runs, list) else runs).astype(bool)


def painted(shapes, shape):
    """A label map of (label, mask) that do not overlap."""
    labels = np.full(shape, 255, np.uint8)
    for label, mask in shapes:
        assert (labels[mask] == 255).all()
        labels[mask] = label
    return labels


def of_coco(text, height, width):
    for annotation in json.loads(text)["annotations"]:
        mask = by_coco(annotation["segmentation"], height, width)
        y, x = np.nonzero(mask)
        left, top, across, down = annotation["bbox"]
        assert (left, top, left + across, top + down) == (x.min(), y.min(), x.max() + 1, y.max() + 1)
        assert annotation["area"] == mask.sum()
        yield annotation["category_id"] - 1, mask


def of_labelme(text, height, width):
    for shape in json.loads(text)["shapes"]:
        canvas = Image.new("L", (width, height))
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in shape["points"]], outline=1, fill=1)
        yield CLASSES.names.index(shape["label"]), np.array(canvas) > 0


def of_cvat(text, height, width):
    for polygon in ElementTree.fromstring(text).iter("polygon"):
        points = [float(part) for point in polygon.get("points").split(";") for part in point.split(",")]
        yield CLASSES.names.index(polygon.get("label")), by_coco([points], height, width)


def of_label_studio(text, height, width):
    for result in json.loads(text)[0]["predictions"][0]["result"]:
        points = [part / 100 * side for x, y in result["value"]["points"] for part, side in ((x, width), (y, height))]
        assert (result["original_width"], result["original_height"]) == (width, height)
        yield CLASSES.names.index(result["value"]["polygonlabels"][0]), by_coco([points], height, width)


def of_yolo(text, height, width):
    for line in text.splitlines():
        label, *shares = line.split()
        points = np.array(shares, np.float32).reshape(-1, 2) * np.array([width, height], np.float32)
        yield int(label), opencv_polygon([tuple(point) for point in points.astype(np.int32).tolist()], height, width)


def of_geojson(text, height, width):
    for feature in json.loads(text)["features"]:
        mask = np.zeros((height, width), bool)
        for y, x in np.ndindex(height, width):
            for ring in feature["geometry"]["coordinates"]:
                assert ring[0] == ring[-1]
                for (x0, y0), (_, y1) in itertools.pairwise(ring):
                    mask[y, x] ^= x0 > x and min(y0, y1) < y + 0.5 < max(y0, y1)
        assert feature["properties"]["area"] == mask.sum()
        yield CLASSES.names.index(feature["properties"]["class"]), mask


DRAWN = {
    "coco": of_coco,
    "coco-rle": of_coco,
    "labelme": of_labelme,
    "cvat": of_cvat,
    "label-studio": of_label_studio,
    "yolo": of_yolo,
    "geojson": of_geojson,
}


@pytest.mark.parametrize("kind", DRAWN)
@given(labels=LABELS)
def test_drawn_again_as_the_tool_does_the_labels_are_the_same(kind, labels):
    np.testing.assert_array_equal(
        painted(DRAWN[kind](written(kind, labels), *labels.shape), labels.shape), np.where(labels > 3, 255, labels)
    )


def test_coco_of_four_pixels_by_hand():
    content = json.loads(written("coco", np.array([[0, 0], [3, 0]], np.uint8)))
    assert content["images"] == [{"id": 1, "file_name": "sub/a.jpg", "width": 2, "height": 2}]
    assert [category["name"] for category in content["categories"]] == list(CLASSES.names)
    first, second = content["annotations"]
    assert (first["category_id"], first["area"], first["bbox"]) == (1, 3, [0, 0, 2, 2])
    assert first["segmentation"] == [[0, 0, 2, 0, 2, 2, 1, 2, 1, 1, 0, 1]]
    assert (second["category_id"], second["area"], second["bbox"]) == (4, 1, [0, 1, 1, 1])
    runs = json.loads(written("coco-rle", np.array([[0, 0], [3, 0]], np.uint8)))["annotations"]
    # Down the first column, then down the second.
    assert [each["segmentation"]["counts"] for each in runs] == [[0, 1, 1, 2, 0], [1, 1, 2]]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].joined])
def test_many_images_in_one_file(kind):
    parts = [written(kind, np.array([[0, 1]], np.uint8), name) for name in ("a.jpg", "<b>.jpg", "c.jpg")]
    texts = {name: "".join(join(iter(parts), CLASSES)) for name, join in KINDS[kind].joined.items()}
    (text,) = [text for name, text in texts.items() if not name.endswith("studio.xml")]
    if kind.startswith("coco"):
        content = json.loads(text)
        assert [image["file_name"] for image in content["images"]] == ["a.jpg", "<b>.jpg", "c.jpg"]
        assert [image["id"] for image in content["images"]] == [1, 2, 3]
        assert [each["id"] for each in content["annotations"]] == [1, 2, 3, 4, 5, 6]
        assert [each["image_id"] for each in content["annotations"]] == [1, 1, 2, 2, 3, 3]
    elif kind == "cvat":
        images = list(ElementTree.fromstring(text).iter("image"))
        assert [(image.get("id"), image.get("name"), len(image)) for image in images] == [
            ("0", "a.jpg", 2),
            ("1", "<b>.jpg", 2),
            ("2", "c.jpg", 2),
        ]
        names = [label.text for label in ElementTree.fromstring(text).findall("meta/task/labels/label/name")]
        assert names == list(CLASSES.names)
    elif kind == "label-studio":
        addresses = [task["data"]["image"] for task in json.loads(text)]
        assert addresses[1] == "/data/local-files/?d=%3Cb%3E.jpg"
        labels = ElementTree.fromstring(texts["label-studio.xml"]).iter("Label")
        assert [label.get("value") for label in labels] == list(CLASSES.names)
    elif kind == "labelme":
        assert text.splitlines() == list(CLASSES.names)
    elif kind == "yolo":
        content = parse_yaml(text, "data.yaml", DataError)
        assert list(content["names"].values()) == list(CLASSES.names)
    else:
        lines = list(csv.reader(io.StringIO(text)))
        assert lines[0][:3] == ["image", "class", "area"]
        assert [line[0] for line in lines[1:]] == ["a.jpg", "a.jpg", "<b>.jpg", "<b>.jpg", "c.jpg", "c.jpg"]


class Part(str):
    """A text that can be watched."""


@pytest.mark.parametrize("kind", ["coco", "cvat", "label-studio", "regions"])
def test_one_image_is_held_at_a_time(kind):
    held = []

    def parts():
        for _ in range(5):
            # The last may still have its name when the next is asked for.
            assert sum(each() is not None for each in held) <= 1
            part = Part(written(kind, np.array([[0, 1]], np.uint8)))
            held.append(weakref.ref(part))
            yield part
            del part

    join = next(iter(KINDS[kind].joined.values()))
    for _ in join(parts(), CLASSES):
        pass
    assert len(held) == 5


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].joined])
def test_no_image_is_a_whole_file_as_well(kind):
    for name, join in KINDS[kind].joined.items():
        text = "".join(join(iter(()), CLASSES))
        if name.endswith("json"):
            whole = json.loads(text)
            assert not (whole if isinstance(whole, list) else [*whole["images"], *whole["annotations"]])
        elif name.endswith("xml"):
            assert ElementTree.fromstring(text).find(".//image") is None
        else:
            assert "a.jpg" not in text


def test_a_line_of_regions_by_hand_runs_no_formula():
    lines = list(csv.reader(io.StringIO(written("regions", np.array([[0, 2]], np.uint8), "-a.jpg"))))
    assert lines[1:] == [
        ["'-a.jpg", "road", "1", "0", "0", "1", "1", "0.50", "0.50", ""],
        ["'-a.jpg", "'=1+1", "1", "1", "0", "2", "1", "1.50", "0.50", ""],
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_strangers_break_no_file(kind):
    odd = 'a\x1b[31m\udcff]]></x>"\n=HYPERLINK'
    classes = Classes.named([odd])
    parts = [written(kind, np.zeros((1, 1), np.uint8), odd, classes)]
    texts = [*parts, *("".join(join(iter(parts), classes)) for join in KINDS[kind].joined.values())]
    for text in texts:
        text = text.encode(errors="backslashreplace").decode()
        if text.startswith("<"):
            assert len(list(ElementTree.fromstring(text).iter())) < 12
        elif text.startswith(("{", "[")):
            json.loads(text)


def test_labelme_finds_the_image_from_where_its_file_lies():
    told = json.loads(written("labelme", np.zeros((1, 1), np.uint8)))
    assert told["imagePath"] == "../../photos/sub/a.jpg"
    assert told["imageData"] is None


def test_colors_as_text_are_those_written_and_no_others():
    assert color_of(hexadecimal((255, 0, 10))) == (255, 0, 10)
    assert [color_of(text) for text in ("#-1-1-1", "#+1+1+1", "#fff", "ff000a", "#ff000g", "#ff000a\n", None, 7)] == [
        None
    ] * 8
