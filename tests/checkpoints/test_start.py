"""Starting from a model: each class takes what its namesake has learnt, whatever network and options."""

from pathlib import Path
from typing import Any

import pytest
import torch

from scenescope.checkpoints.model_directory import save_model
from scenescope.checkpoints.start import Namesakes, by_name, compare_start, find_namesakes, init_from
from scenescope.errors import CheckpointError
from scenescope.labels import Classes
from scenescope.models.catalog import MODELS, create_model
from scenescope.models.network import SegmentationNetwork

FOUR = Classes.named(["sky", "road", "car", "tree"])
TURNED = Classes.named(["tree", "car", "sky", "road"])
SMALL: dict[str, Any] = {"backbone": "test_resnet", "output_stride": 32}
EVERY = [
    *({"name": name, "refinement_channels": refine} for name in MODELS for refine in (0, 5)),
    *(
        {"name": "sanet", "fusion": fusion, "prediction": "mask", "refinement_channels": 5}
        for fusion in ("logits", "features", "sum")
    ),
    {"name": "sanet", "categorical": "features"},
    {"name": "sanet", "categorical": "pooled"},
    {"name": "sanet", "dense": False, "categorical": "none", "prediction": "mask"},
    {"name": "danet", "low_level_channels": 4, "auxiliary_head": True, "refinement_channels": 5},
    {"name": "danet", "position": False},
    {"name": "fcn", "auxiliary_head": True},
]


def drawn(num_classes: int = 4, **options: Any) -> SegmentationNetwork:
    """A network with random weights everywhere, also where it begins with zeros."""
    network = create_model(num_classes=num_classes, **{**SMALL, **options})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def saved(network: SegmentationNetwork, classes: Classes, tmp_path: Path) -> Path:
    save_model(network, classes, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("options", EVERY, ids=lambda options: "-".join(str(value) for value in options.values()))
def test_classes_in_another_order_answer_as_before(options: dict[str, Any], tmp_path: Path) -> None:
    """Every weight whose shape depends on K is turned with the classes, or the answers would differ."""
    source = drawn(**options)
    network = drawn(**options)
    (note,) = init_from(network, saved(source, FOUR, tmp_path), TURNED)
    assert note.endswith("4 of its 4 classes taken by name; none is new.")
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        before, after = source.eval()(images).logits, network.eval()(images).logits
        for each in (source, network):
            each.train()
            for layer in each.modules():
                if not isinstance(layer, SegmentationNetwork) and not layer._modules:
                    layer.eval()  # no dropout, norms as they are
        auxiliary_before, auxiliary_after = source(images).auxiliary, network(images).auxiliary
    order = [FOUR.names.index(name) for name in TURNED.names]
    torch.testing.assert_close(after, before[:, order])
    assert auxiliary_after.keys() == auxiliary_before.keys()
    for name, logits in auxiliary_after.items():
        torch.testing.assert_close(logits, auxiliary_before[name][:, order])


@pytest.mark.parametrize("options", EVERY, ids=lambda options: "-".join(str(value) for value in options.values()))
@pytest.mark.parametrize("names", [("car",), ("road", "a", "b", "c", "sky", "d")])
def test_any_number_of_classes_can_follow_any_other(
    options: dict[str, Any], names: tuple[str, ...], tmp_path: Path
) -> None:
    source, network = drawn(**options), drawn(len(names), **options)
    fresh = {key: value.clone() for key, value in network.state_dict().items()}
    directory = saved(source, FOUR, tmp_path)
    classes = Classes.named(names)
    start = compare_start(network, directory, classes)
    init_from(network, directory, classes)
    biases = [key for key, per_class in start.per_class.items() if per_class == [1]]
    assert biases
    learnt = source.state_dict()
    for key, value in network.state_dict().items():
        assert key in start.per_class or torch.equal(value, learnt[key]), key
    for key in biases:
        expected = [
            float(learnt[key][FOUR.names.index(name)] if name in FOUR.names else fresh[key][number])
            for number, name in enumerate(names)
        ]
        assert network.state_dict()[key].tolist() == expected, key


def test_rows_columns_and_what_is_of_no_class_by_hand() -> None:
    namesakes = find_namesakes(["car", "new", "sky"], ["sky", "car"])
    assert namesakes == Namesakes(ours=(0, 2), theirs=(1, 0), num_ours=3, num_theirs=2)
    fresh = torch.zeros(3, 7)  # rows of classes; two blocks of columns of classes, and one column of none
    learnt = torch.tensor([[11, 12, 13, 14, 15], [21, 22, 23, 24, 25]]).float()
    assert by_name(fresh, learnt, namesakes, [1, 2]).tolist() == [
        [22, 0, 21, 24, 0, 23, 25],
        [0, 0, 0, 0, 0, 0, 0],
        [12, 0, 11, 14, 0, 13, 15],
    ]


def test_capitals_make_no_other_class_unless_the_model_has_both() -> None:
    assert find_namesakes(["sky", "CAR"], ["Sky", "Car"]).theirs == (0, 1)
    assert find_namesakes(["car", "Car", "CAR"], ["Car", "car"]).theirs == (1, 0, 0)


def test_the_same_classes_take_every_bit_and_tell_nothing(tmp_path: Path) -> None:
    source, network = drawn(name="danet"), drawn(name="danet")
    assert init_from(network, saved(source, FOUR, tmp_path), FOUR) == []
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in network.state_dict().items())


