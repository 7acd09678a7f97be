"""What attention groups, by hand and against a loop."""

from __future__ import annotations

import pytest
import torch

from scenescope.evaluation.attention_groups import NEAREST, AttentionGroups, groups_sentence
from scenescope.labels import IGNORE


def test_attention_that_is_the_class_groups_by_class_and_one_that_is_the_place_by_place() -> None:
    labels = (torch.arange(20)[:, None] // 2 + torch.arange(30) // 3) % 2  # a checkerboard of small fields
    by_class, by_place = AttentionGroups(), AttentionGroups()
    by_class.update(labels[None].float(), labels)
    place = torch.stack([torch.arange(20.0)[:, None].expand(20, 30), torch.arange(30.0).expand(20, 30)])
    by_place.update(place, labels)
    assert by_class.shares()["alike"] == 1
    assert by_place.shares()["alike"] == pytest.approx(by_place.shares()["near"])
    assert by_place.shares()["area"] == pytest.approx((300 - 1) / (600 - 1))
    assert "groups by class: 100% of the positions" in groups_sentence(4, by_class.shares())
    assert "tells no more of the class than the place does" in groups_sentence(4, by_place.shares())


def test_shares_are_those_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    attention = torch.rand(3, 6, 7, generator=generator)
    labels = torch.randint(0, 3, (6, 7), generator=generator)
    labels[0, :3] = IGNORE
    found = AttentionGroups()
    found.update(attention, labels)
    points = [(y, x) for y in range(6) for x in range(7) if labels[y, x] != IGNORE]
    nearest = int(NEAREST * len(points))
    assert nearest == 1
    alike = near = area = 0.0
    for point in points:
        others = [other for other in points if other != point]
        same = {other: float(labels[other] == labels[point]) for other in others}
        closest = min(
            others, key=lambda other: (attention[:, other[0], other[1]] - attention[:, point[0], point[1]]).norm()
        )
        alike += same[closest]
        area += sum(same.values()) / len(others)
        least = min((other[0] - point[0]) ** 2 + (other[1] - point[1]) ** 2 for other in others)
        ties = [same[o] for o in others if (o[0] - point[0]) ** 2 + (o[1] - point[1]) ** 2 == least]
        near += sum(ties) / len(ties)
    shares = found.shares()
    assert shares["alike"] == pytest.approx(alike / len(points))
    assert shares["area"] == pytest.approx(area / len(points))
    assert abs(shares["near"] - near / len(points)) < 0.25  # which of the nearest is taken is open


def test_nothing_to_compare_adds_nothing() -> None:
    found = AttentionGroups()
    labels = torch.full((4, 4), IGNORE)
    labels[1, 1] = 0
    found.update(torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0)), labels)
    assert found.shares() == {"alike": 0, "near": 0, "area": 0}
