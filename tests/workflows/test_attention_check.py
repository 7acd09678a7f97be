"""Whether attention is at work, and the tables of classes by classes, on networks of which it is known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.data.dataset import LabeledImage
from scenescope.drawing.charts import draw_class_cuts
from scenescope.errors import ModelError
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.evaluation.scores import Scores
from scenescope.explore.trace import attend
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import IGNORE, Classes
from scenescope.models.catalog import create_model
from scenescope.workflows.attention_check import AttentionCheck, check_attention
from scenescope.workflows.class_cuts import cut_classes

CLASSES = Classes.named(["road", "sky", "car"])


class Blocks:
    """Two images of blocks of 32 pixels; their labels are what the network says of them, but in one block."""

    classes, split, root = CLASSES, "val", "blocks"

    def __init__(self, network: torch.nn.Module) -> None:
        self.scenes = []
        for seed in range(2):
            small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
            image = small.repeat(32, 0).repeat(32, 1)
            labels = attend(network, image).labels.copy()  # type: ignore[arg-type]
            labels[:32, :32] = IGNORE
            labels[32:64, :32] = 2
            self.scenes.append(LabeledImage(image, labels, str(seed)))

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> LabeledImage:
        return self.scenes[index]


def made(name: str, alpha: float = 2.0, **options: object) -> Segmenter:
    torch.manual_seed(1)
    network = create_model(
        name, num_classes=3, backbone="test_resnet", pretrained=False, output_stride=16, **options
    ).eval()
    for key, parameter in network.named_parameters():
        if key.endswith(("alpha", "beta")):
            torch.nn.init.constant_(parameter, alpha)
    for part in network.head.modules():
        if isinstance(part, torch.nn.Conv2d) and part.bias is not None:
            torch.nn.init.zeros_(part.bias)
    return Segmenter(network, CLASSES)


def score(segmenter: Segmenter, data: Blocks) -> float | None:
    matrix = ConfusionMatrix(3)
    for scene in data.scenes:
        matrix.update(
            torch.from_numpy(scene.labels)[None], torch.from_numpy(segmenter.predict(scene.image).labels)[None]
        )
    return Scores.from_matrix(matrix, CLASSES.names).mean_iou


def test_the_scores_without_attention_are_those_of_a_network_without_it() -> None:
    segmenter = made("danet")
    data = Blocks(segmenter.network)
    found = check_attention(segmenter, data)  # type: ignore[arg-type]
    assert found.images == 2
    assert found.mean_iou == pytest.approx(score(segmenter, data))
    for kind, module, scale in (
        ("position attention", "position", "alpha"),
        ("channel attention", "channel", "beta"),
    ):
        network = copy.deepcopy(segmenter.network)
        torch.nn.init.zeros_(getattr(getattr(network.head, module), scale))
        without = score(Segmenter(network, CLASSES), data)
        assert found.without[kind] == pytest.approx(without, abs=1e-3)
    assert found.without["position attention"] < found.mean_iou - 0.01
    assert found.verdict("position attention") == "at work"
    assert found.scales == {"alpha": 2.0, "beta": 2.0}
    assert found.shares is not None
    assert found.to_json()["position"]["own_class_share"] == found.shares.mean_own


def test_what_is_scaled_by_zero_is_asleep_and_what_does_harm_is_harmful() -> None:
    segmenter = made("danet", alpha=0.0)
    found = check_attention(segmenter, Blocks(segmenter.network))  # type: ignore[arg-type]
    assert [found.verdict(kind) for kind in found.without] == ["asleep", "asleep"]
    assert found.sentences()[0].startswith("Position attention is asleep: without it mean IoU is ")
    assert "of what a position attends to lies on its own class, which covers" in found.sentences()[0]
    awake = made("danet")
    harmed = check_attention(awake, Blocks(segmenter.network))  # type: ignore[arg-type]
    assert harmed.verdict("position attention") == "harmful"


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("sanet", [f"attention in the head of stage {stage}" for stage in (1, 2, 3, 4)]),
        ("dranet", ["position attention", "channel attention"]),
        ("fcn_se", ["squeeze-and-excitation"]),
    ],
)
def test_every_kind_of_attention_is_cut(name: str, kinds: list[str]) -> None:
    segmenter = made(name)
    found = check_attention(segmenter, Blocks(segmenter.network))  # type: ignore[arg-type]
    assert list(found.without) == kinds
    assert (found.shares is not None) == (name == "dranet")
    assert len(found.sentences()) == len(kinds) + len(found.groups)
    assert list(found.groups) == ([1, 2, 3, 4] if name == "sanet" else [])


def test_a_network_without_attention_is_told() -> None:
    segmenter = made("fcn")
    with pytest.raises(ModelError, match="fcn has no attention to check; danet, sanet, dranet and fcn_se have"):
        check_attention(segmenter, Blocks(segmenter.network))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="fcn has no position attention"):
        cut_classes(segmenter, Blocks(segmenter.network))  # type: ignore[arg-type]


@torch.inference_mode()
def test_classes_by_classes(tmp_path) -> None:  # type: ignore[no-untyped-def]
    segmenter = made("danet")
    data = Blocks(segmenter.network)
    found = cut_classes(segmenter, data)  # type: ignore[arg-type]
    totals, positions = np.zeros((3, 3)), np.zeros(3)
    matrices = [ConfusionMatrix(3) for _ in range(4)]
    for scene in data.scenes:
        view = attend(segmenter, scene.image)
        own = view.labels[8::16, 8::16].ravel()
        rows = view.position.module.rows(view.position.features, range(48))[0].detach().numpy()
        for position, label in enumerate(own):
            positions[label] += 1
            for other in range(3):
                totals[label, other] += rows[position, own == other].sum()
        truth = torch.from_numpy(scene.labels)[None]
        matrices[3].update(truth, torch.from_numpy(view.labels)[None])
        for other in range(3):
            network = copy.deepcopy(segmenter.network)
            shown = torch.from_numpy(np.flatnonzero(own != other))

            def masked(module, given, output, shown=shown):  # type: ignore[no-untyped-def]
                rows = module.row_factors(given[0])
                query, key = rows.query.flatten(2)[0], rows.key[0]
                weights = torch.softmax(query.t() @ key[:, shown], dim=1)
                values = module.value(given[0]).flatten(2)[0][:, shown]
                return module.alpha * (values @ weights.t()).view(given[0].shape) + given[0]

            if 0 < len(shown) < 48:
                network.head.position.register_forward_hook(masked)  # type: ignore[union-attr]
            matrices[other].update(truth, torch.from_numpy(attend(network, scene.image).labels)[None])
    present = positions > 0
    np.testing.assert_allclose(np.array(found.paid, float)[present], (totals / positions[:, None])[present], rtol=1e-4)
    iou = [Scores.from_matrix(matrix, CLASSES.names).iou for matrix in matrices]
    assert found.iou == list(iou[3])
    for label in range(3):
        for other in range(3):
            before, after = iou[3][label], iou[other][label]
            change = None if before is None or after is None else after - before
            assert found.change[label][other] == pytest.approx(change, abs=2e-3)
    assert any(abs(value or 0) > 0.01 for row in found.change for value in row)
    draw_class_cuts(found.paid, found.change, found.names, tmp_path / "cuts.png")
    with Image.open(tmp_path / "cuts.png") as drawn:
        assert drawn.width > 1.8 * drawn.height


def test_verdicts_by_hand() -> None:
    found = AttentionCheck(9, None, 0.7, {"a": 0.6949, "b": 0.6951, "c": 0.7051, "d": 0.7049}, {})
    assert [found.verdict(kind) for kind in "abcd"] == ["at work", "asleep", "harmful", "asleep"]
    assert found.sentences()[0] == "A is at work: without it mean IoU is 0.6949 in place of 0.7000 (-0.5 points)."
