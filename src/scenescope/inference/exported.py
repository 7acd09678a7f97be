"""Exported files: a network in ONNX, run by onnxruntime in the place of torch."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scenescope.bands import MAX_BANDS, BandRule, rule_for, rule_of
from scenescope.errors import CheckpointError, ModelError, ScenescopeError
from scenescope.inference.guards import lacks_memory
from scenescope.inference.onnx_file import read_facts, refuse_more_than_layers, try_once
from scenescope.labels import Classes
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput

SUFFIX = ".onnx"
FORMAT = 1
MAX_FILE = 2**31
"""Bytes that a protocol buffer can have."""
TRIAL = (64, 64)
"""Height and width of the image that a file is tried with when it is opened."""
INPUT, OUTPUT = "images", "logits"
FACTS = ("scenescope", "model", "names", "palette", "mean", "std", "align_corners", "input")
"""What a file must tell besides its weights, as JSON; "scenescope" is the version of this list."""

_Array = npt.NDArray[np.float32]
_Run = Callable[[_Array], _Array]


class ExportedModel:
    """A network in a file, run in the place of torch: it answers at the size of its images, and cannot be looked into.

    Args:
        run: B x bands x H x W prepared pixels to B x K x H x W logits.
        mean: per band, in units of [0, 1].
        std: likewise.
        classes: names and colors of the K classes.
        align_corners: how whoever resizes images or logits besides should do it.
        config: of the network that is in the file.
        digest: SHA-256 of the file.
        band_rule: how the numbers of an image are seen; None for 8-bit RGB.
    """

    def __init__(
        self,
        run: _Run,
        mean: Sequence[float],
        std: Sequence[float],
        classes: Classes,
        *,
        align_corners: bool,
        config: Mapping[str, Any],
        digest: str,
        band_rule: BandRule | None = None,
    ) -> None:
        self.run = run
        self.mean, self.std = tuple(mean), tuple(std)
        self.classes, self.num_classes = classes, len(classes)
        self.align_corners = align_corners
        self.config = dict(config)
        self.digest = digest
        self.band_rule, self.in_channels = band_rule, len(self.mean)

    def prepare(self, images: Tensor) -> Tensor:
        """Normalize images B x bands x H x W as ``SegmentationNetwork.prepare`` does."""
        mean, std = (torch.tensor(numbers, device=images.device).view(1, -1, 1, 1) for numbers in (self.mean, self.std))
        if images.is_floating_point():
            return ((images - mean) / std).nan_to_num(0)
        return (images.float() / 255 - mean) / std

    def __call__(self, images: Tensor, *, stretch: bool = False) -> SegmentationOutput:
        """Return the file's answer to B x bands x H x W prepared pixels.

        Raises:
            ModelError: asked to stretch logits, which the file has drawn already.
            CheckpointError: the answer is none.
        """
        if stretch:
            raise ModelError(
                "An exported file draws its cells where they look and cannot stretch them, as --protocol official and"
                " mmseg do; name the model directory that it was made of, or leave the protocol out."
            )
        # The file runs on the CPU, wherever the images are.
        answer = self.run(images.cpu().contiguous().numpy())
        expected = (images.shape[0], self.num_classes, *images.shape[2:])
        if answer.shape != expected or answer.dtype != np.float32:
            raise CheckpointError(
                f"The exported model answers {answer.dtype} {answer.shape} where its names and the images ask for "
                f"float32 {expected}; export the model again."
            )
        return SegmentationOutput(torch.from_numpy(answer).to(images.device), {})


def load_exported(path: Path) -> ExportedModel:
    """Load a file that ``scenescope export`` has written; it runs on the CPU.

    Args:
        path: the .onnx file.

    Raises:
        CheckpointError: there is no such file, or it is none of scenescope's.
        ScenescopeError: onnxruntime is not installed.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no exported model {path}; make one with scenescope export MODEL {path}.")
    if path.stat().st_size > MAX_FILE:
        raise CheckpointError(f"{path} is larger than an ONNX file can be, 2 GiB; export the model again.")
    return open_exported(path.read_bytes(), path)


