"""A network as one ONNX file, for images of any number and size.

The network itself is not edited. What ONNX has no form for is written differently in the exported graph alone:
position attention as a fixed number of blocks of rows, so that neither the N x N matrix nor a loop is in it, and
pooling to a grid as two products, whose cells follow from the size of the features when the file runs.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.export import Dim

from scenescope.attention.blockwise import OPERATOR
from scenescope.cells import Cells, grid_shares
from scenescope.data.dataset import SegmentationDataset
from scenescope.data.transforms import whole_sample
from scenescope.inference.exported import INPUT, OUTPUT, export_metadata, open_exported, require_packages
from scenescope.inference.guards import eval_mode
from scenescope.inference.segmenter import Segmenter
from scenescope.models.network import SegmentationNetwork

SIZES = ((64, 64), (65, 97), (128, 256), *((96 + step, 131 - step) for step in range(0, 32, 3)), (1, 1))
"""Heights and widths at which an exported file is compared with its network: among them all kinds of remainders."""
EXAMPLE = (16 * 17 + 5, 16 * 19 + 3)
"""Coprime sides, so that the exporter takes none for another."""
MAX_DIFFERENCE = 1e-4
"""Of logits, relative to the largest: an exported file further from its network is not written."""
QUANTIZED = ["Conv", "Relu", "Clip", "Add", "MaxPool"]
"""Operations that are quantized; those of attention stay as they are."""
BLOCKS = 16
"""Blocks of rows of S, whatever the size: a sixteenth of the N x N matrix exists at a time."""
OPSET = 18


class ExportWrapper(nn.Module):
    """What is in the file: B x bands x H x W prepared pixels to B x K x H x W logits.

    Where a backbone pads by the size of what it sees (TensorFlow's "same"), the padding is fixed: images are filled up
    before, so that all leave the same remainder at each convolution.
    """

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        sides: dict[nn.Module, Sequence[int]] = {}
        hooks = [
            module.register_forward_pre_hook(lambda conv, inputs: sides.update({conv: inputs[0].shape[-2:]}))
            for module in self.network.modules()
            if isinstance(module, Conv2dSame)
        ]
        with eval_mode(self.network):
            logits = self.network.low_resolution(torch.zeros(1, network.in_channels, *EXAMPLE)).logits
        self.cells = network.cells(logits, EXAMPLE)
        for hook in hooks:
            hook.remove()
        for parent in list(self.network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, Conv2dSame):
                    setattr(parent, name, _FixedPadding(child, sides[child]))

    def forward(self, images: Tensor) -> Tensor:
        """Return B x K x H x W logits."""
        logits = self.network.low_resolution(images).logits
        for axis, pixels in enumerate(images.shape[-2:]):
            places = self.cells.places(axis, torch.arange(pixels, device=logits.device), logits.shape[2 + axis])
            logits = _gathered(logits, 2 + axis, places)
        return logits


class _FixedPadding(nn.Module):
    """A convolution with "same" padding, of inputs whose sides leave the same remainder when divided by its stride."""

    def __init__(self, conv: nn.Conv2d, sides: Sequence[int]) -> None:
        super().__init__()
        self.conv = conv
        self.padding: list[int] = []
        for side, size, stride, dilation in zip(sides, conv.kernel_size, conv.stride, conv.dilation, strict=True):
            total = max((-(-side // stride) - 1) * stride + (size - 1) * dilation + 1 - side, 0)
            self.padding = [total // 2, total - total // 2, *self.padding]  # pad begins with the last side

    def forward(self, features: Tensor) -> Tensor:
        conv = self.conv
        padded = functional.pad(features, self.padding)
        return functional.conv2d(padded, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)


@dataclass(frozen=True)
class ParityResult:
    """How an exported file's answer to one image compares with torch's.

    Attributes:
        size: height and width of the image.
        difference: the largest difference of logits, relative to the largest logit.
        same_labels: share of the pixels, 0 to 1, with the same class.
    """

    size: tuple[int, int]
    difference: float
    same_labels: float


def export_onnx(segmenter: Segmenter) -> bytes:
    """Return a model as an ONNX file with free batch, height and width: prepared pixels in, logits of that size out.

    Its metadata hold class names and colors, and the mean and deviation of its input.

    Raises:
        ScenescopeError: onnx or onnxscript is not installed.
    """
    require_packages("onnx", "onnxscript", "onnxruntime")
    free = {"images": {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}}
    network = _on_cpu(segmenter)
    form = ExportWrapper(network)
    example = torch.zeros(2, network.in_channels, *EXAMPLE)
    with _quiet(), eval_mode(form), torch.inference_mode(False), torch.no_grad():
        graph = torch.export.export(form, (example,), dynamic_shapes=free, strict=False)
        graph = graph.run_decompositions(torch.export.default_decompositions() | EXPORT_DECOMPOSITIONS)
        program = torch.onnx.export(
            graph, input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET, dynamo=True, verbose=False
        )
    assert program is not None  # which it is with dynamo
    program.model.metadata_props.update(export_metadata(network, segmenter.classes, version("scenescope")))
    content: bytes = program.model_proto.SerializeToString()
    return content


def verify(segmenter: Segmenter, content: bytes) -> list[ParityResult]:
    """Compare an exported file with its network on images of random pixels in ``SIZES``, the same on each call."""
    agreements = []
    network, exported = _on_cpu(segmenter), open_exported(content, "the exported file")
    with eval_mode(network):
        for size in SIZES:
            images = torch.randn(1, network.in_channels, *size, generator=torch.Generator().manual_seed(0))
            expected = network(images).logits
            answer = exported(images).logits
            difference = (answer - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
            same = (answer.argmax(dim=1) == expected.argmax(dim=1)).float().mean()
            agreements.append(ParityResult(size, float(difference), float(same)))
    return agreements


def _on_cpu(segmenter: Segmenter) -> SegmentationNetwork:
    """Return the network, or a copy of one that is elsewhere: files are made and run on the CPU."""
    if segmenter.device.type == "cpu":
        return segmenter.network
    return copy.deepcopy(segmenter.network).cpu()


def quantize(content: bytes, images: Iterable[Tensor]) -> bytes:
    """Return an exported file whose convolutions multiply 8-bit numbers, their ranges as seen in images.

    Args:
        content: the file in float32.
        images: 1 x bands x H x W prepared pixels each.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self.images = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self.images, None)
            return None if image is None else {INPUT: image.numpy()}

    with _quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            onnx.load_from_string(content),
            path,
            Reader(),
            per_channel=True,
            # Processors without 8-bit dot products add pairs of products in 16 bits; 7 bits of weight leave room.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=QUANTIZED,
        )
        return path.read_bytes()


