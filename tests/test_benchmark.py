"""What is measured is the prediction, in every form, and every byte of it."""

import pytest
import torch

from scenescope import benchmark
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

CPU = torch.device("cpu")
CLASSES = Classes.named(["road", "sky", "tree"])


@pytest.fixture
def network():
    torch.manual_seed(0)
    return create_model("fcn", num_classes=3, backbone="test_resnet", output_stride=16).eval()


def test_forms_take_turns_and_each_call_is_timed(network, monkeypatch):
    clock = iter(range(100))
    called = []
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock) ** 2)
    monkeypatch.setattr(benchmark, "supports_bfloat16", lambda device: False)
    monkeypatch.setattr(benchmark, "predict_labels", lambda form, image: called.append((form is network, image.shape)))
    costs = benchmark.measure(Segmenter(network, CLASSES), 40, 56, repeats=3)
    assert [own for own, _ in called] == [True, False] * 4  # once for memory, three times for time
    assert {shape for _, shape in called} == {(1, 3, 40, 56)}
    # The k-th call takes (2k + 1)^2 - (2k)^2 = 4k + 1; the medians are those of the second round.
    assert [(cost.form, cost.seconds) for cost in costs] == [("as it is", 9), ("fused", 13)]


def test_bfloat16_is_measured_where_it_is_multiplied(network, monkeypatch):
    monkeypatch.setattr(benchmark, "supports_bfloat16", lambda device: True)
    costs = benchmark.measure(Segmenter(network, CLASSES), 32, 32, repeats=1)
    assert [cost.form for cost in costs] == ["as it is", "fused", "bfloat16"]


def test_memory_is_that_of_the_call():
    kept = []
    peak = benchmark._peak(lambda: kept.append(torch.ones(50_000_000)), CPU)
    if peak is None:
        pytest.skip("this system does not tell the memory of a process")
    assert 190e6 < peak < 220e6
