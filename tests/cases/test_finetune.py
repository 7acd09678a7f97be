"""Fine-tuning, backbones and checkpoints of others, as people have tried them with tools like this one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import scenescope as package
from scenescope.checkpoints.find import models_in_box
from scenescope.checkpoints.model_directory import load_model, read_tensors, save_model
from scenescope.data.images import read_image
from scenescope.files import CHECKSUMS
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from tests.checkpoints.test_convert import small

Run = Callable[..., Any]
NAMES = ("road", "door", "car", "wall", "sky")
STILL = ("train.steps=1", "train.batch_size=2", "train.num_workers=0", "train.warmup_steps=0", "augment.crop=[64,64]",
         "train.lr=1e-12", "train.ema_decay=null", "train.precision=float32")  # fmt: skip
"""One step that changes nothing: what is in the model afterwards is what the training started from."""
TINY = ("model.backbone=test_resnet", "model.output_stride=32", "model.pretrained=false")


def write_folder(root: Path, names: tuple[str, ...] = NAMES, size: tuple[int, int] = (96, 64)) -> Path:
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(2):
            mask = generator.integers(0, len(names), (size[1], size[0]), dtype=np.uint8)
            image = np.stack([mask * 30, 255 - mask * 30, mask * 10], axis=2).astype(np.uint8)
            Image.fromarray(image).save(root / "images" / split / f"{number}.png")
            Image.fromarray(mask).save(root / "masks" / split / f"{number}.png")
    (root / "classes.yaml").write_text(f"names: [{', '.join(names)}]\n")
    return root


def tiny_model(place: Path, name: str, names: tuple[str, ...] = ("sky", "road", "car"), **options: Any) -> Path:
    network = create_model(name, num_classes=len(names), backbone="test_resnet", output_stride=32, **options)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    save_model(network, names, place)
    return place


@pytest.mark.parametrize(
    ("name", "settings", "options"),
    [
        (
            "sanet",
            ("model.options={prediction: mask}", "model.refinement_channels=5"),
            {"prediction": "mask", "refinement_channels": 5},
        ),
        (
            "danet",
            ("model.options={low_level_channels: 4}", "model.refinement_channels=5"),
            {"low_level_channels": 4, "refinement_channels": 5},
        ),
    ],
)
def test_a_model_of_three_classes_is_trained_on_five(
    name: str, settings: tuple[str, ...], options: dict[str, Any], tmp_path: Path, scenescope: Run
) -> None:
    """lightly-train#601, FetalNet#4: a checkpoint is fine-tuned on data with another number of classes."""
    root, model = write_folder(tmp_path / "mine"), tiny_model(tmp_path / "model", name, **options)
    arguments = ("train", "folder/danet-lite0", f"data.root={root}", f"model.name={name}", *settings, *TINY, *STILL,
                 f"train.init_from={model}")  # fmt: skip
    assert scenescope(*arguments, "--dry-run").exit_code == 0
    done = scenescope(*arguments, "--output", tmp_path / "run")
    assert done.exit_code == 0, done.errors
    told = " ".join(f"{done.output} {done.errors}".split())
    assert "3 of its 3 classes taken by name; new: door, wall." in told
    before, after = (read_tensors(place / "model.safetensors") for place in (model, tmp_path / "run/last"))
    correct = "refinement.correct.bias"
    for ours, theirs in ((0, 1), (2, 2), (4, 0)):  # road, car, sky
        torch.testing.assert_close(after[correct][ours], before[correct][theirs], atol=1e-6, rtol=0)


