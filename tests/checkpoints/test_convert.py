"""Converted models give the logits that the other code gives; what does not fit is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scenescope.checkpoints.convert import convert
from scenescope.checkpoints.model_directory import load_model
from scenescope.errors import CheckpointError, DataError, ModelError, StorageError
from tests.checkpoints import peers
from tests.checkpoints.peers import Weights

K = 4
IMAGE = torch.randn(1, 3, 65, 97, generator=torch.Generator().manual_seed(1))
State = dict[str, Tensor]
Peer = Callable[[Weights, Tensor, int], Tensor]

OLDER_DRANET = {
    "head.conv_cpam_b": "head.conv5_s",
    "head.cpam_enc": "head.en_s",
    "head.cpam_dec.conv_query": "head.de_s.query_conv2",
    "head.cpam_dec.conv_key": "head.de_s.key_conv2",
    "head.cpam_dec.conv_value": "head.de_s.value2",
    "head.cpam_dec.scale": "head.de_s.scale",
    "head.conv_cpam_e": "head.conv52",
    "head.conv_ccam_b": "head.conv5_c",
    "head.ccam_enc": "head.conv51_c",
    "head.ccam_dec": "head.de_c",
    "head.conv_ccam_e": "head.conv51",
    "head.conv_cat": "head.conv_f",
    "head.clgd.conv_low": "head.skipconv",
    "head.clgd.conv_cat": "head.fusion",
    "head.clgd.conv_out": "head.fusion2",
    "head.clgd.conv_att": "head.att",
    "head.clgd.gamma": "head.gamma",
    "cls_seg": "head.conv6",
    "cls_aux": "head.conv7",
}


def older(state: State) -> State:
    """Rename a DRANet of today to what it was called before its release."""
    renamed = {}
    for key, value in state.items():
        name = max((name for name in OLDER_DRANET if key.startswith(f"{name}.") or key == name), key=len, default="")
        renamed[OLDER_DRANET[name] + key.removeprefix(name) if name else key] = value
    return renamed


def parallel(state: State) -> State:
    return {f"module.{key}": value for key, value in state.items()}


def mmseg(head: str, **how: object) -> Peer:
    return functools.partial(peers.mmseg, getattr(peers, f"mmseg_{head}"), **how)  # type: ignore[arg-type]


v1c = functools.partial(peers.resnet, stem="mmseg")
official_2018 = functools.partial(peers.official_danet, stem="7x7")
mmsegs = {
    f"mmseg {head}, align_corners={aligned}": (
        mmseg(head, align_corners=aligned),
        lambda state: {"meta": {"epoch": 3}, "state_dict": state, "optimizer": {"lr": 0.1}},
        {"output_stride": 32, "align_corners": aligned},
        "resnet18",
    )
    for head in ("danet", "fcn", "pspnet", "deeplabv3", "deeplabv3plus")
    for aligned in (False, True)
}
CASES: dict[str, tuple[Peer, Callable[[State], object], dict[str, object], str]] = {
    "official 2020": (peers.official_danet, lambda state: state, {}, "resnet50s.gluon_in1k"),
    "official 2018": (
        official_2018,
        lambda state: {"epoch": 9, "state_dict": parallel(state), "optimizer": {"state": {}}, "best_pred": 0.5},
        {},
        "resnet50",
    ),
    "official 2018, other dilation": (
        functools.partial(official_2018, grid=()),
        lambda state: {"state_dict": state},
        {"multi_grid": None},
        "resnet50",
    ),
    "DRANet": (peers.official_dranet, lambda state: {"state_dict": state}, {}, "resnet50s.gluon_in1k"),
    "DRANet, older names": (peers.official_dranet, lambda state: older(state), {}, "resnet50s.gluon_in1k"),
    "Tramac": (functools.partial(peers.tramac_danet, auxiliary=True), lambda state: state, {}, "resnet50s.gluon_in1k"),
    "mmseg danet, R50 dilated": (
        mmseg("danet", backbone=v1c), lambda state: {"state_dict": state}, {}, "resnet50c.gluon_in1k"
    ),
    **mmsegs,
}  # fmt: skip


def drawn(peer: Peer, image: Tensor = IMAGE) -> tuple[State, Tensor]:
    weights = Weights()
    with torch.no_grad():
        logits = peer(weights, image, K)
    return weights.state, logits


def saved(content: object, tmp_path: Path) -> Path:
    torch.save(content, tmp_path / "peer.pth")
    return tmp_path / "peer.pth"


@functools.cache
def small() -> State:
    """Weights of mmsegmentation's FCN with ResNet-18."""
    return drawn(mmseg("fcn"), IMAGE[..., :32, :32])[0]


