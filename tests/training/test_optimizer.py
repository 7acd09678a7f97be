"""Which parameter gets which rate and decay."""

import pytest

from scenescope.config import TrainSettings
from scenescope.models.catalog import create_model
from scenescope.training.optimizer import create_optimizer, set_lr


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_groups(optimizer: str) -> None:
    network = create_model("danet", num_classes=3, backbone="resnet18")
    settings = TrainSettings(
        optimizer=optimizer,
        head_lr_mult=10,
        attention_lr_mult=4,
        weight_decay=0.1,
        weight_decay_on_norms_and_biases=False,
    )  # type: ignore[arg-type]
    built = create_optimizer(network, settings)
    set_lr(built, 0.003)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in built.param_groups for p in group["params"]}
    head, stages = network.head, network.backbone.stages
    assert found[id(stages.conv1.weight)] == (0.003, 0.1)
    assert found[id(stages.bn1.weight)] == (0.003, 0)
    assert found[id(head.position.query.weight)] == (pytest.approx(0.03), 0.1)
    assert found[id(head.position.query.bias)] == (pytest.approx(0.03), 0)
    assert found[id(head.position.alpha)] == found[id(head.channel.beta)] == (pytest.approx(0.12), 0)
    assert len(found) == len(list(network.parameters()))


def test_norms_decay_when_asked_and_frozen_parameters_are_left_out() -> None:
    network = create_model("fcn", num_classes=3, backbone="resnet18")
    network.backbone.stages.conv1.weight.requires_grad_(False)
    built = create_optimizer(network, TrainSettings(weight_decay=0.1, weight_decay_on_norms_and_biases=True))
    assert {group["weight_decay"] for group in built.param_groups} == {0.1}
    assert sum(len(group["params"]) for group in built.param_groups) == len(list(network.parameters())) - 1