@pytest.mark.skipif(not models_in_box(), reason="the models in the box are not installed (pip install ./box)")
@pytest.mark.parametrize("name", ["danet", "sanet"])
def test_a_model_in_the_box_is_trained_on_a_folder_of_ones_own_by_one_command(
    name: str, tmp_path: Path, scenescope: Run
) -> None:
    """The box was refused for every number of classes but its own."""
    root = write_folder(tmp_path / "mine", ("car", "door", "sky"))
    done = scenescope("train", f"folder/finetune-{name}", f"data.root={root}", *STILL, "--output", tmp_path / "run")
    assert done.exit_code == 0, done.errors
    told = " ".join(f"{done.output} {done.errors}".split())
    assert "2 of its 11 classes taken by name; new: door." in told
    box = load_model(f"camvid-{name}-lite0")
    after = read_tensors(tmp_path / "run/last/model.safetensors")
    source = box.network.state_dict()["refinement.correct.weight"]
    for ours, theirs in ((0, box.classes.names.index("Car")), (2, box.classes.names.index("Sky"))):
        torch.testing.assert_close(after["refinement.correct.weight"][ours], source[theirs], atol=1e-6, rtol=0)


def test_another_network_starts_from_the_backbone_of_a_model(tmp_path: Path, scenescope: Run) -> None:
    """lightly-train's ``backbone_weights``: what a backbone has learnt is used under another head."""
    root, model = write_folder(tmp_path / "mine"), tiny_model(tmp_path / "model", "danet")
    arguments = ("train", "folder/danet-lite0", f"data.root={root}", "model.name=fcn", *TINY, *STILL,
                 f"train.init_from={model}")  # fmt: skip
    for ending in (("--dry-run",), ("--output", tmp_path / "run")):
        refused = scenescope(*arguments, *ending)
        assert refused.exit_code == 2
        (line,) = refused.errors.splitlines()
        assert "add train.take=backbone" in line
        assert not (tmp_path / "run").exists()
    done = scenescope(*arguments, "train.take=backbone", "--output", tmp_path / "run")
    assert done.exit_code == 0, done.errors
    before, after = (read_tensors(place / "model.safetensors") for place in (model, tmp_path / "run/last"))
    key = (
        "backbone.stages.conv1.0.weight"
        if "backbone.stages.conv1.0.weight" in before
        else "backbone.stages.conv1.weight"
    )
    torch.testing.assert_close(after[key], before[key], atol=1e-6, rtol=0)


def test_a_backbone_without_a_model_to_take_it_from_is_no_setting(tmp_path: Path, scenescope: Run) -> None:
    refused = scenescope("train", "folder/danet-lite0", f"data.root={tmp_path}", "train.take=backbone", "--dry-run")
    assert refused.exit_code == 2
    assert "Give train.init_from=MODEL too" in refused.errors


@pytest.mark.parametrize(
    "backbone", ["hrnet_w18_small", "dla46_c", "densenet121", "pvt_v2_b0", "edgenext_xx_small", "mambaout_femto"]
)
def test_any_backbone_answers_for_any_size_of_image(backbone: str) -> None:
    """smp#1184, DeepLabV3Plus-Pytorch#86, simple-HRNet#16: refused for a keyword, or dead on most sizes."""
    network = create_model("fcn", num_classes=3, backbone=backbone, output_stride=32).eval()
    with torch.no_grad():
        for height, width in ((75, 101), (31, 33), (64, 96)):
            logits = network(torch.randn(1, 3, height, width)).logits
            assert logits.shape == (1, 3, height, width)
            assert logits.isfinite().all()


def test_a_vision_transformer_without_stages_is_refused_with_the_reason(tmp_path: Path, scenescope: Run) -> None:
    root = write_folder(tmp_path / "mine")
    refused = scenescope("train", "folder/danet-lite0", f"data.root={root}", "model.backbone=vit_tiny_patch16_224",
                         "--dry-run")  # fmt: skip
    assert refused.exit_code == 2
    (line,) = refused.errors.splitlines()
    assert "gives one stride only (16)" in line


