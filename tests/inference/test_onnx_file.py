"""What is read of an ONNX file before a runtime is given it, byte by byte."""

import numpy as np
import pytest

from scenescope.errors import CheckpointError
from scenescope.inference.onnx_file import TRIAL_BYTES, refuse_more_than_layers, try_once

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.inference import handmade  # noqa: E402

IMAGES = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)


def test_layers_with_their_weights_pass_and_answer():
    content = handmade.model().SerializeToString()
    refuse_more_than_layers(content, "file")
    np.testing.assert_array_equal(try_once(content, {"images": IMAGES}, "logits"), IMAGES)


def test_names_of_onnx_s_own_operators_and_of_weights_inside_are_harmless():
    model = handmade.model()
    model.graph.node[0].domain = "ai.onnx"
    model.graph.initializer[0].data_location = onnx.TensorProto.DEFAULT
    content = model.SerializeToString()
    refuse_more_than_layers(content, "file")
    np.testing.assert_array_equal(try_once(content, {"images": IMAGES}, "logits"), IMAGES)


def elsewhere(tensor):
    """Say that a tensor's numbers are in another file."""
    tensor.external_data.add(key="location", value="secret.bin")
    tensor.data_location = onnx.TensorProto.EXTERNAL


def constant():
    return onnx.helper.make_node("Constant", [], ["extra"], value=handmade.numbers("", 0.0))


def in_an_initializer(model):
    elsewhere(model.graph.initializer[0])


def in_an_attribute(model):
    elsewhere(model.graph.node[0].attribute[0].t)


def in_a_list_of_an_attribute(model):
    elsewhere(model.graph.node[0].attribute.add(name="all").tensors.add())


def in_a_subgraph(model):
    elsewhere(model.graph.node[0].attribute.add(name="body").g.initializer.add())


def in_a_list_of_subgraphs(model):
    elsewhere(model.graph.node[0].attribute.add(name="bodies").graphs.add().initializer.add())


def in_a_training(model):
    elsewhere(model.training_info.add().algorithm.initializer.add())


def in_an_operator_of_its_own(model):
    elsewhere(model.functions.add().node.add().attribute.add().t)


def in_sparse_weights(model):
    elsewhere(model.graph.sparse_initializer.add().values)


def in_sparse_weights_of_an_attribute(model):
    elsewhere(model.graph.node[0].attribute.add(name="sparse").sparse_tensor.values)


def only_located(model):
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


PLACES = [
    in_an_initializer,
    in_an_attribute,
    in_a_list_of_an_attribute,
    in_a_subgraph,
    in_a_list_of_subgraphs,
    in_a_training,
    in_an_operator_of_its_own,
    in_sparse_weights,
    in_sparse_weights_of_an_attribute,
    only_located,
]


@pytest.mark.parametrize("edit", PLACES)
def test_weights_that_are_elsewhere_are_refused_wherever_it_is_said(edit):
    model = handmade.model(constant())
    edit(model)
    with pytest.raises(CheckpointError, match=r"^file holds .*, which scenescope export never writes"):
        refuse_more_than_layers(model.SerializeToString(), "file")


def test_another_domain_of_operators_is_refused():
    model = handmade.model()
    model.graph.node[0].domain = "com.microsoft"
    with pytest.raises(CheckpointError, match="operators that are not ONNX's"):
        refuse_more_than_layers(model.SerializeToString(), "file")


EXTERNAL = bytes([14 << 3, 1])  # data_location: EXTERNAL


@pytest.mark.parametrize(
    "told",
    [
        EXTERNAL,
        bytes([14 << 3, 0]) + EXTERNAL,  # the last of two counts
        bytes([14 << 3, 0x81, 0x80, 0x80, 0x80, 0x10]),  # 2^32 + 1, which is cut to 1
        bytes([0xF0, 0x80, 0x80, 0x80, 0x10, 1]),  # field 14 + 2^29, which is cut to 14
        bytes([14 << 3 | 2, 0]),  # of another kind, nobody writes so
    ],
)
def test_it_cannot_be_said_in_another_way_either(told):
    tensor = handmade.numbers("weight", handmade.WEIGHT).SerializeToString() + told
    graph = bytes([5 << 3 | 2, len(tensor)]) + tensor
    content = bytes([7 << 3 | 2, len(graph)]) + graph + handmade.model().SerializeToString()
    with pytest.raises(CheckpointError, match=r"^file (holds weights that are in another|is not a whole ONNX) file"):
        refuse_more_than_layers(content, "file")


@pytest.mark.parametrize("content", [b"\xff", b"\x80" * 20, b"\x0b", b"\x3a\x05abc", b"\x39abc", b"\x3a\x02\x0a\x09"])
def test_what_is_no_message_is_refused(content):
    with pytest.raises(CheckpointError, match=r"^file is not a whole ONNX file"):
        refuse_more_than_layers(content, "file")


def test_a_trial_takes_no_more_than_its_memory():
    count = TRIAL_BYTES // 4 // 10
    weights = handmade.numbers("one", [1]), handmade.numbers("count", [count], np.int64)
    row = onnx.helper.make_node("Expand", ["one", "count"], ["row"])
    for times, fits in ((2, True), (12, False)):
        more = onnx.helper.make_node("Concat", ["row"] * times, ["rows"], axis=0)
        total = onnx.helper.make_node("ReduceMax", ["rows"], ["extra"], keepdims=0)
        content = handmade.model(row, more, total, weights=weights).SerializeToString()
        if fits:
            np.testing.assert_array_equal(try_once(content, {"images": IMAGES}, "logits"), IMAGES + 1)
        else:
            with pytest.raises(Exception, match="Available memory"):
                try_once(content, {"images": IMAGES}, "logits")
