"""More files from strangers: ONNX files that name other files, loop, grow or lie."""

import json
import resource
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from scenescope.errors import CheckpointError
from scenescope.inference.exported import open_exported

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from tests.inference import handmade  # noqa: E402

MAX_MEMORY = 1500 * 2**20
"""Bytes by which a process may grow that looks at a hostile file; each of these asks for 2 GB and more."""


def grown(*steps, **tensors):
    """Return a file that makes something in steps (operator, inputs, settings) and adds its mean to the logits."""
    nodes, last = [], "images"
    for number, (operator, inputs, settings) in enumerate(steps):
        inputs = [last if name == "last" else name for name in inputs]
        last = f"step{number}"
        nodes.append(helper.make_node(operator, inputs, [last], **settings))
    nodes.append(helper.make_node("ReduceMean", [last], ["extra"], keepdims=0))
    weights = tuple(handmade.numbers(name, value, np.array(value).dtype) for name, value in tensors.items())
    return handmade.model(*nodes, weights=weights)


def whole(*values):
    return np.array(values, np.int64)


def decimal(*values):
    return np.array(values, np.float32)


def growing():
    """Yield what asks for gigabytes in a file of some hundred bytes: by a constant, by a weight, by its input."""
    yield grown(("ConstantOfShape", ["shape"], {}), shape=whole(10**9))
    yield grown(("Expand", ["one", "shape"], {}), one=decimal(1), shape=whole(10**9))
    yield grown(("Tile", ["one", "shape"], {}), one=decimal(1), shape=whole(10**9))
    yield grown(("Range", ["a", "b", "c"], {}), a=np.float32(0), b=np.float32(1e9), c=np.float32(1))
    yield grown(("Pad", ["images", "pads"], {}), pads=whole(0, 0, 0, 0, 0, 0, 30000, 30000))
    yield grown(("Resize", ["images", "", "scales"], {"mode": "linear"}), scales=decimal(1, 1, 200, 200))
    yield grown(*[("Concat", ["last"] * 8, {"axis": 0})] * 6)
    yield grown(("RandomNormal", [], {"shape": [10**9]}))
    yield grown(
        ("OneHot", ["ids", "depth", "values"], {}), ids=whole(*[0] * 100), depth=whole(10**7), values=decimal(0, 1)
    )
    yield grown(
        ("MatMul", ["column", "row"], {}), column=np.ones((30000, 1), np.float32), row=np.ones((1, 30000), np.float32)
    )
    yield grown(
        ("Add", ["column", "row"], {}), column=np.ones((30000, 1), np.float32), row=np.ones((1, 30000), np.float32)
    )
    yield grown(("Conv", ["images", "one"], {"pads": [15000] * 4}), one=np.ones((1, 3, 1, 1), np.float32))
    yield grown(
        ("Gather", ["row", "ids"], {"axis": 0}), row=np.ones((1, 10**6), np.float32), ids=np.zeros(1000, np.int64)
    )


def looping():
    """Yield what holds graphs within its graph."""
    counter = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    going = helper.make_tensor_value_info("going", TensorProto.BOOL, [])
    kept = helper.make_tensor_value_info("kept", TensorProto.BOOL, [])
    body = helper.make_graph([helper.make_node("Identity", ["going"], ["kept"])], "body", [counter, going], [kept])
    yield handmade.model(
        helper.make_node("Loop", ["trips", "yes"], [], body=body),
        helper.make_node("Constant", [], ["extra"], value=handmade.numbers("", 0.0)),
        weights=(handmade.numbers("trips", 2**62, np.int64), handmade.numbers("yes", True, bool)),
    )
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["b"], value=handmade.numbers("", 0.0))],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [])],
    )
    yield handmade.model(
        helper.make_node("If", ["yes"], ["extra"], then_branch=branch, else_branch=branch),
        weights=(handmade.numbers("yes", True, bool),),
    )
    element = helper.make_tensor_value_info("element", TensorProto.FLOAT, [])
    same = helper.make_tensor_value_info("same", TensorProto.FLOAT, [])
    scan = helper.make_graph([helper.make_node("Identity", ["element"], ["same"])], "scan", [element], [same])
    yield handmade.model(
        helper.make_node("Scan", ["row"], ["rows"], body=scan, num_scan_inputs=1),
        helper.make_node("ReduceMean", ["rows"], ["extra"], keepdims=0),
        weights=(handmade.numbers("row", [1.0, 2.0]),),
    )


