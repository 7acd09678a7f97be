"""ONNX files made by hand: one 1 x 1 convolution to three classes, with the facts that scenescope writes, or others."""

import json
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FACTS = {
    "scenescope": 1,
    "model": {"name": "fcn"},
    "names": ["road", "sky", "car"],
    "palette": None,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "align_corners": False,
}
WEIGHT = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)[:, :, None, None]
"""Class 0 is what is mostly red, 1 green, 2 blue."""


def numbers(name: str, values: Any, kind: Any = np.float32) -> onnx.TensorProto:
    """Return a tensor that stands in the file."""
    return numpy_helper.from_array(np.array(values, kind), name)


def model(
    *nodes: onnx.NodeProto, weights: tuple[onnx.TensorProto, ...] = (), channels: Any = 3, **facts: Any
) -> onnx.ModelProto:
    """Return logits = conv(images) + extra, or without ``nodes`` (which make ``extra``, a number) conv(images) alone.

    Args:
        channels: how many channels the file says that its logits have.
        facts: in the place of those in ``FACTS``.
    """
    last = [helper.make_node("Add", ["conv", "extra"], ["logits"])] if nodes else []
    conv = helper.make_node("Conv", ["images", "weight"], ["conv" if nodes else "logits"])
    graph = helper.make_graph(
        [*nodes, conv, *last],
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", channels, "h", "w"])],
        [numbers("weight", WEIGHT), *weights],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(made, {key: json.dumps(value) for key, value in (FACTS | facts).items()})
    return made
