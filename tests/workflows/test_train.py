"""What joins settings to a training."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scenescope.config import DataSettings, LossSettings
from scenescope.data.label_counts import count_pixels
from scenescope.errors import RecipeError
from scenescope.lab import scenes
from scenescope.lab.scenes import ScenesDataset
from scenescope.models.catalog import create_model
from scenescope.workflows.train import create_loss, open_sets


def test_class_weights_come_from_the_training_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "SPLITS", {"train": 3, "val": 2, "test": 4})
    train_set = ScenesDataset("", "train")
    pixels = sum(torch.bincount(torch.from_numpy(train_set[i].labels).flatten(), minlength=8) for i in range(3))
    assert isinstance(pixels, torch.Tensor)
    assert count_pixels(train_set).tolist() == pixels.tolist()
    network = create_model("danet", num_classes=8, backbone="resnet18")
    frequency = pixels / pixels.sum()
    expected = (frequency.median() / frequency).sqrt()
    loss = create_loss(LossSettings(class_weights="sqrt_median_frequency"), network, train_set)
    assert loss.class_weights is not None
    torch.testing.assert_close(loss.class_weights, expected)
    assert create_loss(LossSettings(), network, train_set).class_weights is None


def test_loss_weights_are_the_published_ones_but_for_those_named() -> None:
    network = create_model("danet", num_classes=8, backbone="resnet18")
    loss = create_loss(LossSettings(weights={"channel": 0.25}), network, ScenesDataset())
    assert loss.weights == {"main": 1.0, "position": 1.0, "channel": 0.25}
    for unknown in ("chanel", "stage3"):  # the second is the output of an auxiliary head
        told = rf"loss.weights.{unknown} is given and danet has no such output; it has main, position, channel\."
        with pytest.raises(RecipeError, match=told):
            create_loss(LossSettings(weights={unknown: 1.0}), network, ScenesDataset())


def test_weights_of_dice_and_lovasz_reach_the_loss_and_are_no_outputs() -> None:
    network = create_model("fcn", num_classes=8, backbone="resnet18")
    loss = create_loss(LossSettings(dice=0.5, lovasz=0.25), network, ScenesDataset())
    assert loss.weights == {"main": 1.0, "dice": 0.5, "lovasz": 0.25}
    with pytest.raises(RecipeError, match=r"loss\.weights\.dice is given and fcn has no such output"):
        create_loss(LossSettings(weights={"dice": 0.5}), network, ScenesDataset())


def test_the_choice_of_classes_reaches_both_sets(real_data: Callable[[str], Path]) -> None:
    root = str(real_data("samples") / "coco_stuff164k")
    for choice, number in ((None, 171), (171, 171), ("voc", 21)):
        sets = open_sets(DataSettings("coco_stuff", root, classes=choice))
        assert [(len(scenes), len(scenes.classes)) for scenes in sets] == [(13, number), (8, number)]


def test_the_vote_reaches_the_loss_of_networks_that_it_can_teach() -> None:
    for name in ("danet", "dranet", "sanet"):
        network = create_model(name, num_classes=8, backbone="test_resnet", output_stride=16)
        loss = create_loss(LossSettings(attention=0.5), network, ScenesDataset("", "train"))
        assert loss.weights["attention"] == 0.5
        labels = torch.zeros(2, 128, 128, dtype=torch.uint8)
        terms = loss(network(torch.randn(2, 3, 128, 128)), labels, loss.normalizer(labels))
        assert terms["attention"] >= 0
    for name, options in (("fcn", {}), ("danet", {"position": False})):
        network = create_model(name, num_classes=8, backbone="test_resnet", output_stride=16, **options)
        with pytest.raises(RecipeError, match=rf"loss\.attention=0\.5 teaches .* and this {name} has none"):
            create_loss(LossSettings(attention=0.5), network, ScenesDataset("", "train"))
