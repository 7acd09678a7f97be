"""The recipes with published settings against the numbers of their sources.

DANet: the paper, the official code of 2018 and the author's answers in its issues. SANet: the paper, section 4, and
where it is silent PyTorch-Encoding. mmsegmentation: its DANet configurations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from scenescope.config import SETTINGS
from scenescope.inference.settings import PROTOCOLS
from scenescope.recipes.reader import list_recipes, load_recipe

TRAINING_IMAGES = {
    ("cityscapes", "train"): 2975,
    ("voc2012", "trainaug"): 10_582,
    ("voc2012", "trainval"): 2913,
    ("pascal_context", "train"): 4998,
    ("coco_stuff", "train"): 9000,
}
COCO_164K = 118_287
DANET_LOSSES = {"main": 1.0, "position": 1.0, "channel": 1.0}


@dataclass(frozen=True)
class Published:
    """What a source says; the fields that all recipes of one source share have defaults below."""

    crop: tuple[int, int]
    batch: int
    rate: float
    epochs: int | None = None
    steps: int | None = None
    classes: int | str | None = None
    images: int | None = None


OFFICIAL: dict[str, Published] = {
    "cityscapes/danet": Published((768, 768), 8, 0.003, epochs=240),
    "voc2012/danet": Published((576, 576), 16, 0.001, epochs=240),
    "pascal_context/danet": Published((576, 576), 16, 0.001, epochs=240, classes=60),
    "coco_stuff/danet": Published((576, 576), 16, 0.001, epochs=180),
}
MMSEG: dict[str, Published] = {
    "cityscapes/danet": Published((512, 1024), 8, 0.01, steps=40_000),
    "ade20k/danet": Published((512, 512), 16, 0.01, steps=80_000),
    "voc2012/danet": Published((512, 512), 16, 0.01, steps=20_000),
}
SANET: dict[str, Published] = {
    "pascal_context/sanet-{}": Published((480, 480), 16, 0.001, epochs=80, classes=59),
    "coco_stuff/sanet-{}-voc": Published((480, 480), 16, 0.004, epochs=30, classes="voc", images=COCO_164K),
    "voc2012/sanet-{}": Published((480, 480), 16, 0.001, epochs=80),
    "voc2012/sanet-{}-trainval": Published((480, 480), 16, 0.0001, epochs=50),
}

# Name, what is published, stem and depth, and what the source always does.
CASES: list[tuple[str, Published, dict[str, Any]]] = [
    *(
        (
            f"{name}-r{depth}",
            published,
            {
                "model.name": "danet",
                "model.backbone": f"resnet{depth}.tv_in1k",  # the 7 x 7 stem
                "model.multi_grid": (4, 8, 16),
                "model.align_corners": True,
                "model.options": {},
                "loss.weights": DANET_LOSSES,
                "train.head_lr_mult": 10,
                "train.weight_decay": 1e-4,
                "train.min_lr": 0,
            },
        )
        for name, published in OFFICIAL.items()
        for depth in (50, 101)
    ),
    *(
        (
            f"{name}-r{depth}-mmseg",
            published,
            {
                "model.name": "danet",
                "model.backbone": f"resnet{depth}c.gluon_in1k",  # the V1c stem
                "model.multi_grid": None,
                "model.align_corners": False,
                "model.options": {"auxiliary_head": True},
                "loss.weights": DANET_LOSSES | {"stage3": 0.4},
                "train.head_lr_mult": 1,
                "train.weight_decay": 5e-4,
                "train.min_lr": 1e-4,
            },
        )
        for name, published in MMSEG.items()
        for depth in (50, 101)
    ),
    *(
        (
            name.format(short),
            published,
            {
                "model.name": "sanet",
                "model.backbone": backbone,
                "model.multi_grid": None,
                "model.align_corners": True,
                "model.options": {},
                "loss.weights": {"main": 0.8, "mask": 1.0, "categorical": 0.2},
                "train.head_lr_mult": 10,
                "train.weight_decay": 1e-4,
                "train.min_lr": 0,
            },
        )
        for name, published in SANET.items()
        for short, backbone in {
            "r50": "resnet50s.gluon_in1k",  # the deep stem, 128 wide
            "r101": "resnet101s.gluon_in1k",
            "b7": "tf_efficientnet_b7.aa_in1k",
        }.items()
    ),
]
SCORES = {
    "cityscapes/danet-r50": ("76.34",),
    "cityscapes/danet-r101": ("79.93", "81.49"),
    "cityscapes/danet-r50-mmseg": ("78.74", "79.34", "78.88", "79.27"),
    "cityscapes/danet-r101-mmseg": ("80.52", "80.41", "79.88", "80.47"),
    "ade20k/danet-r50-mmseg": ("41.66", "42.45", "42.90", "43.25"),
    "ade20k/danet-r101-mmseg": ("43.64", "44.17", "45.19", "45.02"),
    "voc2012/danet-r50": ("79.0",),
    "voc2012/danet-r101": ("80.4", "82.6"),
    "voc2012/danet-r50-mmseg": ("74.45", "76.37", "75.69", "77.29"),
    "voc2012/danet-r101-mmseg": ("76.02", "76.51", "77.23", "77.32"),
    "pascal_context/danet-r50": ("50.1",),
    "pascal_context/danet-r101": ("52.6",),
    "coco_stuff/danet-r50": ("37.2",),
    "coco_stuff/danet-r101": ("39.7",),
    "pascal_context/sanet-r50": ("51.9", "79.3"),
    "pascal_context/sanet-r101": ("53.0", "80.6", "52.1"),
    "pascal_context/sanet-b7": ("55.3", "81.6", "54.4"),
    "coco_stuff/sanet-r101-voc": ("86.1",),
    "voc2012/sanet-r101": ("83.2", "86.1"),
    "voc2012/sanet-r101-trainval": ("83.2", "86.1"),
}


@pytest.mark.parametrize(("name", "published", "always"), CASES, ids=[case[0] for case in CASES])
def test_a_recipe_has_the_published_settings(name: str, published: Published, always: dict[str, Any]) -> None:
    recipe = load_recipe(name)
    found = {key: getattr(getattr(recipe, key.split(".")[0]), key.split(".")[1]) for key in always}
    assert found == always
    assert recipe.model.pretrained
    assert recipe.model.output_stride == (16 if name.partition("sanet-")[2].startswith("b7") else 8)
    assert (recipe.augment.crop, recipe.augment.flip) == (published.crop, 0.5)
    assert recipe.augment.max_class_share == (0.75 if name.endswith("-mmseg") else 1.0)
    train, data = recipe.train, recipe.data
    assert (train.batch_size, train.lr, data.classes) == (published.batch, published.rate, published.classes)
    assert (train.optimizer, train.momentum, train.poly_power, train.norm) == ("sgd", 0.9, 0.9, "sync")
    assert (train.warmup_steps, train.grad_clip_norm, train.precision) == (0, None, "float32")
    if published.epochs is None:
        assert train.steps == published.steps
    else:
        images = published.images or TRAINING_IMAGES[data.kind, data.train_split]
        assert train.steps == published.epochs * (images // published.batch)


def test_scales_are_those_of_the_base_sizes() -> None:
    """The codes draw the size of a side, in pixels; a recipe draws a scale of the side that most images have."""
    sides = {
        "cityscapes/danet-r101": (0.75 * 1024, 2 * 1024, 1024),
        "voc2012/danet-r101": (0.75 * 608, 2 * 608, 375),
        "pascal_context/danet-r101": (0.75 * 608, 2 * 608, 375),
        "coco_stuff/danet-r101": (0.75 * 608, 2 * 608, 453),
        "cityscapes/danet-r101-mmseg": (0.5 * 1024, 2 * 1024, 1024),
        "ade20k/danet-r101-mmseg": (0.5 * 512, 2 * 512, 512),
        "voc2012/danet-r101-mmseg": (0.5 * 512, 2 * 512, 375),
        "pascal_context/sanet-r101": (0.5 * 520, 2 * 520, 500),
        "voc2012/sanet-r101": (0.5 * 520, 2 * 520, 500),
        "voc2012/sanet-r101-trainval": (0.5 * 520, 2 * 520, 500),
        "coco_stuff/sanet-r101-voc": (0.5 * 520, 2 * 520, 640),
    }
    for name, (smallest, largest, side) in sides.items():
        expected = pytest.approx((smallest / side, largest / side), abs=0.02)
        assert load_recipe(name).augment.scale == expected, name


def test_recipes_of_one_family_differ_in_nothing_else() -> None:
    """A recipe is whole, so that one screen says all; this keeps those of one family from drifting apart."""
    for name in list_recipes():
        backbones = {"r50": {"model.backbone"}, "b7": {"model.backbone", "model.output_stride"}}
        for short, differing in backbones.items():
            if f"-{short}" in name:
                assert changed(name.replace(f"-{short}", "-r101"), name) == differing, name
        if name.endswith("-lite0") and not name.startswith("folder/"):
            danet = f"{name.partition('/')[0]}/danet-lite0"
            assert changed(danet, name) == ({"model.name"} if name != danet else set()), name


def changed(name: str, other: str) -> set[str]:
    return load_recipe(name).changed(load_recipe(other))


def test_the_comments_hold_the_published_scores_and_claim_no_more() -> None:
    for name, _, _ in CASES:
        comment = list_recipes()[name]
        expected = SCORES.get(name, ())
        assert "not trained here" in comment, name
        assert "Hardware: " in comment, name
        # A user's score beside a published one would be read as published; so its line says whose it is.
        lines = [line for line in comment.splitlines() if not re.search(r"[Uu]ser", line)]
        found = set(re.findall(r"\b\d\d\.\d{1,2}\b(?! GB)", "\n".join(lines)))
        assert found <= set(expected), name
        assert set(expected) <= set(re.findall(r"\b\d\d\.\d{1,2}\b", comment)), name


@pytest.mark.parametrize("name", list_recipes())
def test_what_a_comment_tells_to_type_exists(name: str) -> None:
    comment = list_recipes()[name]
    for override in re.findall(r"\b[a-z_]+\.[a-z_]+=(?:\[.*?\]|[\w./]+)", comment):
        assert override.partition("=")[0] in SETTINGS
        load_recipe(name, [override])
    for protocol in re.findall(r"--protocol ([a-z-]+)", comment):
        assert protocol in PROTOCOLS
    kinds = "|".join({each.partition("/")[0] for each in list_recipes()})
    assert set(re.findall(rf"(?<![\w/])(?:{kinds})/[\w-]+", comment)) <= set(list_recipes())
