import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scenescope.attention.position import PositionAttention
from scenescope.errors import ImageError, ModelError
from scenescope.explore.points import cell_numbers
from scenescope.explore.trace import attend
from scenescope.inference.fuse import optimize_for_inference
from scenescope.inference.predictor import predict_labels, predict_logits
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model


def as_batch(image):
    return torch.from_numpy(image.transpose(2, 0, 1)[None].copy())


def test_labels_and_probabilities_are_those_of_a_prediction(network, image):
    view = attend(network, image)
    assert (view.labels == predict_labels(network, as_batch(image))[0].numpy()).all()
    expected = torch.softmax(predict_logits(network, as_batch(image))[0], dim=0)
    for x, y in ((0, 0), (99, 69), (31, 7)):
        np.testing.assert_allclose(view.probabilities((x, y)), expected[:, y, x], rtol=1e-4, atol=1e-6)
    assert view.scales == {"alpha": 2.0, "beta": 0.5}
    assert view.kinds() == {"position", "channel"}


def test_a_skip_changes_the_answer_and_not_what_attention_sees(image):
    torch.manual_seed(0)
    network = create_model("danet", backbone="resnet18", num_classes=4, output_stride=16, low_level_channels=8)
    assert attend(network, image).position.features.shape[-2:] == (5, 7)


def test_one_forward_pass_and_never_n_by_n(network):
    image = np.random.default_rng(1).integers(0, 256, (320, 480, 3), np.uint8)
    positions = 20 * 30
    largest = 0
    passes = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.shape[-2:] == (positions, positions):
                largest = max(largest, result.numel())
            return result

    hook = network.backbone.register_forward_hook(lambda *_: passes.append(1))
    with pytest.MonkeyPatch.context() as patch, Watch():
        patch.setattr("scenescope.explore.position.block_rows", lambda *_: 7)
        view = attend(network, image)
        view.position.maps([(3, 3)])
        view.position.received([(3, 3)])
        view.position.between_classes()
        view.channel.maps([1])
    hook.remove()
    assert largest == 0
    assert len(passes) == 1


def test_bfloat16_maps_are_near_those_of_float32_and_still_float32(network, image):
    with torch.no_grad():
        for scale in (0.0, 0.3):
            network.head.position.alpha.fill_(scale)
            exact = attend(network, image)
            mixed = attend(Segmenter(network, Classes.named(list("abcd")), precision="bfloat16"), image)
            weights = mixed.channel.rows([0])
            assert weights.dtype == np.float32
            np.testing.assert_allclose(weights.sum(), 1, atol=1e-5)
            assert mixed.position.maps([(5, 5)]).dtype == np.float32
            assert (exact.labels == mixed.labels).mean() > 0.8
        network.head.position.alpha.zero_()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_optimized_network_can_be_looked_into(network, image, dtype):
    optimized = attend(optimize_for_inference(network, dtype), image)
    np.testing.assert_allclose(optimized.position.maps([(9, 9)]).sum(), 1, atol=1e-2)
    if dtype == torch.float32:
        expected = attend(network, image).position.maps([(9, 9)])
        np.testing.assert_allclose(optimized.position.maps([(9, 9)]), expected, atol=1e-4)


def test_more_memory_than_there_is_becomes_one_line(network, image, monkeypatch):
    monkeypatch.setattr(network, "low_resolution", lambda batch: torch.empty(2**50))
    told = r"^The attention in an image of 100 x 70 pixels needs more memory than there is; scale the image down\.$"
    with pytest.raises(ImageError, match=told):
        attend(network, image)


def test_the_network_stays_in_its_mode_and_without_hooks(network, image):
    network.train()
    attend(network, image).position.maps([(1, 1)])
    assert all(module.training for module in network.modules())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in network.modules())
    network.eval()


@pytest.mark.parametrize("point", [(100, 0), (0, 70), (-1, 0), (0, -1)])
def test_a_point_outside_names_the_range(network, image, point):
    view = attend(network, image)
    for ask in (view.position.maps, view.position.received):
        with pytest.raises(ImageError, match=r"100 x 70 pixels; x may be 0 to 99 and y 0 to 69"):
            ask([(3, 3), point])
    with pytest.raises(ImageError, match="x may be 0 to 99"):
        view.probabilities(point)


