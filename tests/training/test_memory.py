"""The estimate against what is known of a network by hand; memory that is kept."""

import platform
import subprocess
import sys

import pytest
import torch

from scenescope.losses import SegmentationLoss
from scenescope.models.catalog import create_model
from scenescope.outputs import SegmentationOutput
from scenescope.training.memory import MemoryEstimate, estimate_memory


def test_logits_of_many_classes_count() -> None:
    few, many = estimate(), estimate(num_classes=150)
    # The loss keeps log-probabilities at the size of the image: 146 more of them for each of two images.
    assert many.activations - few.activations > 0.99 * 2 * 146 * 64 * 96 * 4


def estimate(num_classes: int = 4, **changes: object) -> MemoryEstimate:
    arguments = {"batch_size": 2, "height": 64, "width": 96, "moments": 1, "ema": False, "mixed_precision": False}
    return estimate_memory(
        lambda: create_model("fcn", num_classes=num_classes, backbone="resnet18"),
        **(arguments | changes),  # type: ignore[arg-type]
    )


def test_parts_by_hand() -> None:
    plain = estimate(moments=2, ema=True)
    network = create_model("fcn", num_classes=4, backbone="resnet18")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert plain.gradients == 4 * parameters
    assert plain.optimizer == 8 * parameters
    assert plain.weights == plain.ema == sum(value.nbytes for value in network.state_dict().values())
    assert plain.total == plain.weights * 2 + plain.gradients * 3 + plain.activations


def test_activations_grow_with_the_images_and_shrink_with_their_format() -> None:
    one, two = estimate(batch_size=1), estimate(batch_size=2)
    assert 1.9 < two.activations / one.activations < 2.1
    # Mixed precision also keeps a copy of the weights, so the images have to be large to gain.
    large = {"batch_size": 4, "height": 256, "width": 256}
    assert estimate(mixed_precision=True, **large).activations < 0.8 * estimate(**large).activations
    # The stem's first convolution alone keeps its input and its output: 3 x 64 x 96 and 64 x 32 x 48 floats an image.
    assert one.activations > 4 * (3 * 64 * 96 + 64 * 32 * 48)


@pytest.mark.parametrize(
    ("regions", "copies"), [({"dice": 1.0}, 1), ({"lovasz": 1.0}, 2), ({"dice": 1.0, "lovasz": 1.0}, 2)]
)
def test_losses_of_regions_keep_as_many_copies_of_the_logits_as_is_said(regions: dict[str, float], copies: int) -> None:
    logits, labels = torch.randn(2, 8, 64, 96, requires_grad=True), torch.randint(0, 8, (2, 64, 96))
    kept = []
    for settings in ({}, regions):
        saved = {}
        loss = SegmentationLoss(**settings)

        def count(tensor: torch.Tensor, saved: dict[int, torch.Tensor] = saved) -> torch.Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss(SegmentationOutput(logits, {}), labels, loss.normalizer(labels))
        kept.append(sum(tensor.untyped_storage().nbytes() for tensor in saved.values()))
    # Beside them only truth values, a quarter of a copy.
    assert copies * logits.nbytes < kept[1] - kept[0] < (copies + 0.4) * logits.nbytes
    assert estimate(copies=copies).activations == estimate().activations + copies * 2 * 4 * 64 * 96 * 4


def test_logits_of_whole_images_weigh_nothing() -> None:
    def sanet(categorical: str) -> MemoryEstimate:
        return estimate_memory(
            lambda: create_model("sanet", num_classes=4, backbone="resnet18", categorical=categorical),
            batch_size=2, height=64, width=96, moments=1, ema=False, mixed_precision=False,
        )  # fmt: skip

    assert sanet("none").activations <= sanet("dense").activations < 1.01 * sanet("none").activations


RESIDENT = """
import sys
from pathlib import Path
import torch
from scenescope.training.memory import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

torch.ones(1000)
if sys.argv[1] == "kept":
    keep_freed_memory()
before = resident()
tensor = torch.ones(50_000_000)
del tensor
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    grown = {
        how: int(subprocess.run([sys.executable, "-c", RESIDENT, how], capture_output=True, check=True).stdout)
        for how in ("kept", "given back")
    }
    assert grown["given back"] < 50e6 < 150e6 < grown["kept"]