def calibration_images(dataset: SegmentationDataset, network: SegmentationNetwork, count: int) -> Iterator[Tensor]:
    """Yield so many images of a data set, evenly spread over it, as ``quantize`` wants them."""
    count = min(count, len(dataset))
    for number in range(count):
        images, _ = whole_sample(dataset[number * len(dataset) // count])[:2]
        yield network.prepare(images[None])


def _attend(query: Tensor, key: Tensor, value: Tensor, block: int) -> Tensor:
    """Position attention in ``BLOCKS`` blocks of rows, the last one filled up with queries of 0 that are cut off."""
    batch, width, positions = query.shape
    rows = (positions + BLOCKS - 1) // BLOCKS
    queries = functional.pad(query, (0, rows * BLOCKS - positions)).reshape(batch, width, BLOCKS, rows)
    attended = [
        value @ torch.softmax(queries[:, :, number].transpose(1, 2) @ key, dim=-1).transpose(1, 2)
        for number in range(BLOCKS)
    ]
    return torch.cat(attended, dim=2)[:, :, :positions]


def _adaptive_avg_pool2d(features: Tensor, size: list[int]) -> Tensor:
    """The mean of every cell of a grid, as one product with the rows of the grid and one with its columns."""
    height, width = features.shape[-2:]
    rows, columns = grid_shares(size[0], height, features), grid_shares(size[1], width, features)
    return rows @ features @ columns.transpose(0, 1)


def _upsample_bilinear2d(features: Tensor, size: list[int], align_corners: bool, rows: float, columns: float) -> Tensor:
    """Resizing by given factors to a given size, which ONNX has not."""
    cells = Cells((1 / rows, 1 / columns), (0.5, 0.5))
    for axis, pixels in enumerate(size):
        places = cells.places(axis, torch.arange(pixels, device=features.device), features.shape[2 + axis])
        features = _gathered(features, 2 + axis, places)
    return features


def _gathered(features: Tensor, axis: int, places: Tensor) -> Tensor:
    """Return features between the cells of an axis, of the two cells about each place."""
    lower = places.floor()
    share = (places - lower).view(-1, 1) if axis == 2 else places - lower
    first = lower.long()
    second = places.ceil().long()
    return features.index_select(axis, first) * (1 - share) + features.index_select(axis, second) * share


EXPORT_DECOMPOSITIONS: dict[Any, Callable[..., Tensor]] = {
    torch.ops.aten.upsample_bilinear2d.default: _upsample_bilinear2d,
    OPERATOR.default: _attend,
    torch.ops.aten.adaptive_avg_pool2d.default: _adaptive_avg_pool2d,
    torch.ops.aten._adaptive_avg_pool2d.default: _adaptive_avg_pool2d,
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep exporter and quantizer, which logs as root, from speaking to the user of their own matters."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", None)]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