def elsewhere(location, **more):
    """Return a file whose weights are said to be in another one."""
    model = handmade.model()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        weight.external_data.add(key=key, value=str(value))
    return model


def refused(content):
    """Whether a file is refused in one line."""
    try:
        open_exported(content, "file")
    except CheckpointError as error:
        return "\n" not in str(error)
    return False


def test_files_that_grow_are_refused_in_bounded_memory(promise):
    models = [model.SerializeToString() for model in growing()]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = [refused(model) for model in models]
    grown_by = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    assert grown_by < MAX_MEMORY
    promise("an ONNX file that makes gigabytes of nothing: refused in one line, in 1.5 GB", len(told), sum(told))


def test_files_that_loop_are_refused(promise):
    told = [refused(model.SerializeToString()) for model in looping()]
    promise("an ONNX file with a loop or a branch: refused in one line, not run", len(told), sum(told))


def test_weights_elsewhere_are_refused_by_the_command_line(times, promise, tmp_path):
    """In the working directory, where both runtimes would look; and what the file says of it must not be told."""
    (tmp_path / "secret.bin").write_bytes(handmade.WEIGHT.tobytes())
    (tmp_path / "link.bin").symlink_to("/etc/passwd")
    Image.new("RGB", (20, 10), (255, 0, 0)).save(tmp_path / "photo.png")
    locations = ["secret.bin", "./secret.bin", str(tmp_path / "secret.bin"), "../secret.bin", "link.bin", "/etc/passwd"]
    told = []
    for location in locations[: times(6, 1)]:
        (tmp_path / "evil.onnx").write_bytes(elsewhere(location, offset=0, length=36).SerializeToString())
        command = [
            sys.executable,
            "-m",
            "scenescope",
            "predict",
            "photo.png",
            "--model",
            "evil.onnx",
            "--output",
            "out",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        lines = done.stderr.splitlines()
        told.append(done.returncode == 2 and len(lines) == 1 and "weights that are in another file" in lines[0])
        assert not (tmp_path / "out").exists()
    promise("an ONNX file whose weights are in another file: refused, the file is not read", len(told), sum(told))


def test_lies_in_metadata_are_one_line(promise):
    lies = [
        {"names": ["a", "b", "c", "d", "e"]},
        {"names": ["a"]},
        {"names": {"0": "a"}},
        {"names": [1, 2, 3]},
        {"std": ["1", "x", "2"]},
        {"std": [0, 1, 1]},
        {"mean": [0.5] * 4},
        {"mean": [1e400] * 3},
        {"mean": None},
        {"palette": "red"},
        {"model": 5},
        {"scenescope": None},
        {"align_corners": []} | {"names": []},
    ]
    told = [refused(handmade.model(**lie).SerializeToString()) for lie in lies]
    deep = handmade.model()
    next(entry for entry in deep.metadata_props if entry.key == "names").value = "[" * 200_000
    told.append(refused(deep.SerializeToString()))
    many = handmade.model()
    next(entry for entry in many.metadata_props if entry.key == "mean").value = json.dumps([0.5] * 3).replace(
        "5", "5" * 5000
    )
    told.append(not refused(many.SerializeToString()))  # a number like any other
    promise("an ONNX file whose metadata cannot be: refused in one line", len(told), sum(told))


def test_damaged_files_are_refused_or_answer(times, promise):
    """Bytes changed, cut or repeated: one line, or a network that answers in its own shape."""
    content = handmade.model(channels=None).SerializeToString()
    generator = np.random.default_rng(0)
    tried, survived = times(2000, 60), 0
    for _ in range(tried):
        damaged = bytearray(content)
        for _ in range(generator.integers(1, 4)):
            at = int(generator.integers(len(damaged)))
            damaged[at : at + int(generator.integers(0, 3))] = generator.bytes(int(generator.integers(0, 3)))
        try:
            loaded = open_exported(bytes(damaged), "file")
            survived += len(loaded.classes) == loaded.num_classes
        except CheckpointError as error:
            survived += "\n" not in str(error)
    promise("mutated ONNX files: refused in one line, or open", tried, survived)
