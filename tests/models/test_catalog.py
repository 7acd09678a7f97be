"""What every network of the catalog must do, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from scenescope.checkpoints.model_directory import load_model, save_model
from scenescope.errors import ModelError
from scenescope.labels import Classes
from scenescope.models.catalog import MODELS, create_model
from scenescope.outputs import SegmentationOutput


@pytest.mark.parametrize("name", MODELS)
def test_contract(name: str) -> None:
    network = create_model(name, num_classes=5, backbone="resnet18", align_corners=False)
    images = torch.randn(2, 3, 48, 64)
    output = network(images)
    assert isinstance(output, SegmentationOutput)
    assert output.logits.shape == (2, 5, 48, 64)
    assert network.loss_weights.keys() - {"main"} == output.auxiliary.keys()  # a weight for each, and no other
    (output.logits.sum() + sum(logits.sum() for logits in output.auxiliary.values())).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    again = create_model(**json.loads(json.dumps(network.config)))
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again.eval()(images).logits, network.eval()(images).logits)
    assert network(images).auxiliary == {}


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_float32_and_resized_by_the_named_convention(name: str) -> None:
    network = create_model(name, num_classes=2, backbone="resnet18", output_stride=32).eval().bfloat16()
    logits = network(torch.randn(1, 3, 64, 64).bfloat16()).logits
    assert logits.dtype == torch.float32
    small = torch.tensor([[[[0.0, 1.0]]]])
    torch.testing.assert_close(network.resize(small, (1, 3))[0, 0, 0], torch.tensor([0.0, 0.5, 1.0]))
    network.align_corners = False
    torch.testing.assert_close(network.resize(small, (1, 4))[0, 0, 0], torch.tensor([0.0, 0.25, 0.75, 1.0]))


def test_images_are_normalized_as_the_backbone_expects() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    lite = create_model("fcn", num_classes=2, backbone="tf_efficientnet_lite0").prepare(images)
    torch.testing.assert_close(lite[0, :, 0], torch.tensor([[-1.0, 1.0]] * 3))
    resnet = create_model("fcn", num_classes=2, backbone="resnet18").prepare(images)
    torch.testing.assert_close(resnet[0, 0, 0], torch.tensor([-0.485 / 0.229, (1 - 0.485) / 0.229]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "dannet", "num_classes": 2}, "There is no network 'dannet'. Did you mean 'danet'"),
        ({"name": "danet", "num_classes": 0}, "num_classes=0 is not possible"),
        (
            {"name": "danet", "num_classes": 2, "input_scale": 0},
            "input_scale is 0, but it should be greater than 0",
        ),
        ({"name": "danet", "num_classes": 2, "output_strid": 8}, "Did you mean 'output_stride'"),
        (
            {"name": "danet", "num_classes": 2, "output_stride": 4},
            "Output stride 4 is not possible; choose 8, 16 or 32",
        ),
        ({"name": "danet", "num_classes": 2, "backbone": "resnet51"}, "Backbone 'resnet51' is not one of timm's"),
        ({"name": "danet", "num_classes": 2, "backbone": "vit_tiny_patch16_224"}, "gives one stride only"),
        (
            {"name": "danet", "num_classes": 2, "refinement_channels": -1},
            "refinement_channels is -1, but it should be greater",
        ),
        ({"name": "danet", "num_classes": 2, "channel_form": "papper"}, "it should be 'official', 'paper' or 'scaled'"),
    ],
)
def test_refusals(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        create_model(**arguments)  # type: ignore[arg-type]


def test_a_scaled_image_is_the_enlarged_one_as_the_plain_network_sees_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = create_model("danet", backbone="resnet18", num_classes=3, align_corners=False, input_scale=1.5)
    plain = create_model("danet", backbone="resnet18", num_classes=3, align_corners=False)
    plain.load_state_dict(network.state_dict())
    images = torch.randn(1, 3, 64, 96)
    enlarged = functional.interpolate(images, (96, 144), mode="bilinear")
    answer = network.eval()(images).logits
    low = plain.eval().low_resolution(enlarged).logits
    torch.testing.assert_close(answer, functional.interpolate(low, (64, 96), mode="bilinear"))
    assert plain.config["input_scale"] == 1
    save_model(network, Classes.named(["a", "b", "c"]), tmp_path / "model")
    torch.testing.assert_close(load_model(tmp_path / "model").network(images).logits, answer)
