"""SANet's parameter counts, which outputs it gives when, and its alternatives."""

from typing import Any

import pytest
import torch

from scenescope.backbones.build import count_parameters
from scenescope.errors import ModelError
from scenescope.models.catalog import create_model
from scenescope.models.network import SegmentationNetwork

COMBINATIONS: list[dict[str, Any]] = [
    {},
    {"variant": "V1"},
    {"variant": "V3"},
    {"fusion": "sum", "dense_loss": "dense"},
    {"fusion": "features", "categorical": "features"},
    {"fusion": "features", "dense_loss": "dense", "prediction": "dense"},
    {"categorical": "pooled"},
    {"categorical": "none", "prediction": "mask"},
    {"dense": False, "categorical": "none", "prediction": "mask"},
    {"dense": False, "categorical": "features", "prediction": "mask"},
]


def build(**options: Any) -> SegmentationNetwork:
    torch.manual_seed(0)
    return create_model("sanet", **({"num_classes": 5, "backbone": "resnet18"} | options))


@pytest.mark.parametrize(("variant", "parameters"), [("V1", 55_408_361), ("V2", 56_626_921)])
def test_parameters_of_table_6(variant: str, parameters: int) -> None:
    """Counted at 21 classes without the convolution that mixes 4 x 21 logits and without the categorical branch."""
    with torch.device("meta"):
        bare, whole = (
            create_model("sanet", num_classes=21, backbone="resnet101s.gluon_in1k", variant=variant, **options)
            for options in ({"fusion": "sum", "categorical": "none"}, {})
        )
    assert count_parameters(bare) == parameters
    assert count_parameters(whole) == parameters + 1_785 + 21 * 21 + 21


def test_widths_of_the_heads() -> None:
    head = build().head
    assert [module.out_channels for module in head.attentions] == [16, 32, 64, 128]
    assert head.dense.conv[0].out_channels == 512 // 4


def test_outputs_and_weights_of_equation_6() -> None:
    network = build()
    output = network(torch.randn(2, 3, 64, 96))
    assert {name: tuple(logits.shape) for name, logits in output.auxiliary.items()} == {
        "mask": (2, 5, 64, 96),
        "categorical": (2, 5),
    }
    assert network.loss_weights == {"main": 0.8, "mask": 1.0, "categorical": 0.2}
    assert network.eval()(torch.randn(1, 3, 64, 96)).auxiliary == {}


@pytest.mark.parametrize("options", COMBINATIONS, ids=str)
def test_every_alternative_trains_all_of_its_weights(options: dict[str, Any]) -> None:
    """A weight without a gradient would stop training in several processes."""
    network = build(**options)
    output = network(torch.randn(2, 3, 64, 64))
    assert {"main", *output.auxiliary} == set(network.loss_weights)
    (output.logits.sum() + sum(logits.sum() for logits in output.auxiliary.values())).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert network.eval()(torch.randn(1, 3, 64, 64)).logits.shape == (1, 5, 64, 64)


def test_the_prediction_is_dense_plus_stage_4_and_the_mask_fuses_all_stages() -> None:
    stages = [torch.randn(2, width, 32 // stride, 48 // stride) for width, stride in zip(
        (64, 128, 256, 512), (1, 2, 2, 2), strict=True)]  # fmt: skip
    head = build().eval().head
    fourth = head.classifiers[3](head.attentions[3](stages[3]))
    dense = head.dense(stages).logits
    torch.testing.assert_close(head(stages).logits, dense + fourth)
    head.prediction = "dense"
    torch.testing.assert_close(head(stages).logits, dense)
    head.prediction = "mask"
    logits = [classify(module(stage)) for classify, module, stage in zip(
        head.classifiers, head.attentions, stages, strict=True)]  # fmt: skip
    large = [torch.nn.functional.interpolate(each, (32, 48), mode="bilinear", align_corners=True) for each in logits]
    torch.testing.assert_close(head(stages).logits, head.mask(torch.cat(large, dim=1)))
    summing = build(fusion="sum", prediction="mask").eval().head
    summing.load_state_dict({key: value for key, value in head.state_dict().items() if not key.startswith("mask.")})
    torch.testing.assert_close(summing(stages).logits, sum(large))


def test_the_main_loss_sees_the_mask_where_that_is_the_answer() -> None:
    network = build(prediction="mask", dropout=0.0)
    assert network.loss_weights == {"main": 1.0, "dense": 0.8, "categorical": 0.2}
    images = torch.randn(2, 3, 64, 64)
    masked = network.train()(images)
    network.head.prediction = "dense+sa4"
    published = network(images)
    torch.testing.assert_close(masked.logits, published.auxiliary["mask"])
    torch.testing.assert_close(masked.auxiliary["dense"], published.logits)


def test_the_dense_loss_sees_what_is_predicted_unless_told_otherwise() -> None:
    images = torch.randn(2, 3, 64, 64)
    seen, alone = (build(dense_loss=choice, dropout=0.0).train() for choice in ("dense+sa4", "dense"))
    features = seen.backbone(images)
    head = seen.head
    fourth = head.classifiers[3](head.attentions[3](features[3]))
    torch.testing.assert_close(seen.head(features).logits - alone.head(features).logits, fourth)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dense": False}, "dense=false leaves no dense logits; give prediction=mask"),
        ({"fusion": "concat"}, "sanet: fusion is .concat., but it should be 'logits'"),
        ({"fusion": "features", "dense_loss": "dense"}, "trains no Y_SA4"),
        ({"backbone": "resnet18", "groups": 5}, "cannot be shared by 5 groups"),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(**options)


def test_efficientnet_b7_of_table_1() -> None:
    with torch.device("meta"):
        network = create_model("sanet", num_classes=59, backbone="efficientnet_b7", output_stride=32)
    assert [module.out_channels for module in network.head.attentions] == [12, 20, 56, 160]