def save_small(tmp_path: Path, state: State | None = None, **beside: object) -> Path:
    return saved({"state_dict": dict(small()) if state is None else state, **beside}, tmp_path)


UNDILATED = {"output_stride": 32}


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_other_code(case: str, tmp_path: Path) -> None:
    peer, contained, options, backbone = CASES[case]
    state, expected = drawn(peer)
    done = convert(saved(contained(state), tmp_path), tmp_path / "model", options=options)
    assert done.model["backbone"] == backbone
    assert done.model["num_classes"] == K
    with torch.inference_mode():
        logits = load_model(tmp_path / "model").network.eval()(IMAGE, stretch=True).logits
    assert (logits - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("case", ["official 2020", "mmseg danet, align_corners=False"])
def test_another_choice_where_the_file_is_silent_gives_other_logits(case: str, tmp_path: Path) -> None:
    """So the comparison above would notice a wrong preset."""
    peer, contained, options, _ = CASES[case]
    state, expected = drawn(peer)
    aligned = case.startswith("official")
    convert(saved(contained(state), tmp_path), tmp_path / "model", options={**options, "align_corners": not aligned})
    with torch.inference_mode():
        logits = load_model(tmp_path / "model").network.eval()(IMAGE, stretch=True).logits
    assert (logits - expected).abs().max() > 1e-3 * expected.abs().max()


def test_what_was_left_out_filled_in_and_assumed_is_told(tmp_path: Path) -> None:
    state, _ = drawn(peers.tramac_danet)
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    done = convert(saved(state, tmp_path), tmp_path / "model")
    assert done.source == "DANet of awesome-semantic-segmentation-pytorch"
    assert done.left_out == ("pretrained.fc",)
    assert "num_batches_tracked as 0" in done.filled_in[0]
    assert "head.position_classifier.1.weight" in done.filled_in[1]
    assert done.assumed == {
        "output_stride": 8, "multi_grid": None, "align_corners": True, "channel_form": "official",
    }  # fmt: skip


def test_a_configuration_in_the_file_is_read_and_not_assumed(tmp_path: Path) -> None:
    text = "model = dict(backbone=dict(strides=(1, 2, 2, 2)), decode_head=dict(align_corners=True))"
    done = convert(save_small(tmp_path, meta={"cfg": text}), tmp_path / "model")
    assert (done.model["output_stride"], done.model["align_corners"]) == (32, True)
    assert done.assumed == {"multi_grid": None}


def test_presets_replace_what_the_source_suggests(tmp_path: Path) -> None:
    state, _ = drawn(peers.official_danet, IMAGE[..., :32, :32])
    file = saved(state, tmp_path)
    assert convert(file, tmp_path / "paper", preset="paper").model["channel_form"] == "paper"
    assert convert(file, tmp_path / "plain", options={"multi_grid": None}).model["multi_grid"] is None
    with pytest.raises(ModelError, match="danet has no preset 'papr'; known: official, official-2018, mmseg"):
        convert(file, tmp_path / "other", preset="papr")


@pytest.mark.parametrize(
    ("meta", "names"),
    [
        ({"CLASSES": ["sky", "road", "tree", "car"], "PALETTE": [[0, 0, 9], [0, 9, 0], [9, 0, 0], [9, 9, 9]]}, "sky"),
        ({"dataset_meta": {"classes": ("sky", "road", "tree", "car"), "palette": "torn"}}, "sky"),
        ({"CLASSES": ["sky", "road"]}, "class 0"),
        ({"CLASSES": ["sky", "sky", "tree", "car"]}, "class 0"),
        ({"CLASSES": [{"name": "sky"}, 1, 2, 3]}, "class 0"),
        ("no mapping", "class 0"),
    ],
)
def test_class_names_come_from_the_file_if_they_can_be_used(meta: object, names: str, tmp_path: Path) -> None:
    convert(save_small(tmp_path, meta=meta), tmp_path / "model", options=UNDILATED)
    assert load_model(tmp_path / "model").classes.names[0] == names


def test_class_names_come_from_a_data_set_or_a_file(tmp_path: Path) -> None:
    path = save_small(tmp_path)
    with pytest.raises(DataError, match="has 4 classes, and cityscapes 19"):
        convert(path, tmp_path / "model", options=UNDILATED, classes="cityscapes")
    (tmp_path / "classes.yaml").write_text("names: [a, b, c, d]\n")
    done = convert(path, tmp_path / "model", options=UNDILATED, classes=str(tmp_path / "classes.yaml"))
    assert done.classes.names == ("a", "b", "c", "d")
    state = dict(small())
    for key in ("decode_head.conv_seg", "auxiliary_head.conv_seg"):
        for end in (".weight", ".bias"):
            state[key + end] = state[key + end].repeat(5, *[1] * (state[key + end].ndim - 1))[:19]
    done = convert(save_small(tmp_path, state), tmp_path / "city", options=UNDILATED)
    assert (done.classes.names[18], done.classes_from) == ("bicycle", "named as in cityscapes, which has as many")


def swapped(state: State) -> None:
    """Exchange two weights of different shapes."""
    one, two = "backbone.layer1.0.conv1.weight", "backbone.layer2.0.conv1.weight"
    state[one], state[two] = state[two], state[one]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda state: state.pop("backbone.layer1.0.bn1.weight"), r"missing.*backbone\.stages\.layer1\.0\.bn1\.weight"),
        (lambda state: state.update({"decode_head.more.weight": torch.ones(1)}), r"unused.*decode_head\.more\.weight"),
        (lambda state: state.update({"backbone.layer1.0.conv9.weight": torch.ones(1)}), r"layer1\.0\.conv9\.weight"),
        (swapped, r"backbone\.stages\.layer1\.0\.conv1\.weight.*layer2\.0\.conv1\.weight"),
        (lambda state: state.pop("decode_head.conv_seg.weight"), "lacks the weight decode_head.conv_seg.weight"),
        (lambda state: state.pop("backbone.layer4.1.conv1.weight"), r"missing.*layer4\.1\.conv1"),
        (
            lambda state: [state.pop(key) for key in list(state) if key.startswith("backbone.layer4.1.")],
            r"stages of \(2, 2, 2, 1\) blocks",
        ),
    ],
)
def test_weights_that_do_not_fit_are_listed(fault: Callable[[State], object], told: str, tmp_path: Path) -> None:
    state = dict(small())
    fault(state)
    with pytest.raises(CheckpointError, match=told):
        convert(save_small(tmp_path, state), tmp_path / "model", options=UNDILATED)
    assert not (tmp_path / "model").exists()


