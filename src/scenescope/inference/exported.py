"""Exported files: a network in ONNX, run by onnxruntime or OpenVINO in the place of torch."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from scenescope.backbones.build import Backbone
from scenescope.checkpoints.model_directory import LoadedModel, load_model
from scenescope.errors import CheckpointError, ScenescopeError, nearest
from scenescope.labels import Classes
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput

SUFFIX = ".onnx"
FORMAT = 1
INPUT, OUTPUT = "images", "logits"
FACTS = ("scenescope", "model", "names", "palette", "mean", "std", "align_corners")
"""What a file must tell besides its weights, as JSON; "scenescope" is the version of this list."""

Runtime = Literal["onnxruntime", "openvino"]
_Array = npt.NDArray[np.float32]
_Run = Callable[[_Array], _Array]


class ExportedNetwork(SegmentationNetwork):
    """A network in a file that answers at the size of its pictures; it cannot be trained or looked into.

    Args:
        run: B x 3 x H x W prepared pixels to B x K x H x W logits.
        mean: per RGB channel, in units of [0, 1].
        std: likewise.
        num_classes: K.
        align_corners: how whoever resizes pictures or logits besides should do it.
    """

    def __init__(self, run: _Run, mean: Any, std: Any, *, num_classes: int, align_corners: bool) -> None:
        super().__init__(_Ran(run, mean, std), _Answered(), num_classes=num_classes, align_corners=align_corners)


class _Ran(Backbone):
    """In the place of a backbone: what is normalised how, and the file's answer."""

    def __init__(self, run: _Run, mean: Any, std: Any) -> None:
        nn.Module.__init__(self)
        self.run, self.mean, self.std = run, tuple(mean), tuple(std)
        self.strides = (1,)  # it answers at the size of its images

    def forward(self, images: Tensor) -> list[Tensor]:
        # The file runs on the processor, wherever the pictures are.
        return [torch.from_numpy(self.run(images.cpu().contiguous().numpy())).to(images.device)]


class _Answered(nn.Module):
    """In the place of a head."""

    def forward(self, features: list[Tensor]) -> SegmentationOutput:
        return SegmentationOutput(features[0], {})


def load_for_inference(name: str | Path | None = None, *, device: str | torch.device = "cpu") -> LoadedModel:
    """Load an exported file by its path, or a model as ``load_model`` does.

    Raises:
        CheckpointError: there is no such model or it is damaged.
    """
    if name is not None and str(name).endswith(SUFFIX) and not str(name).startswith("hub:"):
        return load_exported(Path(name))
    return load_model(name, device=device)


def load_exported(path: Path, runtime: Runtime = "onnxruntime", precision: str = "f32") -> LoadedModel:
    """Load a file that ``scenescope export`` has written; it runs on the processor.

    Args:
        path: the .onnx file.
        runtime: what runs it, ``onnxruntime`` or ``openvino``.
        precision: number format of OpenVINO, ``f32`` or ``bf16``.

    Raises:
        CheckpointError: there is no such file, or it is none of scenescope's.
        ScenescopeError: the runtime is unknown or not installed.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no exported model {path}; make one with scenescope export MODEL {path}.")
    # Read here and not by the runtime: weights that a file says are elsewhere are not looked for.
    return open_exported(path.read_bytes(), path, runtime, precision)


def open_exported(
    content: bytes, path: str | Path, runtime: Runtime = "onnxruntime", precision: str = "f32"
) -> LoadedModel:
    """Make a network of what an exported file holds; see ``load_exported``.

    Args:
        content: of the file.
        path: what messages call it.
    """
    if runtime not in get_args(Runtime):
        known = get_args(Runtime)
        raise ScenescopeError(f"There is no runtime {runtime!r}.{nearest(runtime, known)} Known: {', '.join(known)}.")
    require_packages(runtime)
    open_file = _with_onnxruntime if runtime == "onnxruntime" else _with_openvino
    try:
        run, facts = open_file(content, precision)
    except Exception as error:  # each runtime has errors of its own
        reason = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{path} is not a whole ONNX file ({reason}); export the model again.") from error
    try:
        told = {key: json.loads(value) for key, value in facts.items() if key in FACTS}
        if told["scenescope"] > FORMAT:
            raise CheckpointError(f"{path} was written by a newer scenescope; upgrade this one.")
        classes = Classes.named(told["names"], told["palette"])
        align_corners = bool(told["align_corners"])
        network = ExportedNetwork(run, told["mean"], told["std"], num_classes=len(classes), align_corners=align_corners)
        network.config = dict(told["model"])
        # The file is the weights: what tells networks apart by their state must find it there.
        network.register_buffer("file", torch.tensor(list(hashlib.sha256(content).digest()), dtype=torch.uint8))
    except CheckpointError:
        raise
    except Exception as error:  # anything may stand in a file
        raise CheckpointError(f"{path} was not written by scenescope export ({error!r:.160}).") from error
    return LoadedModel(network.eval(), classes, {}, Path(path))


def facts_of(network: SegmentationNetwork, classes: Classes, written_by: str) -> dict[str, str]:
    """Return what an exported file tells besides its weights, as JSON by key."""
    facts: dict[str, Any] = {
        "scenescope": FORMAT,
        "version": written_by,
        "model": network.config,
        "names": classes.names,
        "palette": classes.palette,
        "mean": network.mean,
        "std": network.std,
        "align_corners": network.align_corners,
    }
    return {key: json.dumps(value) for key, value in facts.items()}


def require_packages(*packages: str) -> None:
    """Refuse to go on without packages of the extra ``export``.

    Raises:
        ScenescopeError: one is not installed.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ScenescopeError(
            f"Exported models need {' and '.join(missing)}, which is not installed: pip install 'scenescope[export]'."
        )


def _with_onnxruntime(content: bytes, precision: str) -> tuple[_Run, dict[str, str]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; warnings speak of the graph and not to its user
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(images: _Array) -> _Array:
        logits: _Array = session.run([OUTPUT], {INPUT: images})[0]
        return logits

    return run, session.get_modelmeta().custom_metadata_map


def _with_openvino(content: bytes, precision: str) -> tuple[_Run, dict[str, str]]:
    # OpenVINO reports its use over the network where it finds this package, and does without where it does not.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: there is none
    import openvino

    core = openvino.Core()
    model = core.read_model(content, b"")
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(model, "CPU", settings)
    facts = model.get_rt_info()["framework"]
    return (lambda images: compiled(images)[OUTPUT]), {key: facts[key].value for key in facts}