@pytest.mark.parametrize("backbone", ["convnext_atto", "swin_tiny_patch4_window7_224"])
def test_a_dry_run_counts_the_memory_of_any_backbone(backbone: str, tmp_path: Path, scenescope: Run) -> None:
    """Such networks read numbers from tensors while they are built, which ended a dry run with a traceback."""
    done = scenescope("train", "folder/danet-lite0", f"data.root={write_folder(tmp_path / 'mine')}", "model.name=fcn",
                      f"model.backbone={backbone}", "model.output_stride=32", "--dry-run")  # fmt: skip
    assert done.exit_code == 0, done.errors
    assert "Memory:" in done.output


def wrapped(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


WRITTEN: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "compiled": lambda state: wrapped(state, "_orig_mod."),
    "compiled and parallel": lambda state: {"state_dict": wrapped(state, "module._orig_mod.")},
    "Lightning": lambda state: {"state_dict": wrapped(state, "model."), "pytorch-lightning_version": "2.2.0"},
    "averaged alone": lambda state: {"state_dict_ema": wrapped(state, "module.")},
    "mmcv's average": lambda state: {
        "state_dict": state | {f"ema_{key.replace('.', '_')}": value + 1 for key, value in state.items()}
    },
}


@pytest.mark.parametrize("kind", [*WRITTEN, "safetensors"])
def test_a_checkpoint_is_converted_however_it_was_saved(kind: str, tmp_path: Path, scenescope: Run) -> None:
    """Lightning#17415, OpenTAD#44, mmengine#1678: wrappers and averages put their own words in front of the keys."""
    state = dict(small())
    if kind == "safetensors":
        save_file(state, tmp_path / "checkpoint")
    else:
        torch.save(WRITTEN[kind](state), tmp_path / "checkpoint")
    done = scenescope("convert", tmp_path / "checkpoint", tmp_path / "model", "--set", "output_stride=32")
    assert done.exit_code == 0, done.errors
    weights = load_model(tmp_path / "model").network.state_dict()
    assert torch.equal(weights["head.classifier.1.weight"], state["decode_head.conv_seg.weight"])


def test_a_network_of_ones_own_loop_becomes_a_model(tmp_path: Path, scenescope: Run) -> None:
    """mmengine#1678 and others: trained outside of the tool, and then no way into it."""
    network = create_model("fcn", num_classes=3, backbone="test_resnet", output_stride=32)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    labels = torch.randint(0, 3, (2, 64, 64))
    torch.nn.functional.cross_entropy(network(network.prepare(images)).logits, labels).backward()
    optimizer.step()
    package.save_model(network, ["sky", "road", "car"], tmp_path / "model")
    Image.fromarray(images[0].permute(1, 2, 0).numpy()).save(tmp_path / "a.png")
    done = scenescope("predict", tmp_path / "a.png", "--model", tmp_path / "model", "--output", tmp_path / "out")
    assert done.exit_code == 0, done.errors
    with torch.no_grad():
        expected = network.eval()(network.prepare(images[:1])).logits.argmax(1)[0]
    segmenter = package.Segmenter.load(tmp_path / "model", "cpu")
    assert segmenter.classes == Classes.named(["sky", "road", "car"])
    assert (segmenter.predict(read_image(tmp_path / "a.png")).labels == expected.numpy()).mean() > 0.999


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "convnext_xxlarge"},
        {"backbone": "regnety_1280"},
        {"refinement_channels": 10**6},
        {"refinement_channels": 10**13},
    ],
)
def test_a_small_file_that_announces_a_huge_network_is_one_line(
    change: dict[str, Any], tmp_path: Path, scenescope: Run
) -> None:
    model = tiny_model(tmp_path / "model", "fcn")
    (model / CHECKSUMS).unlink()
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model": config["model"] | change}))
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    refused = scenescope("predict", tmp_path / "a.png", "--model", model, "--output", tmp_path / "out")
    assert refused.exit_code == 2
    (line,) = refused.errors.splitlines()
    assert "config.json" in line
    assert not (tmp_path / "out").exists()