def test_other_networks_are_named_with_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"of no known source \(1 weights: fc\.weight.*DANet of the official code"
    ):
        convert(saved({"fc.weight": torch.ones(2, 2)}, tmp_path), tmp_path / "model")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"backbone": "resnet50"}, "its weights are not those of fcn with backbone resnet50"),
        ({"num_classes": 3}, "num_classes cannot be set in a conversion"),
        ({"align_corners": "yes"}, r"align_corners is .yes., but it should be true or false"),
        ({"allign_corners": True}, "allign_corners"),
        ({}, r"output_stride=32"),  # mmsegmentation dilates a ResNet-18 in a way that is not ours
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], told: str, tmp_path: Path) -> None:
    with pytest.raises((ModelError, CheckpointError), match=told):
        convert(save_small(tmp_path), tmp_path / "model", options=options)
    assert not (tmp_path / "model").exists()


def test_an_existing_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(StorageError, match="exists already"):
        convert(save_small(tmp_path), tmp_path / "model", options=UNDILATED)
    assert not list((tmp_path / "model").iterdir())


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    halved = {key: value.half() if value.is_floating_point() else value for key, value in small().items()}
    convert(save_small(tmp_path, halved), tmp_path / "model", options=UNDILATED)
    weight = load_model(tmp_path / "model").network.state_dict()["head.classifier.1.weight"]
    assert torch.equal(weight, halved["decode_head.conv_seg.weight"].float())