def test_it_is_told_how_many_classes_were_taken_and_which_are_new(tmp_path: Path) -> None:
    directory = saved(drawn(name="fcn"), FOUR, tmp_path)
    assert init_from(drawn(3, name="fcn"), directory, Classes.named(["Road", "door", "wall"])) == [
        f"Started from {directory}: 1 of its 4 classes taken by name; new: door, wall."
    ]


def test_a_comparison_changes_nothing_and_takes_a_network_without_memory(tmp_path: Path) -> None:
    directory = saved(drawn(name="sanet", refinement_channels=5), FOUR, tmp_path)
    with torch.device("meta"):
        network = create_model("sanet", num_classes=3, refinement_channels=5, **SMALL)
    start = compare_start(network, directory, Classes.named(["a", "b", "car"]))
    assert "1 of its 4 classes taken by name; new: a, b" in start.notes[0]
    assert start.per_class["head.mask.weight"] == [1, 4, 0, 0]
    assert start.per_class["head.presence.weight"] == [1, 1]
    assert start.per_class["refinement.mix.0.weight"] == [0, 1, 0, 0]


def test_another_network_gives_its_backbone_alone(tmp_path: Path) -> None:
    source, network = drawn(name="danet"), drawn(7, name="fcn")
    directory = saved(source, FOUR, tmp_path)
    seven = Classes.named(list("abcdefg"))
    with pytest.raises(CheckpointError, match=r"holds a danet that this fcn cannot start from.*train\.take=backbone"):
        init_from(network, directory, seven)
    head = {key: value.clone() for key, value in network.head.state_dict().items()}
    assert init_from(network, directory, seven, "backbone") == [f"Started from the backbone of {directory} alone."]
    learnt = source.backbone.state_dict()
    assert all(torch.equal(value, learnt[key]) for key, value in network.backbone.state_dict().items())
    assert all(torch.equal(value, head[key]) for key, value in network.head.state_dict().items())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"name": "danet"},
            "add model.refinement_channels=5 model.options.low_level_channels=4. To start from its backbone alone",
        ),
        (
            {"name": "danet", "refinement_channels": 5, "low_level_channels": 4, "auxiliary_head": True},
            "add model.options.auxiliary_head=false.",
        ),
        ({"name": "danet", "refinement_channels": 9, "low_level_channels": 4}, "add model.refinement_channels=5."),
        ({"name": "fcn"}, "cannot start from: .* To start from its backbone alone, add train.take=backbone"),
        ({"name": "danet", "backbone": "resnet10t"}, "Set model.backbone=test_resnet"),
    ],
)
def test_a_network_that_differs_is_told_which_settings_make_it_the_models(
    options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    source = drawn(name="danet", refinement_channels=5, low_level_channels=4, dropout=0.5, align_corners=False)
    with pytest.raises(CheckpointError, match=told) as refusal:
        init_from(drawn(**options), saved(source, FOUR, tmp_path), FOUR)
    assert "dropout" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_another_backbone_is_refused_in_a_line(tmp_path: Path) -> None:
    directory = saved(drawn(name="fcn"), FOUR, tmp_path)
    network = drawn(name="fcn", backbone="resnet10t")
    with pytest.raises(
        CheckpointError, match=r"is not the resnet10t of this network: .* Set model\.backbone"
    ) as refusal:
        init_from(network, directory, FOUR, "backbone")
    assert "\n" not in str(refusal.value)
