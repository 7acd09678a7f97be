from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from scenescope.config import AugmentSettings, TrainSettings
from scenescope.errors import ModelError, StorageError
from scenescope.lab.scenes import ScenesDataset
from scenescope.models.catalog import create_model
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput
from scenescope.workflows.readiness import require_ready, require_writable


def few() -> tuple[ScenesDataset, ScenesDataset]:
    return ScenesDataset("", "train"), ScenesDataset("", "val")


def network() -> SegmentationNetwork:
    return create_model("fcn", num_classes=8, backbone="resnet10t", output_stride=32)


def test_trying_draws_nothing_and_tells_nothing_of_good_data() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    assert require_ready(network, *few(), AugmentSettings(crop=(64, 64)), TrainSettings()) == []
    assert torch.equal(torch.rand(2), expected)


def test_a_network_that_takes_other_sizes_only_is_told_before_the_first_validation() -> None:
    class Square(torch.nn.Module):
        """Takes as many rows as columns."""

        def forward(self, features: list[Tensor]) -> SegmentationOutput:
            return SegmentationOutput((features[3] + features[3].mT)[:, :8], {})

    def broken() -> SegmentationNetwork:
        made = network()
        made.head = Square()
        return made

    with pytest.raises(ModelError, match=r"fcn with resnet10t cannot look at the images of 192 x 128 pixels to score"):
        require_ready(broken, *few(), AugmentSettings(crop=(64, 64)), TrainSettings())


def test_an_output_that_cannot_be_made_is_refused_and_none_is_made(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file is a file; choose another --output"):
        require_writable(tmp_path / "file" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
