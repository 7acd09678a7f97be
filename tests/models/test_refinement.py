"""Tests of the correction at half the size of the image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scenescope.checkpoints.model_directory import load_model, save_model
from scenescope.labels import Classes
from scenescope.models.catalog import MODELS, create_model
from scenescope.models.refinement import Refinement


@pytest.mark.parametrize("name", MODELS)
def test_before_training_the_answer_is_that_of_the_network(name: str) -> None:
    torch.manual_seed(0)
    settings = {"name": name, "num_classes": 3, "backbone": "test_resnet", "align_corners": False, "output_stride": 16}
    refined = create_model(**settings, refinement_channels=4)  # type: ignore[arg-type]
    plain = create_model(**settings)  # type: ignore[arg-type]
    plain.load_state_dict(
        {key: value for key, value in refined.state_dict().items() if not key.startswith("refinement.")}
    )
    images = torch.randn(2, 3, 65, 97)
    half = refined.eval().low_resolution(images).logits
    # Half of 80 x 112, multiples of 16; SANet's squares want 128 pixels a side at least.
    size = (64, 64) if name == "sanet" else (40, 56)
    assert half.shape == (2, 3, *size)
    low = plain.eval().low_resolution(images).logits
    torch.testing.assert_close(half, torch.nn.functional.interpolate(low, size, mode="bilinear"))
    assert "refine" not in plain.config


def test_a_line_of_two_pixels_is_found_that_logits_at_stride_16_cannot_hold() -> None:
    """One vertical line at a place that differs from image to image, and logits that say nothing."""
    torch.manual_seed(0)
    refinement = Refinement(2, 8, align_corners=False)
    optimizer = torch.optim.Adam(refinement.parameters(), lr=0.02)

    def lines(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.zeros(count, 32, 32, dtype=torch.long)
        for scene, column in enumerate(torch.randint(0, 15, (count,)).tolist()):
            labels[scene, :, 2 * column : 2 * column + 2] = 1
        return torch.randn(count, 3, 32, 32) * 0.2 + labels[:, None], labels[:, ::2, ::2]

    for _ in range(150):
        images, labels = lines(8)
        loss = torch.nn.functional.cross_entropy(refinement(torch.zeros(8, 2, 2, 2), images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, labels = lines(8)
    found = refinement.eval()(torch.zeros(8, 2, 2, 2), images).argmax(1)
    assert ((found == 1) & (labels == 1)).sum() / ((found == 1) | (labels == 1)).sum() > 0.9


def test_a_saved_model_keeps_its_refinement(tmp_path: Path) -> None:
    network = create_model("sanet", num_classes=2, backbone="test_resnet", output_stride=16, refinement_channels=4)
    assert network.refinement is not None
    torch.nn.init.normal_(network.refinement.correct.weight)
    images = torch.randn(1, 3, 64, 64)
    answer = network.eval()(images).logits
    save_model(network, Classes.named(["a", "b"]), tmp_path / "model")
    torch.testing.assert_close(load_model(tmp_path / "model").network(images).logits, answer)
