"""Measure the whole of it against the plain forms that other toolkits use, and write benchmarks/speed.md.

    python benchmarks/speed.py [network training export answer loading startup] [--model DIR] [--data KIND:ROOT]

Parts that are not named keep their section of the page. Times are CPU times of one thread, medians of calls
that take turns; peak memory is that of a fresh process beyond what it held before the call. ``--model`` and ``--data``
add what only a trained network can tell: the labels in bfloat16, and the score in 8 bits.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from attention import Module, plain
from measure import in_fresh_process, interleaved, machine, peak_memory, table
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from scenescope import export
from scenescope.attention.position import PositionAttention
from scenescope.checkpoints.model_directory import load_model
from scenescope.config import AugmentSettings
from scenescope.data.catalog import open_dataset, parse_source
from scenescope.data.dataset import LabeledImage
from scenescope.data.transforms import apply_parameters, draw_parameters
from scenescope.device import supports_bfloat16
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.inference.exported import open_exported
from scenescope.inference.fuse import optimize_for_inference
from scenescope.inference.resize_argmax import resize_argmax
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.losses import SegmentationLoss
from scenescope.models.catalog import create_model
from scenescope.models.network import SegmentationNetwork
from scenescope.training.depthwise import FastDepthwiseGradients

PAGE = Path(__file__).with_name("speed.md")
CLASSES = Classes.named([f"class {number}" for number in range(19)], None)
Rows = list[list[str]]


def danet(form: str) -> SegmentationNetwork:
    """Return DANet with ResNet-50 at output stride 8; "plain" forms the N x N matrix as the official code does."""
    torch.manual_seed(0)
    network = create_model("danet", num_classes=19, backbone="resnet50")
    nn.init.constant_(network.head.position.alpha, 0.5)
    if form == "plain":
        assert isinstance(network.head.position, PositionAttention)
        network.head.position = Module(network.head.position, plain)
    if form in ("optimized", "bfloat16"):
        return optimize_for_inference(network, torch.bfloat16 if form == "bfloat16" else torch.float32)
    return network


def prediction(form: str, height: int, width: int) -> Callable[[], Tensor]:
    """Return a call that gives the logits of one image."""
    network, images = danet(form).eval(), torch.randn(1, 3, height, width)
    return torch.inference_mode()(lambda: network(images).logits)


def prediction_peak(form: str, height: int, width: int) -> int:
    """Return the peak memory of one prediction; a small one before it loads what torch loads once."""
    torch.set_num_threads(1)
    call = prediction(form, height, width)
    prediction("ours", 64, 64)()
    return peak_memory(call)


def network(arguments: argparse.Namespace) -> str:
    """The whole network, one image."""
    forms = ["plain", "ours", "optimized"] + (["bfloat16"] if supports_bfloat16(torch.device("cpu")) else [])
    rows: Rows = []
    for height, width, repeats in ((512, 512, 5), (1024, 1024, 2)):
        seconds = interleaved({form: prediction(form, height, width) for form in forms}, repeats)
        peaks = {form: in_fresh_process(prediction_peak, form, height, width) for form in forms}
        rows += compared(f"{height} x {width}", seconds, peaks)
    peak = in_fresh_process(prediction_peak, "ours", 1024, 2048)
    rows.append(["1024 x 2048", "ours", "", "", f"{peak / 1e6:.0f}", ""])
    told = table(["image", "form", "s", "time", "MB", "memory"], rows)
    if "bfloat16" not in forms:
        told += "\n\nThis CPU has no bfloat16 arithmetic; bfloat16 was not measured."
    if arguments.model is not None and arguments.data is not None:
        loaded = load_model(arguments.model).network
        dataset = open_dataset(*parse_source(arguments.data), "val")
        same = []
        halved = optimize_for_inference(loaded, torch.bfloat16)
        for images in export.spread(dataset, loaded, 5):
            with torch.inference_mode():
                labels = [each(images).logits.argmax(dim=1) for each in (loaded, halved)]
            same.append(float((labels[0] == labels[1]).float().mean()))
        told += f"\n\nTrained network in bfloat16, {len(same)} images: same class at {statistics.mean(same):.2%}."
    return told


def compared(what: str, seconds: dict[str, float], peaks: dict[str, int]) -> Rows:
    """Return rows of a table, relative to the first form."""
    first = next(iter(seconds))
    return [
        [what, form, f"{taken:.2f}", f"{taken / seconds[first]:.2f}"]
        + ([f"{peaks[form] / 1e6:.0f}", f"{peaks[form] / peaks[first]:.2f}"] if form in peaks else ["", ""])
        for form, taken in seconds.items()
    ]


def step(form: str, side: int) -> Callable[[], object]:
    """Return a training step of two images: three losses and the gradients of all weights.

    "autocast" computes the heavy operations in bfloat16 with the channels last, as ``train.precision=bfloat16`` and
    ``train.channels_last=true`` do.
    """
    network = danet("ours" if form == "autocast" else form).train()
    criterion = SegmentationLoss(weights=network.loss_weights)
    images, labels = torch.randn(2, 3, side, side), torch.randint(19, (2, side, side))
    normalizer = criterion.normalizer(labels).float()
    if form == "autocast":
        network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)

    def call() -> None:
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=form == "autocast"):
            output = network(images)
        criterion(output, labels, normalizer)["total"].backward()

    return call


def step_peak(form: str, side: int) -> int:
    """Return the peak memory of one training step."""
    torch.set_num_threads(1)
    call = step(form, side)
    step("ours", 32)()
    return peak_memory(call)


def training(arguments: argparse.Namespace) -> str:
    """A training step."""
    forms = ["plain", "ours"] + (["autocast"] if supports_bfloat16(torch.device("cpu")) else [])
    seconds = interleaved({form: step(form, 384) for form in forms}, 3)
    rows = compared("384 x 384", seconds, {})
    peaks = {form: in_fresh_process(step_peak, form, 768) for form in forms}
    rows += [
        ["768 x 768", form, "", "", f"{peak / 1e6:.0f}", f"{peak / peaks['plain']:.2f}"] for form, peak in peaks.items()
    ]
    return table(["two images of", "form", "s", "time", "MB", "memory"], rows)


def gradients(layer: nn.Conv2d, side: int, dtype: torch.dtype, fast: bool) -> Callable[[], object]:
    """Return a call of both gradients of a convolution, with the channels last."""
    torch.manual_seed(0)
    features = torch.randn(8, layer.in_channels, side, side).to(memory_format=torch.channels_last).to(dtype)
    features.requires_grad_()
    weight = layer.weight.detach().to(dtype).requires_grad_()
    with FastDepthwiseGradients() if fast else nullcontext():
        output = functional.conv2d(features, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    pull = torch.randn_like(output)
    return lambda: torch.autograd.grad(output, [features, weight], pull, retain_graph=True)


def depthwise(arguments: argparse.Namespace) -> str:
    """Depthwise convolutions whose gradients torch computes slowly."""
    kinds = {
        "3 x 3, stride 2, 96 channels of 120 x 120": (96, 3, 2, 1, 120),
        "5 x 5, 240 channels of 36 x 36": (240, 5, 1, 1, 36),
        "5 x 5, dilation 2, 1152 channels of 18 x 18": (1152, 5, 1, 2, 18),
    }
    formats = [torch.float32] + ([torch.bfloat16] if supports_bfloat16(torch.device("cpu")) else [])
    rows = []
    for what, (channels, kernel, stride, dilation, side) in kinds.items():
        layer = nn.Conv2d(
            channels, channels, kernel, stride, dilation * (kernel // 2), dilation, groups=channels, bias=False
        )
        forms = {
            f"{'put together' if fast else 'torch'}, {str(dtype).removeprefix('torch.')}": gradients(
                layer, side, dtype, fast
            )
            for dtype in formats
            for fast in (False, True)
        }
        seconds = interleaved(forms, 5)
        first = next(iter(seconds.values()))
        rows += [[what, form, f"{1000 * taken:.1f}", f"{taken / first:.2f}"] for form, taken in seconds.items()]
    return table(["convolution", "form", "ms", "time"], rows)


def session(content: bytes, side: int) -> Callable[[], object]:
    """Return a call that runs an exported file once."""
    torch.set_num_threads(1)
    network, images = open_exported(content, "file"), torch.randn(1, 3, side, side)
    return torch.inference_mode()(lambda: network(images))


def session_peak(content: bytes, side: int) -> int:
    """Return the peak memory of one run of an exported file."""
    call = session(content, 64)
    call()
    return peak_memory(session(content, side))


def exported(arguments: argparse.Namespace) -> str:
    """Exported files."""
    network = danet("ours").eval()
    content = export.export_onnx(Segmenter(network, CLASSES))
    whole, export.BLOCKS = export.BLOCKS, 1
    plainly, export.BLOCKS = export.export_onnx(Segmenter(network, CLASSES)), whole
    noise = (torch.randn(1, 3, 256, 256) for _ in range(4))
    quantized = export.quantize(content, noise)
    forms = {"torch, plain": prediction("plain", 512, 512), "onnxruntime": session(content, 512)}
    rows = compared("512 x 512", interleaved(forms | {"onnxruntime, int8": session(quantized, 512)}, 5), {})
    calls = {"onnxruntime, whole matrix": plainly, "onnxruntime": content}
    seconds = interleaved({form: session(each, 1024) for form, each in calls.items()}, 2)
    peaks = {form: in_fresh_process(session_peak, each, 1024) for form, each in calls.items()}
    rows += compared("1024 x 1024", seconds, peaks)
    told = table(["image", "form", "s", "time", "MB", "memory"], rows)
    if arguments.model is not None and arguments.data is not None:
        told += (
            "\n\nThe score of a trained network in 8 bits:"
            f" `scenescope export {arguments.model} small.onnx --int8 --data {arguments.data.partition(':')[0]}:DIR`."
        )
    return told


def answer(arguments: argparse.Namespace) -> str:
    """From logits to labels, and from labels to counts, at 19 x 1024 x 2048."""
    from torchmetrics.classification import MulticlassConfusionMatrix

    logits, size = torch.randn(1, 19, 128, 256), (1024, 2048)

    def resized() -> Tensor:
        return functional.interpolate(logits, size, mode="bilinear", align_corners=False).argmax(dim=1)

    rows = compared(
        "labels",
        interleaved(
            {"interpolate, argmax": resized, "banded": lambda: resize_argmax(logits, size, align_corners=False)}, 9
        ),
        {},
    )
    labels, predictions = resized(), resize_argmax(logits.flip(1), size, align_corners=False)
    oracle = MulticlassConfusionMatrix(19, ignore_index=255, validate_args=False)
    narrow = labels.to(torch.uint8)
    rows += compared(
        "confusion matrix",
        interleaved(
            {
                "torchmetrics": lambda: oracle.update(predictions.long(), labels),
                "ours": lambda: ConfusionMatrix(19).update(narrow, predictions),
            },
            9,
        ),
        {},
    )
    return table(["what", "form", "s", "time"], [row[:4] for row in rows])


def loading(arguments: argparse.Namespace) -> str:
    """Augmentation of 1024 x 2048 to 769 x 769: scale 0.5 to 2, window, mirroring; decoding apart."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (1024, 2048, 3), np.uint8)
    labels = generator.integers(0, 19, (1024, 2048), np.uint8)
    scene = LabeledImage(image, labels, "noise")
    settings = AugmentSettings(crop=(769, 769), scale=(0.5, 2.0), flip=0.5)
    forms: dict[str, Callable[[], object]] = {
        "torchvision v2": usual_order(image, labels),
        "ours": lambda: apply_parameters(scene, draw_parameters(generator, 1024, 2048, settings)),
    }
    try:
        forms["albumentations"] = albumentations_recipe(image, labels)
    except ImportError:
        print("albumentations is not installed and not compared with", file=sys.stderr)
    # Twenty at a time: how long one takes hangs on its scale.
    seconds = interleaved({form: partial(several, call, 20) for form, call in forms.items()}, 7)
    seconds = {form: taken / 20 for form, taken in seconds.items()}
    return table(
        ["form", "images per second", "ours is faster"],
        [[form, f"{1 / taken:.1f}", f"{taken / seconds['ours']:.1f} x"] for form, taken in seconds.items()],
    )


