"""Cuts against a masked softmax written as a loop, and what must stay as it is."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from scenescope.errors import ImageError, ModelError
from scenescope.explore.knife import Cut, connected_area, rectangle
from scenescope.explore.trace import AttentionTrace, attend
from scenescope.models.catalog import create_model
from scenescope.models.network import SegmentationNetwork

CLASSES = 5


def awake(name: str = "danet", seed: int = 0, **options: object) -> SegmentationNetwork:
    """Return a network of random weights whose attention counts."""
    torch.manual_seed(seed)
    network = create_model(
        name, num_classes=CLASSES, backbone="test_resnet", pretrained=False, output_stride=16, **options
    ).eval()
    for key, parameter in network.named_parameters():
        if key.endswith(("alpha", "beta")):
            torch.nn.init.constant_(parameter, 3.0)
    for part in network.head.modules():
        if isinstance(part, torch.nn.Conv2d) and part.bias is not None:
            torch.nn.init.zeros_(part.bias)  # so that the places decide
    return network


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return small.repeat(16, 0).repeat(16, 1)


@pytest.fixture(scope="module")
def trace(image: np.ndarray) -> AttentionTrace:
    return attend(awake(), image)


def slow_attention(module: torch.nn.Module, features: torch.Tensor, seen: list[list[int]]) -> torch.Tensor:
    """Equation 2 for each position, over the positions that it sees."""
    query, key, value = (
        each(features)[0].flatten(1).double()
        for each in (module.query, module.key, module.value)  # type: ignore[operator]
    )
    rows = []
    for position, keys in enumerate(seen):
        energies = [float(query[:, position] @ key[:, other]) for other in keys]
        weights = [math.exp(energy - max(energies)) for energy in energies]
        rows.append(sum(w / sum(weights) * value[:, other] for w, other in zip(weights, keys, strict=True)))
    attended = torch.stack(rows, dim=1).view(features.shape)
    return module.alpha * attended + features  # type: ignore[operator, no-any-return]


def labels_with(trace: AttentionTrace, attended: torch.Tensor) -> np.ndarray:
    """Return the labels when position attention answers this."""
    network = copy.deepcopy(trace.network)
    network.head.position.register_forward_hook(lambda module, given, output: attended.float())  # type: ignore[union-attr]
    return attend(network, trace.image).labels


@torch.no_grad()
def test_leaving_positions_out_is_the_masked_softmax(trace: AttentionTrace) -> None:
    region = rectangle((96, 128), 32, 16, 96, 64)  # whole cells of 16 pixels
    features = trace.position.features
    assert features.shape[-2:] == (6, 8)
    left = [row * 8 + column for row in range(6) for column in range(8) if not (1 <= row < 4 and 2 <= column < 6)]
    for keep, seen in ((False, left), (True, sorted(set(range(48)) - set(left)))):
        cut = trace.cut(Cut(region=region, keep=keep))
        expected = labels_with(trace, slow_attention(trace.position.module, features, [seen] * 48))
        assert (cut.labels == expected).mean() > 0.999  # but for ties within rounding
        assert cut.changed.any()
        assert (cut.changed == (cut.labels != trace.labels)).all()
        assert cut.moved.sum() == trace.labels.size
        assert np.array_equal(cut.moved.sum(axis=1), np.bincount(trace.labels.ravel(), minlength=CLASSES))


def cell_classes(trace: AttentionTrace) -> list[int]:
    return trace.labels[8::16, 8::16].ravel().tolist()


@torch.no_grad()
def test_a_class_and_a_class_of_a_class(trace: AttentionTrace) -> None:
    classes = cell_classes(trace)
    one, other = np.argsort(-np.bincount(classes, minlength=CLASSES))[:2].tolist()
    features = trace.position.features
    without = [position for position in range(48) if classes[position] != one]
    expected = labels_with(trace, slow_attention(trace.position.module, features, [without] * 48))
    assert (trace.cut(Cut(classes=[one])).labels == expected).mean() > 0.999
    pairs = [without if own == other else list(range(48)) for own in classes]
    expected = labels_with(trace, slow_attention(trace.position.module, features, pairs))
    cut = trace.cut(Cut(pairs=[(other, one)]))
    assert (cut.labels == expected).mean() > 0.999
    assert cut.changed.any()


@torch.no_grad()
def test_channels_are_left_out_by_a_masked_softmax(trace: AttentionTrace) -> None:
    module, features = trace.channel.module, trace.channel.features
    flat = features[0].flatten(1).double()
    energies = -(flat @ flat.t())
    energies[:, [3, 7]] = -math.inf
    attended = (torch.softmax(energies, dim=1) @ flat).view(features.shape) * module.beta + features
    network = copy.deepcopy(trace.network)
    network.head.channel.register_forward_hook(lambda module, given, output: attended.float())  # type: ignore[union-attr]
    expected = attend(network, trace.image).labels
    cut = trace.cut(Cut(channels=[3, 7]))
    assert (cut.labels == expected).mean() > 0.999
    assert cut.changed.any()


def test_nothing_cut_is_the_look_itself_and_nothing_is_changed(trace: AttentionTrace) -> None:
    before = {key: value.clone() for key, value in trace.network.state_dict().items()}
    assert not trace.cut(Cut()).changed.any()
    trace.cut(Cut(alpha=0, beta=2, channels=[1], region=rectangle((96, 128), 0, 0, 32, 32)))
    assert not trace.cut(Cut(source=trace)).changed.any()  # its own keys and values
    assert all(torch.equal(before[key], value) for key, value in trace.network.state_dict().items())
    assert (attend(trace.network, trace.image).labels == trace.labels).all()


def test_a_network_in_training_is_cut_in_eval_mode_and_stays_in_training(image: np.ndarray) -> None:
    network = awake()
    expected = attend(network, image).cut(Cut(alpha=0, channels=[1])).labels
    looked = attend(network.train(), image)
    assert (looked.cut(Cut(alpha=0, channels=[1])).labels == expected).all()
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(("kind", "scale"), [("position", "alpha"), ("channel", "beta")])
def test_a_scale_of_zero_is_that_of_the_network(trace: AttentionTrace, kind: str, scale: str) -> None:
    network = copy.deepcopy(trace.network)
    for factor in (0.0, 0.5, 2.0):
        with torch.no_grad():
            getattr(getattr(network.head, kind), scale).fill_(3.0 * factor)
        expected = attend(network, trace.image).labels
        assert (trace.cut(Cut(**{scale: factor})).labels == expected).mean() > 0.999  # type: ignore[arg-type]
        assert factor == 0.5 or trace.cut(Cut(**{scale: factor})).changed.any()  # type: ignore[arg-type]


def test_a_branch_that_is_cut_adds_nothing(trace: AttentionTrace) -> None:
    network = copy.deepcopy(trace.network)
    network.head.position_out = torch.nn.Sequential()  # type: ignore[assignment]
    network.head.position_out.register_forward_hook(lambda module, given, output: output * 0)  # type: ignore[union-attr, operator]
    cut = trace.cut(Cut(branches=["position"]))
    assert (cut.labels == attend(network, trace.image).labels).mean() > 0.999
    assert cut.changed.any()
    with pytest.raises(ModelError, match="is all that this network has"):
        trace.cut(Cut(branches=["position", "channel"]))


@torch.no_grad()
def test_keys_and_values_of_another_image(trace: AttentionTrace, image: np.ndarray) -> None:
    other = attend(trace.network, image[:64, ::-1].copy())
    module, own, features = trace.position.module, trace.position.features, other.position.features
    query, key = module.query(own)[0].flatten(1), module.key(features)[0].flatten(1)
    attended = module.value(features)[0].flatten(1) @ torch.softmax(query.t() @ key, dim=1).t()
    expected = labels_with(trace, module.alpha * attended.view(own.shape) + own)
    cut = trace.cut(Cut(source=other))
    assert (cut.labels == expected).mean() > 0.999
    assert cut.changed.any()
    with pytest.raises(ModelError, match="of another network"):
        trace.cut(Cut(source=attend(awake(), image)))


def test_heads_of_sanet_without_places(image: np.ndarray) -> None:
    trace = attend(awake("sanet", prediction="mask"), image)
    used = trace.cut(Cut(heads=[2]))
    network = copy.deepcopy(trace.network)
    module = network.head.attentions[1]  # type: ignore[union-attr, index]
    channel = module.attention_channel
    module.attention_channel = lambda given: channel(given).mean((2, 3), keepdim=True).expand_as(channel(given))
    assert (used.labels == attend(network, image).labels).mean() > 0.999
    assert used.changed.any()
    with pytest.raises(ModelError, match=r"There is no head 5; give 1 to 4\."):
        trace.cut(Cut(heads=[5]))


def test_centers_and_excitation(image: np.ndarray) -> None:
    centers = attend(awake("dranet"), image)
    network = copy.deepcopy(centers.network)
    for key, parameter in network.named_parameters():
        if key.endswith("alpha"):
            torch.nn.init.zeros_(parameter)
    assert (centers.cut(Cut(alpha=0)).labels == attend(network, image).labels).mean() > 0.999
    with pytest.raises(ModelError, match="dranet has no position attention"):
        centers.cut(Cut(classes=[1]))
    excited = attend(awake("fcn_se"), image)
    network = copy.deepcopy(excited.network)
    for module in network.modules():
        if hasattr(module, "excitation"):
            module.weights = lambda given: given.new_ones(given.shape[:2])  # type: ignore[method-assign]
    assert (excited.cut(Cut(branches=["excitation"])).labels == attend(network, image).labels).mean() > 0.999


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        ({"classes": [CLASSES]}, "There is no class 5; give 0 to 4"),
        ({"pairs": [(0, -1)]}, "There is no class -1"),
        ({"classes": range(CLASSES)}, "Everything is cut away"),
        ({"keep": True}, "Everything is cut away"),
        ({"channels": [999]}, "There is no channel 999; give 0 to "),
        ({"heads": [1]}, "danet has no squeeze-and-attention heads"),
        ({"branches": ["other"]}, "no branch 'other' to cut; it has position, channel"),
    ],
)
def test_what_cannot_be_cut_is_told(trace: AttentionTrace, cut: dict[str, object], told: str) -> None:
    """Mask2Former#243: a row of which everything is masked is no number; here it is refused before."""
    with pytest.raises(ModelError, match=told):
        trace.cut(Cut(**cut))  # type: ignore[arg-type]


def test_regions() -> None:
    labels = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [1, 0, 0, 1]], np.uint8)
    assert connected_area(labels, (0, 0)).tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert connected_area(labels, (3, 2)).sum() == 3
    assert rectangle((3, 4), 1, 0, 3, 2).tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    with pytest.raises(ImageError, match="x may be 0 to 3"):
        connected_area(labels, (4, 0))
    for wrong in ((0, 0, 5, 1), (2, 0, 2, 1), (0, -1, 1, 1)):
        with pytest.raises(ImageError, match="does not lie in the image of 4 x 3 pixels"):
            rectangle((3, 4), *wrong)


def test_a_region_of_another_size_is_refused(trace: AttentionTrace) -> None:
    with pytest.raises(ImageError, match="give 96 x 128 booleans"):
        trace.cut(Cut(region=np.ones((128, 96), bool)))
