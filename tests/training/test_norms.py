"""Synchronized and frozen norms."""

import pytest
import torch
from torch import nn

from scenescope.models.catalog import create_model
from scenescope.training.norms import prepare_norms


@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0"])
def test_synchronized_norms_replace_all_others_and_keep_their_values(backbone: str) -> None:
    network = create_model("danet", num_classes=3, backbone=backbone, output_stride=16).eval()
    images = torch.randn(1, 3, 32, 32)
    before, keys = network(images).logits, list(network.state_dict())
    assert prepare_norms(network, "sync", torch.device("cuda"), world_size=2) is None
    norms = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    assert all(isinstance(layer, nn.SyncBatchNorm) for layer in norms)
    assert list(network.state_dict()) == keys
    torch.testing.assert_close(network(images).logits, before)


def test_one_process_or_a_cpu_keeps_its_norms() -> None:
    network = create_model("fcn", num_classes=3, backbone="resnet18")
    assert prepare_norms(network, "sync", torch.device("cuda"), world_size=1) is None
    told = prepare_norms(network, "sync", torch.device("cpu"), world_size=2)
    assert told is not None
    assert "does not exist on CPU" in told
    assert not any(isinstance(layer, nn.SyncBatchNorm) for layer in network.modules())


def test_frozen_norms_learn_nothing() -> None:
    network = create_model("fcn", num_classes=3, backbone="resnet18")
    prepare_norms(network, "frozen", torch.device("cpu"), world_size=1)
    norm = network.backbone.stages.bn1
    assert not norm.training
    assert not norm.weight.requires_grad
