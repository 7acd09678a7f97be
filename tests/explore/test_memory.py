import copy

import numpy as np
import pytest
import torch
from torch import nn

from scenescope.explore import memory
from scenescope.explore.knife import Cut
from scenescope.explore.memory import remembering
from scenescope.explore.trace import attend
from scenescope.inference.fuse import optimize_for_inference
from scenescope.models.catalog import create_model


class Counting(nn.Linear):
    """Counts how often it computes."""

    calls = 0

    def forward(self, features, *, twice=False):
        Counting.calls += 1
        return super().forward(features) * (2 if twice else 1)


@pytest.fixture
def counting():
    Counting.calls = 0
    return Counting(3, 2)


def test_the_same_tensors_are_computed_with_once(counting):
    asked, equal = torch.ones(1, 3), torch.ones(1, 3)
    part = remembering(counting)
    first = part(asked)
    assert part(asked) is first
    assert Counting.calls == 1
    assert torch.equal(part(equal), first)  # another object
    assert Counting.calls == 2
    assert torch.equal(part(equal, twice=True), 2 * first)
    assert Counting.calls == 3


def test_weights_that_were_written_to_are_asked_again(counting):
    asked, part = torch.ones(1, 3), remembering(counting)
    before = part(asked)
    with torch.no_grad():
        counting.bias.add_(1)
    assert torch.allclose(part(asked), before + 1)


def test_features_in_a_list_are_told_apart_one_by_one():
    class First(nn.Module):
        def forward(self, stages):
            return stages[0] + 1

    low, high = torch.zeros(1), torch.ones(1)
    part = remembering(First())
    assert part([low, high]) is part([low, high])
    assert part([high, low]).item() == 2


@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("danet", [Cut(classes=[0]), Cut(alpha=0), Cut(beta=3, classes=[0]), Cut(alpha=4), Cut(channels=[1]), Cut()]),
        ("sanet", [Cut(heads=[1]), Cut(heads=[2, 4]), Cut()]),
        ("dranet", [Cut(alpha=0), Cut(beta=3), Cut()]),
        ("fcn_se", [Cut(branches=["excitation"]), Cut()]),
    ],
)
def test_cuts_one_after_another_are_as_each_alone(name, cuts, image, monkeypatch):
    torch.manual_seed(0)
    network = create_model(name, num_classes=4, backbone="test_resnet", output_stride=16, refinement_channels=4)
    nn.init.normal_(network.refinement.correct.weight)
    trace = attend(network, image)
    found = [trace.cut(cut).labels for cut in cuts]
    monkeypatch.setattr(memory, "remembering", lambda part: part)
    for cut, labels in zip(cuts, found, strict=True):
        np.testing.assert_array_equal(attend(network, image).cut(cut).labels, labels)


def test_only_what_a_cut_changes_is_computed_again(network, image):
    trace = attend(copy.deepcopy(network), image)
    head = trace.network.head
    calls = []
    # A copy that remembers asks the part itself, past its hooks; so its own parts are watched.
    for name in ("position_in", "channel_in", "position_out", "channel_out", "classifier"):
        getattr(head, name)[-1].register_forward_hook(lambda *given, name=name: calls.append(name))
    trace.cut(Cut(alpha=2))
    assert calls == ["position_in", "position_out", "channel_in", "channel_out", "classifier"]
    calls.clear()
    trace.cut(Cut(alpha=3))
    assert calls == ["position_out", "classifier"]


def test_a_cut_of_the_fused_form_does_not_look_at_the_image_again(image):
    torch.manual_seed(0)
    network = create_model("danet", num_classes=4, backbone="test_resnet", output_stride=16, refinement_channels=4)
    nn.init.normal_(network.refinement.correct.weight)
    trace = attend(optimize_for_inference(network, torch.float32), image)
    looked = []
    trace.network.refinement.of_detail[0][0].register_forward_hook(lambda *_: looked.append("image"))
    for factor in (0, 2, 3):
        trace.cut(Cut(alpha=factor))
    assert looked == ["image"]