@pytest.mark.parametrize(
    ("name", "options", "asked", "told"),
    [
        ("fcn", {}, "position", "fcn has no position attention.*danet with position"),
        ("danet", {"position": False}, "position", "danet has no position attention.*danet with position"),
        ("danet", {"channel": False}, "channel", "danet has no channel attention.*danet with channel"),
        ("danet", {}, "heads", "danet has no squeeze-and-attention heads.*sanet"),
        ("sanet", {}, "excitation", "sanet has no squeeze-and-excitation.*fcn_se"),
        ("sanet", {}, "position_centers", "sanet has no centers of position attention.*dranet"),
    ],
)
def test_a_network_without_that_attention_names_one_that_has_it(image, name, options, asked, told):
    without = create_model(name, backbone="resnet18", num_classes=2, output_stride=32, **options)
    with pytest.raises(ModelError, match=told):
        getattr(attend(without, image), asked)


def test_squeeze_and_excitation_weights_are_those_of_the_equation(image):
    torch.manual_seed(0)
    network = create_model("fcn_se", backbone="resnet18", num_classes=2, output_stride=32)
    found = attend(network, image).excitation
    with torch.no_grad():
        filled = torch.nn.functional.pad(network.prepare(as_batch(image)), (0, 28, 0, 26), mode="replicate")
        features = network.eval().backbone(filled)[-1]  # of 96 x 128, multiples of 32
        mean = features.double().mean(dim=(2, 3))
        first, _, second, _ = network.head.squeeze_excitation.excitation.double()
        hidden = (mean @ first.weight.t() + first.bias).clamp(min=0)
        expected = 1 / (1 + (-(hidden @ second.weight.t() + second.bias)).exp())
    np.testing.assert_allclose(found, expected[0], rtol=1e-5)


def test_a_click_resizes_no_logits(network, image, monkeypatch):
    view = attend(network, image)
    monkeypatch.setattr(network, "draw", None)
    assert view.probabilities((31, 7)).sum() == pytest.approx(1)


def test_queries_and_keys_are_formed_once(network, image):
    view = attend(network, image)
    formed = []
    hook = network.head.position.key.register_forward_hook(lambda *_: formed.append(1))
    maps = [view.position.maps([(9, 9)]), view.position.maps([(70, 50)]), view.position.received([(9, 9)])]
    hook.remove()
    assert len(formed) == 1
    with torch.inference_mode():
        chosen = cell_numbers([(0, 0), (99, 69)], (70, 100), view.position.cells, view.position.features)
        rows = network.head.position.rows(view.position.features, chosen)[0]
    np.testing.assert_allclose(view.position.maps([(0, 0), (99, 69)]).reshape(2, -1), rows, rtol=1e-5)
    np.testing.assert_array_equal(view.position.maps([(9, 9)]), maps[0])


def test_the_view_outlives_a_buffer_that_is_used_again(network, image):
    frame = image.copy()
    view = attend(network, frame)
    frame[:] = 0
    assert (view.image == image).all()


@pytest.mark.parametrize("wrapped", [torch.nn.DataParallel, lambda network: torch.compile(network, backend="eager")])
def test_what_torch_wraps_around_a_network_is_seen_through(network, image, wrapped):
    expected = attend(network, image).position.maps([(9, 9)])
    np.testing.assert_array_equal(attend(wrapped(network), image).position.maps([(9, 9)]), expected)


def test_what_is_no_network_of_the_catalog_is_named(network, image):
    class Mine(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = PositionAttention(8)

    with pytest.raises(ModelError, match=r"^Mine is a network of your own; .* ask that module for rows\(features, pos"):
        attend(Mine(), image)
    for other in (torch.nn.Linear(2, 2), "runs/first/best"):
        with pytest.raises(ModelError, match=rf"^{type(other).__name__} cannot be looked into; give .*or a Segmenter"):
            attend(other, image)
