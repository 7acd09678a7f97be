"""EncNet's encoding by loops over positions and codewords, its gate, and what it says of whole images."""

import math

import pytest
import torch

from scenescope.backbones.build import count_parameters
from scenescope.errors import ModelError
from scenescope.losses import SegmentationLoss
from scenescope.models.catalog import create_model
from scenescope.models.encnet import EncNetHead, Encoding
from scenescope.models.options import EncNetOptions


def slow_encoding(module: Encoding, features: torch.Tensor) -> torch.Tensor:
    """Both equations with a loop for every sum, in float64."""
    codewords, factors = module.codewords.detach().double(), module.factors.detach().double()
    result = torch.zeros(len(features), *codewords.shape, dtype=torch.float64)
    for b, image in enumerate(features.double().flatten(2)):
        for position in image.T:
            energies = [
                float(s) * sum((float(x) - float(d)) ** 2 for x, d in zip(position, codeword, strict=True))
                for s, codeword in zip(factors, codewords, strict=True)
            ]
            total = sum(math.exp(energy) for energy in energies)
            for m, energy in enumerate(energies):
                result[b, m] += math.exp(energy) / total * (position - codewords[m])
    return result


def test_encoding_equals_the_equation() -> None:
    torch.manual_seed(0)
    module = Encoding(6, num_codewords=4)
    features = torch.randn(2, 6, 3, 5)
    torch.testing.assert_close(module(features).double(), slow_encoding(module, features), rtol=1e-5, atol=1e-5)


def test_positions_on_a_codeword_leave_nothing_of_it_and_their_order_does_not_count() -> None:
    module = Encoding(2, num_codewords=2)
    with torch.no_grad():
        module.codewords.copy_(torch.tensor([[0.0, 0.0], [100.0, 0.0]]))
        module.factors.fill_(-1.0)
    features = torch.tensor([[[100.0, 101.0, 100.0], [0.0, 2.0, 0.0]]])[..., None]  # 1 x 2 x 3 x 1
    # All three belong to the second codeword; only the one in the middle misses it, by (1, 2).
    torch.testing.assert_close(module(features), torch.tensor([[[0.0, 0.0], [1.0, 2.0]]]))
    torch.testing.assert_close(module(features.flip(2)), module(features))


def test_encoding_is_float32_under_autocast() -> None:
    """Squares of features near 300 are beyond float16."""
    module = Encoding(4, num_codewords=3)
    features = torch.full((1, 4, 2, 2), 300.0)
    with torch.autocast("cpu", torch.float16):
        encoded = module(features.half())
    assert encoded.dtype == torch.float32
    torch.testing.assert_close(encoded, module(features))


def test_start_values() -> None:
    module = Encoding(512)
    assert module.codewords.shape == (32, 512)
    assert module.codewords.abs().max() <= (32 * 512) ** -0.5
    assert -1 <= module.factors.min() < module.factors.max() <= 0


def test_head_by_its_equations() -> None:
    torch.manual_seed(0)
    head = EncNetHead([32], 3, EncNetOptions(num_codewords=4)).eval().requires_grad_(False)
    torch.nn.init.normal_(head.norm.running_mean)
    torch.nn.init.uniform_(head.norm.weight, 0.5, 1.5)
    stage4 = torch.randn(2, 32, 4, 5)
    x = head.conv(stage4)
    encoded = slow_encoding(head.encoding, head.encoding_in(x)).float()
    scene = torch.zeros(2, 8)
    for m in range(4):
        deviation = (head.norm.running_var[m] + head.norm.eps).sqrt()
        normed = (encoded[:, m] - head.norm.running_mean[m]) / deviation * head.norm.weight[m] + head.norm.bias[m]
        scene += normed.clamp(min=0) / 4
    weights = 1 / (1 + (-(scene @ head.gate.weight.T + head.gate.bias)).exp())
    weighed = (x * (1 + weights[:, :, None, None])).clamp(min=0)
    torch.testing.assert_close(head([stage4]).logits, head.classifier(weighed))
    torch.testing.assert_close(head.scene(x), scene)


def test_head_parameters_by_hand() -> None:
    """Of ResNets at 59 classes: convolutions with norms, 32 codewords with factors and norm, gate, presence, logits."""
    with torch.device("meta"):
        head = EncNetHead([2048], 59, EncNetOptions())
    convolutions = 2048 * 512 * 9 + 2 * 512 + 512 * 512 + 2 * 512
    encoding = 32 * 512 + 32 + 2 * 32
    assert count_parameters(head) == convolutions + encoding + (512 * 512 + 512) + 2 * (512 * 59 + 59)


def test_presence_is_learned_from_the_classes_of_an_image() -> None:
    torch.manual_seed(0)
    network = create_model("encnet", num_classes=3, backbone="resnet18")
    output = network(torch.randn(2, 3, 64, 64))
    assert output.auxiliary["presence"].shape == (2, 3)
    assert network.loss_weights == {"presence": 0.2, "stage3": 0.4}
    loss = SegmentationLoss(weights=network.loss_weights)
    labels = torch.zeros(2, 64, 64, dtype=torch.long)
    labels[1, :2] = 2
    terms = loss(output, labels, loss.normalizer(labels))
    target = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    probabilities = output.auxiliary["presence"].sigmoid()
    expected = -(target * probabilities.log() + (1 - target) * (1 - probabilities).log()).mean()
    torch.testing.assert_close(terms["presence"], expected)
    torch.testing.assert_close(terms["total"], terms["main"] + 0.2 * terms["presence"] + 0.4 * terms["stage3"])


def test_the_auxiliary_head_can_be_left_out() -> None:
    network = create_model("encnet", num_classes=3, backbone="resnet18", auxiliary_head=False)
    assert list(network(torch.randn(2, 3, 64, 64)).auxiliary) == list(network.loss_weights) == ["presence"]


def test_refuses_no_codewords() -> None:
    with pytest.raises(ModelError, match="num_codewords is 0, but it should be greater than or equal to 1"):
        create_model("encnet", num_classes=3, backbone="resnet18", num_codewords=0)
