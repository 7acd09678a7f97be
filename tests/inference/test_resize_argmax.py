"""Labels from bands of rows against resizing everything and taking the largest."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as functional
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scenescope.cells import Cells
from scenescope.device import traits
from scenescope.inference import predictor
from scenescope.inference.predictor import InferenceSettings, predict_labels, predict_logits
from scenescope.inference.resize_argmax import logits_at, resize_argmax
from scenescope.models.catalog import create_model

sides = st.integers(1, 40)


def agree(labels: Tensor, resized: Tensor) -> bool:
    """Whether labels are the largest classes, or as large as these within 1e-6 of the scores."""
    largest = resized.amax(dim=1)
    chosen = resized.gather(1, labels[:, None].long())[:, 0]
    return bool((largest - chosen <= 1e-6 * resized.abs().amax()).all())


@given(sides, sides, sides, sides, st.integers(1, 20), st.booleans(), st.integers(1, 2))
def test_labels_are_those_of_the_whole(
    rows: int, columns: int, height: int, width: int, classes: int, align_corners: bool, batch: int
) -> None:
    generator = torch.Generator().manual_seed(rows * columns)
    logits = torch.randn(batch, classes, rows, columns, generator=generator)
    cells = Cells.stretched((rows, columns), (height, width), align_corners=align_corners)
    labels = resize_argmax(logits, (height, width), cells)
    resized = functional.interpolate(logits, (height, width), mode="bilinear", align_corners=align_corners)
    assert (labels.shape, labels.dtype) == ((batch, height, width), torch.uint8)
    assert agree(labels, resized)
    assert (labels == resized.argmax(dim=1)).float().mean() > 0.99


def test_two_classes_by_hand() -> None:
    """Class 1 leads where the row's share of the lower logits is above 2/3: rows 3 and 4 of 0 to 4."""
    logits = torch.tensor([[[0.0], [-4.0]], [[-2.0], [0.0]]])[None]
    logits[0, 0], logits[0, 1] = torch.tensor([[2.0], [0.0]]), torch.tensor([[0.0], [1.0]])
    assert resize_argmax(logits, (5, 1), Cells((0.25, 1.0), (0.125, 0.5))).flatten().tolist() == [0, 0, 0, 1, 1]


def test_half_precision_is_resized_in_float32() -> None:
    logits = torch.randn(1, 5, 7, 9, generator=torch.Generator().manual_seed(0)).bfloat16()
    expected = functional.interpolate(logits.float(), (56, 72), mode="bilinear", align_corners=False)
    assert agree(resize_argmax(logits, (56, 72), Cells.where_they_look(8, (0, 0))), expected)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("remainder", [(0, 0), (1, 1), (8, 3)])
def test_labels_of_any_cells_are_those_drawn(
    remainder: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenescope.inference.resize_argmax.traits", lambda _: traits(kind))
    logits = torch.randn(2, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    cells = Cells.where_they_look(16, remainder, input_scale=1.5)
    assert agree(resize_argmax(logits, (41, 59), cells), cells.draw(logits, (41, 59)))


@pytest.mark.parametrize(
    "settings",
    [InferenceSettings(), InferenceSettings(scales=(0.5,)), InferenceSettings(window=20), InferenceSettings(flip=True)],
)
def test_labels_are_the_largest_scores_whatever_the_settings(settings: InferenceSettings) -> None:
    torch.manual_seed(0)
    network = create_model("fcn", num_classes=6, backbone="test_resnet", output_stride=16)
    images = torch.randint(0, 256, (2, 3, 37, 50), dtype=torch.uint8)
    with torch.no_grad():
        scores = predict_logits(network, images, settings)
        labels = predict_labels(network, images, settings)
    assert agree(labels, scores)


def test_one_look_at_the_whole_image_forms_no_logits_of_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    network = create_model("fcn", num_classes=6, backbone="test_resnet", output_stride=16)
    monkeypatch.setattr(predictor, "predict_logits", None)
    monkeypatch.setattr(network, "draw", None)
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    assert predict_labels(network, images).shape == (1, 32, 32)
    assert network.training  # as it was


@pytest.mark.parametrize("size", [(70, 101), (5, 7), (3, 2), (1, 1)])
@pytest.mark.parametrize("kind", ["edges", "corners", "where they look"])
def test_one_pixel_is_read_as_it_would_be_drawn(size: tuple[int, int], kind: str) -> None:
    logits = torch.randn(2, 3, 5, 7)
    cells = Cells.stretched((5, 7), size, align_corners=kind == "corners")
    if kind == "where they look":
        cells = Cells.where_they_look(16, (3, 5))
    whole = cells.draw(logits, size)
    for y in {0, 1, size[0] // 2, size[0] - 1} & set(range(size[0])):
        for x in {0, 1, size[1] // 3, size[1] - 1} & set(range(size[1])):
            found = logits_at(logits.double(), y, x, cells)
            torch.testing.assert_close(found, whole[:, :, y, x], rtol=1e-5, atol=1e-5)


def test_one_pixel_by_hand() -> None:
    """Two cells lie at the pixels 0.5 and 2.5 of four: pixel 1 a quarter of the way between them, pixel 2 three."""
    logits = torch.tensor([[[[0.0, 8.0], [16.0, 24.0]]]])
    cells = Cells.stretched((2, 2), (4, 4), align_corners=False)
    assert logits_at(logits, 0, 1, cells).tolist() == [[2.0]]
    assert logits_at(logits, 2, 2, cells).tolist() == [[6.0 + 12.0]]
    assert logits_at(logits, 1, 2, Cells.stretched((2, 2), (3, 3), align_corners=True)).tolist() == [[16.0]]
