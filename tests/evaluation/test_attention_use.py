"""The shares of attention against a loop, and by hand where attention is even or perfect."""

from __future__ import annotations

import math

import pytest
import torch

from scenescope.errors import ModelError
from scenescope.evaluation.attention_use import AttentionShares, AttentionUse
from scenescope.evaluation.evaluator import evaluate
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.lab.scenes import ScenesDataset
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.outputs import AttentionRows
from tests.attention.test_vote import CELLS, slow_shares, some_labels

NAMES = ("a", "b", "c")


def shares_of(labels: torch.Tensor, rows: AttentionRows, parts: int = 1) -> AttentionShares:
    use = AttentionUse(3)
    for some, query, key in zip(
        labels.split(2 // parts), rows.query.split(2 // parts), rows.key.split(2 // parts), strict=True
    ):
        use.update(some, AttentionRows(query, key, rows.grids), CELLS)
    found = AttentionShares.from_sums(use, NAMES)
    assert found is not None
    return found


def test_shares_are_those_of_a_loop() -> None:
    labels = some_labels()
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 4, 3, 5, generator=generator), torch.randn(2, 4, 15, generator=generator)
    paid, area, weight, entropies = [0.0] * 3, [0.0] * 3, [0.0] * 3, []
    for q, k, cells in zip(query.flatten(2), key, slow_shares(labels, 3), strict=True):
        scored = [cell for cell in cells if sum(cell)]
        mean = [sum(cell[c] for cell in scored) / len(scored) for c in range(3)]
        for j, own in enumerate(cells):
            if not sum(own):
                continue
            row = torch.softmax(q[:, j] @ k, dim=0).tolist()
            entropies.append(-sum(s * math.log(s) for s in row))
            votes = [sum(s * cell[c] for s, cell in zip(row, cells, strict=True)) for c in range(3)]
            for c in range(3):
                weight[c] += own[c]
                paid[c] += own[c] * votes[c] / sum(votes)
                area[c] += own[c] * mean[c]
    for parts in (1, 2):
        found = shares_of(labels, AttentionRows(query, key), parts)
        assert found.own == pytest.approx([p / w for p, w in zip(paid, weight, strict=True)], rel=1e-5)
        assert found.area == pytest.approx([a / w for a, w in zip(area, weight, strict=True)], rel=1e-5)
        assert found.mean_own == pytest.approx(sum(paid) / sum(weight), rel=1e-5)
        assert found.mean_area == pytest.approx(sum(area) / sum(weight), rel=1e-5)
        assert found.attends_to == pytest.approx(math.exp(sum(entropies) / len(entropies)), rel=1e-5)
        assert found.positions == 15


def test_even_attention_is_chance_and_attention_to_the_own_class_is_all() -> None:
    labels = some_labels()
    even = shares_of(labels, AttentionRows(torch.zeros(2, 4, 3, 5), torch.zeros(2, 4, 15)))
    assert even.lift == pytest.approx(1)
    assert even.own == pytest.approx(even.area)
    assert even.attends_to == pytest.approx(15)
    plain = torch.zeros(2, 12, 20, dtype=torch.uint8)
    plain[:, :, 12:] = 1  # two columns of cells of five: 6 positions of 15
    code = torch.tensor([30.0, 30, 30, -30, -30]).expand(2, 1, 3, 5)
    own = shares_of(plain, AttentionRows(code, code.flatten(2).sign()))
    assert own.own == [pytest.approx(1), pytest.approx(1), None]
    assert own.area == [pytest.approx(0.6), pytest.approx(0.4), None]
    assert own.lift == pytest.approx(1 / (0.6 * 0.6 + 0.4 * 0.4))
    assert own.attends_to == pytest.approx(math.exp(0.6 * math.log(9) + 0.4 * math.log(6)), rel=1e-4)


def test_an_evaluation_measures_what_the_network_attends_to() -> None:
    scenes = ScenesDataset("", "val")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = create_model("danet", num_classes=8, backbone="test_resnet", output_stride=16)
        torch.nn.init.normal_(network.head.position.query.weight, std=3.0)

    class Two:
        classes, split, root = scenes.classes, "val", ""
        __len__ = lambda self: 2  # noqa: E731
        __getitem__ = lambda self, index: scenes[index]  # noqa: E731

    for form in (Segmenter(network, scenes.classes), Segmenter(network, scenes.classes, fused=True)):
        use, expected = AttentionUse(8), AttentionUse(8)
        evaluate(form, Two(), attention=use)  # type: ignore[arg-type]
        with torch.inference_mode():
            for index in range(2):
                image = torch.from_numpy(scenes[index].image.transpose(2, 0, 1)[None].copy())
                labels = torch.from_numpy(scenes[index].labels)[None]
                features = network.head.position_in(network.eval().backbone(network.prepare(image))[-1])  # type: ignore[union-attr, operator]
                rows = network.head.position.row_factors(features)  # type: ignore[union-attr, operator]
                expected.update(labels, rows, network.cells(features, labels.shape[-2:]))
        torch.testing.assert_close(use.sums, expected.sums, rtol=1e-3, atol=1e-4)
        assert use.spread[0] == expected.spread[0] > 0
    with pytest.raises(ModelError, match="leave out scales, flip and windows"):
        evaluate(network, Two(), InferenceSettings(flip=True), attention=AttentionUse(8))  # type: ignore[arg-type]


def test_a_network_without_position_attention_has_no_shares() -> None:
    use = AttentionUse(3)
    with torch.random.fork_rng():
        network = create_model("fcn", num_classes=3, backbone="test_resnet")
    use.look(torch.zeros(1, 8, 8, dtype=torch.uint8), network, {})
    assert AttentionShares.from_sums(use, Classes.named(NAMES).names) is None
