"""What an ONNX file may hold before a runtime is given it, and what it may ask for when it is tried.

A runtime believes a file: it opens the files that it names, repeats a loop as often as it says, and makes a tensor as
large as it says. ``scenescope export`` writes one graph of layers with its weights inside. So a file is read here
first, as the protocol buffer that it is, and refused if it holds more; then it is tried once, in little memory.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from scenescope.errors import CheckpointError

TRIAL_BYTES = 2**29
"""What a file may make besides its weights to answer one image of 64 x 64."""

_Value = int | memoryview

# Numbers of fields are those of onnx.proto. What is not named here (names, documentation, shapes) only describes.
_INSIDE = {
    ("model", 7): "graph",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("node", 5): "attribute",
    ("attribute", 5): "tensor",
    ("attribute", 10): "tensor",
}
_METADATA = 14
_REFUSED = {
    ("model", 20): "a training",
    ("model", 25): "operators of its own",
    ("graph", 15): "sparse weights",
    ("node", 7): "operators that are not ONNX's",
    ("attribute", 6): "a loop or a branch",
    ("attribute", 11): "a loop or a branch",
    ("attribute", 22): "sparse weights",
    ("attribute", 23): "sparse weights",
    ("tensor", 13): "weights that are in another file",
    ("tensor", 14): "weights that are in another file",
}
_HARMLESS = {("node", 7): (b"", b"ai.onnx"), ("tensor", 14): (0,)}
"""Values of refused fields that say what is so anyway: ONNX's own operators, weights inside."""


def refuse_more_than_layers(content: bytes, path: object) -> None:
    """Refuse an ONNX file that names other files or holds loops, branches or operators of its own.

    Args:
        content: of the file.
        path: what messages call it.

    Raises:
        CheckpointError: it does, or it is no ONNX file.
    """
    waiting: list[tuple[str, memoryview]] = [("model", memoryview(content))]
    while waiting:
        kind, message = waiting.pop()
        for number, value in _fields(message, path):
            place = (kind, number)
            if place in _REFUSED and value not in _HARMLESS.get(place, ()):
                raise CheckpointError(
                    f"{path} holds {_REFUSED[place]}, which scenescope export never writes; export the model again."
                )
            if place in _INSIDE and isinstance(value, memoryview):
                waiting.append((_INSIDE[place], value))


def read_facts(content: bytes, path: object) -> dict[str, str]:
    """Return what an ONNX file tells besides its layers: its metadata, texts by key.

    Raises:
        CheckpointError: it is no ONNX file.
    """
    facts: dict[str, str] = {}
    for number, entry in _fields(memoryview(content), path):
        if number == _METADATA and isinstance(entry, memoryview):
            pair = {key: bytes(text) for key, text in _fields(entry, path) if isinstance(text, memoryview)}
            facts[pair.get(1, b"").decode(errors="replace")] = pair.get(2, b"").decode(errors="replace")
    return facts


def _fields(message: memoryview, path: object) -> Iterator[tuple[int, _Value]]:
    """Yield number and value of every field of a message: an integer, or the bytes of anything longer."""
    at = 0
    while at < len(message):
        key, at = _integer(message, at, path)
        size = {0: 0, 1: 8, 5: 4}.get(key & 7)
        if (key & 7) == 2:
            size, at = _integer(message, at, path)
        # ONNX has no field beyond 127; runtimes would cut a larger number to one that it has.
        if size is None or key >= 128 << 3 or at + size > len(message):
            raise _not_whole(path)
        value: _Value = message[at : at + size]
        at += size
        if (key & 7) == 0:
            value, at = _integer(message, at, path)
        yield key >> 3, value


def _integer(message: memoryview, at: int, path: object) -> tuple[int, int]:
    """Return an integer of seven bits a byte, and where what follows begins."""
    value = 0
    for count, byte in enumerate(message[at : at + 10]):
        value |= (byte & 127) << (7 * count)
        if byte < 128:
            return value, at + count + 1
    raise _not_whole(path)


def _not_whole(path: object) -> CheckpointError:
    return CheckpointError(f"{path} is not a whole ONNX file; export the model again.")


def try_once(content: bytes, inputs: dict[str, npt.NDArray[Any]], output: str) -> npt.NDArray[np.float32]:
    """Return what a file answers when it may make no more than ``TRIAL_BYTES`` besides its weights.

    onnxruntime's own errors pass through.
    """
    import onnxruntime

    _keep_small()
    options, run = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
    options.log_severity_level = run.log_severity_level = 4  # what is wrong is in the exception
    # As the file says: what is computed beforehand, to be quicker, takes memory past the limit.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    for key, value in {
        "session.use_env_allocators": "1",
        "session.use_device_allocator_for_initializers": "1",  # weights do not count
        "session.load_model_format": "ONNX",
    }.items():
        options.add_session_config_entry(key, value)
    run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    answer: npt.NDArray[np.float32] = session.run([output], inputs, run)[0]
    return answer


@functools.cache
def _keep_small() -> None:
    """Give onnxruntime the allocator, one for the process, that only trials use."""
    import onnxruntime

    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    # 1: grow by what is asked for, where the default doubles.
    limits = onnxruntime.OrtArenaCfg({"max_mem": TRIAL_BYTES, "arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(memory, limits)
