"""Counts by hand and those of the papers' tables."""

import pytest
from torch import nn

from scenescope.attention.position import PositionAttention
from scenescope.backbones.build import create_backbone
from scenescope.models.catalog import create_model
from scenescope.models.complexity import complexity


def test_layers_by_hand() -> None:
    counted = complexity(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)), 4, 6
    )
    assert counted.parameters == 3 * 8 * 9 + 8 + 16
    assert counted.macs == 3 * 9 * 8 * 24
    # Bias, twice for the norm, once for ReLU and pooling: each sees 8 x 4 x 6 numbers.
    assert counted.macs_as_published == counted.macs + 5 * 8 * 24


def test_the_norm_of_an_encoding_counts_as_others_do() -> None:
    counted = complexity(lambda: nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.Flatten(2), nn.BatchNorm1d(8)), 4, 6)
    assert counted.macs_as_published == counted.macs + 2 * 8 * 24


def test_products_of_attention_count_but_not_as_published() -> None:
    """With N positions, energies take N * N * 2 and the weighted values N * N * 16 multiplications."""
    counted = complexity(lambda: nn.Sequential(nn.Conv2d(3, 16, 1, bias=False), PositionAttention(16)), 6, 8)
    positions = 48
    layers = positions * (3 * 16 + 2 * 16 * 2 + 16 * 16)
    assert counted.macs == layers + positions**2 * (2 + 16)
    assert counted.macs_as_published == layers + positions * (2 + 2 + 16)


def test_the_dilated_backbone_of_table_6() -> None:
    counted = complexity(lambda: create_backbone("resnet101s.gluon_in1k"), 480, 480)
    assert round(counted.parameters / 1e6, 2) == 42.62
    assert round(counted.macs_as_published / 1e9, 2) == 162.66


def test_sanet_of_table_6() -> None:
    counted = complexity(
        lambda: create_model("sanet", num_classes=21, backbone="resnet101s.gluon_in1k", variant="V1"), 480, 480
    )
    assert counted.parameters / 1e6 == pytest.approx(55.4, rel=0.005)
    assert counted.macs_as_published / 1e9 == pytest.approx(204.7, rel=0.005)


@pytest.mark.parametrize(("size", "macs"), [(512, 209.6), (768, 498.7)])
def test_danet_50(size: int, macs: float) -> None:
    counted = complexity(lambda: create_model("danet", num_classes=19, backbone="resnet50"), size, size)
    assert counted.macs / 1e9 == pytest.approx(macs, rel=2e-3)


def test_deeplabv3plus_of_table_6() -> None:
    counted = complexity(
        lambda: create_model("deeplabv3plus", num_classes=21, backbone="resnet101s.gluon_in1k"), 480, 480
    )
    assert round(counted.parameters / 1e6, 2) == 59.47
    assert counted.macs_as_published / 1e9 == pytest.approx(235.6, rel=0.005)


def test_dranet_of_the_released_code() -> None:
    """726.2 G with the auxiliary head, which a prediction does not need."""
    counted = complexity(lambda: create_model("dranet", num_classes=19, backbone="resnet101s.gluon_in1k"), 768, 768)
    auxiliary = 96 * 96 * (1024 * 256 * 9 + 256 * 19)
    assert (counted.macs + auxiliary) / 1e9 == pytest.approx(726.2, rel=2e-4)
