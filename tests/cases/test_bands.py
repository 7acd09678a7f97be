"""Images of many bands and more than 8 bit, all the way: folder, check, training, model, prediction, exported file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from scenescope.bands import declared_rule
from scenescope.checkpoints.model_directory import load_model, save_model
from scenescope.checkpoints.start import init_from
from scenescope.data.catalog import open_dataset
from scenescope.errors import DataError, ImageError
from scenescope.evaluation.evaluator import evaluate
from scenescope.explore.trace import attend
from scenescope.inference.exported import load_exported
from scenescope.inference.segmenter import SeenImage, Segmenter
from scenescope.labels import Classes
from scenescope.losses import SegmentationLoss
from scenescope.models.catalog import create_model

Run = Callable[..., Any]
HEIGHT, WIDTH = 48, 64
QUICK = ("train.steps=2", "train.batch_size=2", "train.num_workers=0", "train.warmup_steps=0", "augment.crop=[32,32]",
         "model.backbone=resnet10t", "model.pretrained=false", "model.output_stride=32")  # fmt: skip


def scene(number: int, dtype: str = "uint16", bands: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Labels 0 and 1, and bands of which the last alone shows them."""
    generator = np.random.default_rng(number)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[:, 10 + 3 * number :] = 1
    image = generator.integers(200, 400, (HEIGHT, WIDTH, bands)).astype(dtype)
    image[..., -1] += labels.astype(dtype) * 2000
    return image, labels