def open_exported(content: bytes, path: str | Path) -> ExportedModel:
    """Open what an exported file holds; see ``load_exported``.

    Args:
        content: of the file.
        path: what messages call it.
    """
    require_packages("onnxruntime")
    refuse_more_than_layers(content, path)
    facts = read_facts(content, path)
    try:
        answer = try_once(content, {INPUT: np.zeros((1, _num_bands(facts), *TRIAL), np.float32)}, OUTPUT)
        run = OpenedFile(content, path)
    except Exception as error:  # onnxruntime has errors of its own
        reason = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{path} is not a whole ONNX file ({reason}); export the model again.") from error
    try:
        told = {key: json.loads(value) for key, value in facts.items() if key in FACTS}
        if told["scenescope"] > FORMAT:
            raise CheckpointError(f"{path} was written by a newer scenescope; upgrade this one.")
        classes = Classes.named(told["names"], told["palette"])
        mean, std = _per_band(told["mean"]), _per_band(told["std"])
        band_rule = rule_of(told.get("input")) or rule_for(len(mean))
        if len(mean) != len(std) or len(mean) != (3 if band_rule is None else band_rule.in_channels):
            raise ValueError(f"{len(mean)} means and {len(std)} deviations for {band_rule or '8-bit RGB'}")
        if answer.shape != (1, len(classes), *TRIAL) or answer.dtype != np.float32 or not min(std) > 0:
            raise ValueError(f"{len(classes)} names, an answer of {answer.dtype} {answer.shape}, std {std}")
        return ExportedModel(
            run,
            mean,
            std,
            classes,
            align_corners=bool(told["align_corners"]),
            config=dict(told["model"]),
            digest=hashlib.sha256(content).hexdigest(),
            band_rule=band_rule,
        )
    except CheckpointError:
        raise
    except Exception as error:  # anything may stand in a file
        reason = " ".join(repr(error).split())[:160]
        raise CheckpointError(f"{path} was not written by scenescope export ({reason}); export the model.") from error


def _num_bands(facts: Mapping[str, str]) -> int:
    """Return the bands that a file is to be tried with; what is wrong with its facts is told later."""
    with contextlib.suppress(Exception):
        mean, std = json.loads(facts["mean"]), json.loads(facts["std"])
        if len(mean) == len(std):
            return min(max(len(mean), 1), MAX_BANDS)
    return 3


def _per_band(numbers: Any) -> tuple[float, ...]:
    """Return what a file tells for each band."""
    told = tuple(map(float, numbers))
    if not 0 < len(told) <= MAX_BANDS or not np.isfinite(told).all():
        raise ValueError(f"{numbers} for the bands")
    return told


def export_metadata(network: SegmentationNetwork, classes: Classes, written_by: str) -> dict[str, str]:
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
        "input": None if network.band_rule is None else network.band_rule.to_dict(),
    }
    return {key: json.dumps(value) for key, value in facts.items()}


def require_packages(*packages: str) -> None:
    """Refuse to go on without packages of the extra ``export``.

    Raises:
        ScenescopeError: one is not installed.
    """
    missing = [package for package in dict.fromkeys(packages) if importlib.util.find_spec(package) is None]
    if missing:
        raise ScenescopeError(
            f"Exported models need {' and '.join(missing)}, which is not installed: pip install 'scenescope[export]'."
        )


class OpenedFile:
    """An exported file in onnxruntime, for any number of threads; its pickles and copies open it again.

    Attributes:
        facts: what the file tells besides its weights.
    """

    def __init__(self, content: bytes, path: str | Path) -> None:
        self._arguments = (content, path)
        self._open()

    def _open(self) -> None:
        import onnxruntime

        content, self._path = self._arguments
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # What is wrong is in the exception; warnings speak of the graph and not to its user.
        options.log_severity_level = 4
        options.add_session_config_entry("session.load_model_format", "ONNX")
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.facts: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenedFile, self._arguments

    def __call__(self, images: _Array) -> _Array:
        """Map B x bands x H x W prepared pixels to B x K x H x W logits.

        Raises:
            CheckpointError: the file has no answer to images of this size.
            MemoryError: there is too little memory for it.
        """
        if self._process != os.getpid():  # forked: the runtime's threads stayed behind
            self._open()
        try:
            logits: _Array = self._session.run([OUTPUT], {INPUT: images})[0]
        except Exception as error:  # onnxruntime has errors of its own
            if lacks_memory(error):
                raise MemoryError from error
            reason = " ".join(str(error).split())[:160]
            raise CheckpointError(
                f"{self._path} has no answer to {images.shape[0]} images of {images.shape[3]} x {images.shape[2]} "
                f"({reason}); export the model again."
            ) from error
        return logits