def several(call: Callable[[], object], times: int) -> None:
    """Call so many times."""
    for _ in range(times):
        call()


def usual_order(image: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """The whole image scaled, mirrored, then cut, as torchvision's references for segmentation do."""
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    transform = v2.Compose([
        v2.ToImage(),
        v2.RandomResize(512, 2049, antialias=True),
        v2.RandomHorizontalFlip(0.5),
        v2.RandomCrop(769, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: 255}),
    ])  # fmt: skip
    pillow_image, mask = Image.fromarray(image), tv_tensors.Mask(torch.from_numpy(labels))
    return lambda: transform(pillow_image, mask)


def albumentations_recipe(image: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """The same with albumentations."""
    import albumentations  # type: ignore[import-not-found]

    transform = albumentations.Compose([
        albumentations.RandomScale((-0.5, 1.0), p=1),
        albumentations.PadIfNeeded(769, 769, border_mode=0),
        albumentations.RandomCrop(769, 769),
        albumentations.HorizontalFlip(p=0.5),
    ])  # fmt: skip
    return lambda: transform(image=image, mask=labels)


def startup(arguments: argparse.Namespace) -> str:
    """Starting up, each in a process of its own."""
    commands = {
        "import torch": ["-c", "import torch"],
        "import scenescope": ["-c", "import scenescope"],
        "scenescope --help": ["-m", "scenescope", "--help"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(7):
        for name, command in commands.items():
            before = spent()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            seconds[name].append(spent() - before)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    rows = [[name, f"{taken:.2f}", f"{taken / medians['import torch']:.2f}"] for name, taken in medians.items()]
    return table(["what", "s", "time"], rows)


def spent() -> float:
    """Return the CPU seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


PARTS: dict[str, tuple[str, Callable[[argparse.Namespace], str]]] = {
    "network": ("DANet with ResNet-50 at output stride 8, one image", network),
    "training": ("A training step: two images, three losses, all gradients", training),
    "export": ("Exported files of that network", exported),
    "depthwise": ("Gradients of depthwise convolutions of EfficientNet-lite0, eight images", depthwise),
    "answer": ("From logits to scores, 19 classes at 1024 x 2048", answer),
    "loading": ("Augmentation from 1024 x 2048 to 769 x 769, one core, decoding apart", loading),
    "startup": ("Starting up", startup),
}

EXPLANATION = """\
CPU times of one thread, medians of calls that take turns. `time` and `memory` are relative to the first form of
each group; `plain` keeps the N x N matrix, as the official code does. Memory is what a fresh process grew by at most
during the call. Position attention alone: [attention.md](attention.md)."""


def sections() -> Iterator[tuple[str, str]]:
    """Yield the sections of the page as it stands, by title."""
    if PAGE.exists():
        for section in PAGE.read_text().split("\n## ")[1:]:
            title, _, text = section.partition("\n")
            yield title, text.strip("\n")


def main() -> None:
    """Measure the parts asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--model", help="a model directory, or the name of a model in the box")
    parser.add_argument("--data", metavar="KIND:ROOT")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - PARTS.keys()
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    kept = dict(sections())
    for part in arguments.parts or PARTS:
        title, measure = PARTS[part]
        start = time.time()
        kept[title] = f"    python benchmarks/speed.py {part}\n\n{machine()}\n\n{measure(arguments)}"
        print(f"{kept[title]}\n({time.time() - start:.0f} s)", file=sys.stderr)
        told = [f"## {title}\n\n{kept[title]}" for title, _ in PARTS.values() if title in kept]
        PAGE.write_text("\n\n".join(["# Speed and memory", EXPLANATION, *told]) + "\n")


if __name__ == "__main__":
    main()