@pytest.fixture
def folder(tmp_path: Path, tiff: Callable[..., bytes]) -> Path:
    root = tmp_path / "mine"
    for split, first in (("train", 0), ("val", 4)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(first, first + 2):
            image, labels = scene(number)
            (root / "images" / split / f"{number}.tif").write_bytes(tiff(image, deflated=True))
            Image.fromarray(labels).save(root / "masks" / split / f"{number}.png")
    (root / "classes.yaml").write_text("names: [field, water]\nbands: [0, 1, 2, 3]\nrange: [0, 3000]\n")
    return root


@pytest.fixture
def model(folder: Path, tmp_path: Path, scenescope: Run) -> Path:
    run = tmp_path / "run"
    result = scenescope("train", "folder/danet-lite0", f"data.root={folder}", *QUICK, "--output", run)
    assert result.exit_code == 0, result.output + result.errors
    return run / "best"


def test_logits_are_the_same_from_training_to_the_exported_file(
    folder: Path, model: Path, tmp_path: Path, scenescope: Run
) -> None:
    loaded = load_model(model)
    rule = declared_rule([0, 1, 2, 3], [0, 3000])
    assert loaded.network.band_rule == rule
    assert loaded.network.in_channels == 4
    segmenter = Segmenter(loaded.network, loaded.classes)
    stored, _ = scene(4)
    path = folder / "images/val/4.tif"
    # The same by hand: every number over 3000, and the mean and deviation that the network has.
    by_hand = (torch.tensor(stored / 3000.0).permute(2, 0, 1)[None].float() - _bands(loaded.network.mean)) / _bands(
        loaded.network.std
    )
    with torch.inference_mode():
        expected = loaded.network(by_hand).logits.argmax(1)[0].numpy()
    of_file, of_array = segmenter.predict(path), segmenter.predict(stored)
    of_scene = segmenter.predict(SeenImage(open_dataset("folder", str(folder), "val")[0].image))
    for prediction in (of_file, of_array, of_scene):
        np.testing.assert_array_equal(prediction.labels, expected)
        np.testing.assert_array_equal(prediction.image, np.rint(stored[..., :3] / 3000 * 255).astype(np.uint8))
    np.testing.assert_array_equal(attend(segmenter, path).labels, expected)

    assert scenescope("export", model, tmp_path / "m.onnx").exit_code == 0
    exported = load_exported(tmp_path / "m.onnx")
    assert exported.band_rule == rule
    with torch.inference_mode():
        torch.testing.assert_close(exported(by_hand).logits, loaded.network(by_hand).logits, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(Segmenter(exported, exported.classes).predict(path).labels, expected)


def _bands(numbers: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(numbers).view(1, -1, 1, 1)


def test_the_commands_read_by_the_rule_of_the_model(
    folder: Path, model: Path, tmp_path: Path, scenescope: Run, tiff: Callable[..., bytes]
) -> None:
    (folder / "classes.yaml").write_text("names: [field, water]\n")  # evaluate and attend take the model's rule
    result = scenescope("evaluate", f"folder:{folder}", "--model", model, "--report", tmp_path / "report")
    assert result.exit_code == 0, result.output + result.errors
    given = [folder / "images/val/4.tif", tmp_path / "photo.png", tmp_path / "byte.tif"]
    Image.new("RGB", (40, 30)).save(given[1])
    given[2].write_bytes(tiff(np.zeros((8, 8, 4), np.uint8)))
    result = scenescope("predict", *given, "--model", model, "--output", tmp_path / "out")
    assert result.exit_code == 1
    photo, byte = [line for line in result.errors.splitlines() if line.startswith("failed")]
    expected = "expected are bands 0, 1, 2, 3 (counted from 0) with the range 0 to 3000"
    assert f"photo.png: it has 3 bands of uint8, and {expected}" in photo
    assert "byte.tif: it has 4 bands of uint8, 0 to 255, which is another depth than bands 0, 1, 2, 3" in byte
    result = scenescope("attend", f"folder:{folder}", "--model", model, "--output", tmp_path / "looks")
    assert result.exit_code == 0, result.output + result.errors
    html = tmp_path / "look.html"
    result = scenescope("attend", given[0], "--model", model, "--html", html)
    assert result.exit_code == 0, result.output + result.errors


def test_a_model_of_8_bit_and_data_with_a_rule_are_kept_apart(folder: Path, model: Path) -> None:
    rgb = create_model("fcn", num_classes=2, backbone="resnet10t", output_stride=32).eval()
    with pytest.raises(DataError, match=r"gives bands 0, 1, 2, 3 .*, but the model sees 8-bit RGB"):
        evaluate(rgb, open_dataset("folder", str(folder), "val"))
    segmenter = Segmenter.load(model, "cpu")
    other = open_dataset("folder", str(folder), "val", rule=declared_rule([0, 1, 2, 3], [0, 4000]))
    with pytest.raises(DataError, match=r"the range 0 to 4000, but the model sees .* 0 to 3000"):
        evaluate(segmenter, other)
    with pytest.raises(ImageError, match=r"torch.uint8 is not a batch of images for a network that sees bands 0, 1"):
        segmenter.labels(torch.zeros(1, 4, 32, 32, dtype=torch.uint8))


def test_a_proposal_of_check_followed_makes_the_set_fit(folder: Path, tmp_path: Path, scenescope: Run) -> None:
    (folder / "classes.yaml").write_text("names: [field, water]\n")
    result = scenescope("check", f"folder:{folder}")
    assert result.exit_code == 2
    assert "band 4 of this TIFF is no color, and nothing says what it is; it would be dropped: declare" in result.output
    (proposal,) = [line for line in result.output.splitlines() if "Proposal" in line]
    lines = [part for part in proposal.split("`") if part.startswith(("bands:", "range:"))]
    (folder / "classes.yaml").write_text("names: [field, water]\n" + "\n".join(lines) + "\n")
    declared = yaml.safe_load("\n".join(lines))
    assert declared["bands"] == [0, 1, 2, 3]
    for number, (low, high) in enumerate(declared["range"]):
        numbers = np.concatenate([scene(each)[0][..., number].ravel() for each in (0, 1, 4, 5)])
        assert low == pytest.approx(np.percentile(numbers, 1), abs=10)
        assert high == pytest.approx(np.percentile(numbers, 99), abs=10)
    result = scenescope("check", f"folder:{folder}", "--output", tmp_path / "checked")
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "checked/check.json").read_text())["splits"][0]["bands"]
    assert [(each["bands"], each["type"], each["images"]) for each in told] == [(4, "uint16", 2)]
    assert "lie outside" not in result.output


def test_much_that_is_cut_is_told(folder: Path, scenescope: Run) -> None:
    (folder / "classes.yaml").write_text("names: [field, water]\nbands: [0, 3]\nrange: [0, 1000]\n")
    result = scenescope("check", f"folder:{folder}")
    share = np.mean([scene(number)[1] for number in (0, 1)])
    assert f"train: {share:.0%} of the numbers of band 3 lie outside 0 to 1000." in result.output
    assert "of the numbers of band 0" not in result.output


def test_another_recipe_is_no_other_number_of_bands(folder: Path, tmp_path: Path, scenescope: Run) -> None:
    recipe = ("train", "folder/danet-lite0", f"data.root={folder}", *QUICK, "--output", tmp_path / "run")
    result = scenescope(*recipe, "model.in_channels=5")
    assert result.exit_code == 2
    assert "model.in_channels is 5, but the data give bands 0, 1, 2, 3" in result.errors
    result = scenescope(*recipe, "data.range=[3000,0]")
    assert result.exit_code == 2
    assert "the smaller one first" in result.errors
    # The recipe replaces what the file says, and a resumed run takes no other.
    assert scenescope(*recipe, "data.bands=[3]", "data.range=[0,2500]").exit_code == 0
    assert load_model(tmp_path / "run/best").network.band_rule == declared_rule([3], [0, 2500])
    (folder / "classes.yaml").write_text("names: [field, water]\nbands: [3]\nrange: [0, 2500]\n")


def test_data_of_another_range_do_not_go_on(folder: Path, model: Path, tmp_path: Path, scenescope: Run) -> None:
    (folder / "classes.yaml").write_text("names: [field, water]\nbands: [0, 1, 2, 3]\nrange: [0, 4000]\n")
    result = scenescope("train", "folder/danet-lite0", f"data.root={folder}", *QUICK, "train.steps=3",
                        "--output", model.parent, "--resume")  # fmt: skip
    assert result.exit_code == 2
    assert "images were bands 0, 1, 2, 3 (counted from 0) with the range 0 to 3000 and are" in result.errors


def test_pixels_without_data_change_no_loss_and_have_no_class(tmp_path: Path, tiff: Callable[..., bytes]) -> None:
    root = tmp_path / "mine"
    for kind in ("images/train", "masks/train"):
        (root / kind).mkdir(parents=True)
    image, labels = scene(0, "float32")
    image[5:20, 7:30, 2] = np.nan
    (root / "images/train/0.tif").write_bytes(tiff(image))
    (root / "classes.yaml").write_text("names: [field, water]\nbands: [0, 1, 2, 3]\nrange: [0, 3000]\n")
    torch.manual_seed(0)
    network = create_model("fcn", num_classes=2, backbone="resnet10t", output_stride=32, in_channels=4)
    network.band_rule = declared_rule([0, 1, 2, 3], [0, 3000])
    losses = []
    for value in (0, 1):
        labels[5:20, 7:30] = value
        Image.fromarray(labels).save(root / "masks/train/0.png")
        read = open_dataset("folder", str(root), "train")[0]
        assert (read.labels[5:20, 7:30] == 255).all()
        assert (read.labels == 255).sum() == 15 * 23
        prepared = network.prepare(torch.from_numpy(read.image).permute(2, 0, 1)[None])
        assert (prepared[:, :, 5:20, 7:30] == 0).all()  # the mean
        with torch.no_grad():
            truth = torch.from_numpy(read.labels)[None]
            output = network.eval()(prepared)
            losses.append(SegmentationLoss()(output, truth, SegmentationLoss().normalizer(truth))["total"].item())
    assert losses[0] == losses[1]
    segmenter = Segmenter(network.eval(), Classes.named(["field", "water"]))
    for asked in (False, True):
        prediction = segmenter.predict(root / "images/train/0.tif", probabilities=asked)
        assert (prediction.labels == 255).sum() == 15 * 23
        assert (prediction.labels[5:20, 7:30] == 255).all()
        assert sum(prediction.shares().values()) == pytest.approx(1)
    prediction.overlay()


def test_models_side_by_side_see_alike(folder: Path, model: Path, tmp_path: Path, scenescope: Run) -> None:
    save_model(create_model("fcn", num_classes=2, backbone="resnet10t", output_stride=32), ["a", "b"], tmp_path / "rgb")
    result = scenescope("attend", folder / "images/val/4.tif", "--model", model, "--against", tmp_path / "rgb",
                        "--output", tmp_path / "out")  # fmt: skip
    assert result.exit_code == 2
    assert "sees 8-bit RGB, and the first bands 0, 1, 2, 3" in result.errors


def test_a_model_of_rgb_is_a_start_for_four_bands(folder: Path, tmp_path: Path, scenescope: Run) -> None:
    rgb = create_model(
        "fcn", num_classes=2, backbone="resnet10t", output_stride=32, refinement_channels=4, dropout=0.0
    ).eval()
    classes = Classes.named(["field", "water"])
    save_model(rgb, classes, tmp_path / "rgb")
    four = create_model(**(rgb.config | {"in_channels": 4})).eval()
    assert init_from(four, tmp_path / "rgb", classes) == [
        "Its layers that see the image, made for 3 bands, were repeated for 4."
    ]
    # Where the fourth band is as red is, after the mean is taken off, red counts twice and all by three quarters.
    first = next(module for module in rgb.modules() if isinstance(module, torch.nn.Conv2d))
    widened = next(module for module in four.modules() if isinstance(module, torch.nn.Conv2d))
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = 0.75 * first(images * torch.tensor([2.0, 1, 1]).view(1, 3, 1, 1))
        torch.testing.assert_close(widened(torch.cat([images, images[:, :1]], dim=1)), expected)
