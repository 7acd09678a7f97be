"""Segmentation of images in one call: a file, its bytes, a Pillow image or an array in, a Prediction out."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from scenescope.bands import BandRule, UnfitError, as_shown
from scenescope.checkpoints.model_directory import load_model, require_classes
from scenescope.data.band_files import apply_rule, read_bands, read_stored_bands
from scenescope.data.decoding import all_bands, rgb_array
from scenescope.data.images import MAX_PIXELS, opened, read_errors, read_image
from scenescope.data.tiff_bands import StoredBands
from scenescope.device import exact_float32, resolve_device, resolve_precision, traits
from scenescope.errors import ImageError, ModelError
from scenescope.inference.exported import SUFFIX, ExportedModel, load_exported
from scenescope.inference.fuse import optimize_for_inference
from scenescope.inference.guards import memory_errors, refuse_address, require_network
from scenescope.inference.prediction import Prediction
from scenescope.inference.predictor import predict_labels, predict_logits, predict_windows
from scenescope.inference.settings import InferenceSettings
from scenescope.labels import IGNORE, Classes
from scenescope.models.network import SegmentationNetwork


@dataclass(frozen=True)
class SeenImage:
    """An image that is read already: as a data set gives it, and as a network sees it.

    Attributes:
        array: H x W x 3 uint8 RGB, or H x W x C as ``BandRule.apply`` gives it.
    """

    array: npt.NDArray[Any]


ImageLike = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | npt.NDArray[Any] | SeenImage
"""A file by its path, its content or opened to be read, a Pillow image, H x W x 3 uint8 RGB, or what was read before.

Where the network declares bands or a range, an array holds the numbers of a file, H x W x N."""

_TAKEN = (
    "give a path, the bytes of a file, a file opened with 'rb', a Pillow image, H x W x 3 uint8 RGB, or a list of such"
)


class Segmenter:
    """A model and how it is used: network, classes, device, number format and test settings.

    The network is neither moved nor switched to another mode; for another device or form a copy is made.

    Args:
        model: a network or an opened exported file.
        classes: names and colors of its K classes.
        device: a name as ``resolve_device`` knows it; where the network is when not given.
        settings: scales, flip and windows; the whole image once when not given.
        precision: of the heavy operations: ``float32``, ``bfloat16``, or ``auto``, which is bfloat16 where the device
            multiplies it.
        fused: answer by a copy with less work to do (``optimize_for_inference``), where it proves equal. It does not
            know of later changes to the network.

    Attributes:
        network: as it was given or loaded, in float32; an exported file has none and raises ModelError.
        form: what answers, and what to call ``compile()`` of: the network, its fused copy, or the exported file.
        source: where the model was loaded from; None for one that was given.
        max_pixels: larger files are refused before they are decoded; may be set.

    Raises:
        ModelError: what is given is no network of scenescope, or has not as many classes as there are names.
        DeviceError: this machine has no such device.

    Example:
        >>> segmenter = Segmenter.load("runs/first/best")
        >>> segmenter.predict("photo.jpg").save("out", "photo")
    """

    def __init__(
        self,
        model: SegmentationNetwork | ExportedModel,
        classes: Classes,
        device: str | torch.device | None = None,
        settings: InferenceSettings | None = None,
        *,
        precision: Literal["auto", "float32", "bfloat16"] = "float32",
        fused: bool = False,
    ) -> None:
        require_network(model)
        require_classes(model, classes, "the list of class names")
        self.classes = classes
        self.settings = settings or InferenceSettings()
        self.source: Path | None = None
        self.max_pixels = MAX_PIXELS
        self.form: SegmentationNetwork | ExportedModel = model
        self._digest: tuple[str, list[int]] | None = None
        self._network: SegmentationNetwork | None = None
        if isinstance(model, ExportedModel):
            self.device, self.precision = torch.device("cpu"), "float32"
            return
        held = next(model.parameters(), torch.empty(0)).device
        self.device = held if device is None else resolve_device(device)
        self._network = self.form = model if self.device == held else copy.deepcopy(model).to(self.device)
        self.precision = resolve_precision(precision, self.device)
        if fused:
            with contextlib.suppress(ModelError):  # it does not prove equal: the network itself answers
                self.form = optimize_for_inference(self._network, getattr(torch, self.precision))

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        device: str | torch.device | None = "auto",
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        fused: bool = True,
        settings: InferenceSettings | None = None,
    ) -> Segmenter:
        """Load a model: a bare word (in the box), ``hub:org/name``, a path, or None for the first in the box.

        A path is that of a model directory or of a file that ``scenescope export`` wrote.

        Raises:
            CheckpointError: there is no such model or it is damaged.
            DeviceError: this machine has no such device.
        """
        device = resolve_device(device)
        if model is not None and str(model).endswith(SUFFIX) and not str(model).startswith("hub:"):
            exported = load_exported(Path(model))
            segmenter = cls(exported, exported.classes, settings=settings)
            segmenter.source, digest = Path(model), exported.digest
        else:
            loaded = load_model(model, device=device)
            segmenter = cls(loaded.network, loaded.classes, None, settings, precision=precision, fused=fused)
            segmenter.source, digest = loaded.directory, loaded.digest
        segmenter._digest = digest, segmenter._versions()
        return segmenter

    @property
    def network(self) -> SegmentationNetwork:
        """The network as it was given or loaded."""
        if self._network is None:
            raise ModelError("An exported file cannot be looked into; name the model directory that it was made of.")
        return self._network

    @property
    def band_rule(self) -> BandRule | None:
        """How the numbers of an image are seen; None for 8-bit RGB."""
        rule: BandRule | None = getattr(self.form, "band_rule", None)
        return rule

    @property
    def digest(self) -> str:
        """What is the same only for the same weights; of a model that was loaded, that of its files."""
        if self._digest is None or self._digest[1] != self._versions():
            self._digest = _digest(self.network), self._versions()
        return self._digest[0]

    def _versions(self) -> list[int]:
        """How often each weight was written to: torch counts."""
        weights = [] if self._network is None else [*self._network.parameters(), *self._network.buffers()]
        return [0 if weight.is_inference() else weight._version for weight in weights]

    def __repr__(self) -> str:
        """Return in one line what predicts: the network, its classes, where it runs, and how it looks."""
        name = getattr(self.form, "config", {}).get("name", type(self.form).__name__)
        shown = ", ".join(self.classes.names[:3]) + (", ..." if len(self.classes) > 3 else "")
        what = f"{name}, {len(self.classes)} classes: {shown}; {self.device}, {self.precision}; {self.settings}"
        return f"Segmenter({what})"

    def logits(self, images: Tensor) -> Tensor:
        """Score every pixel of B x 3 x H x W uint8 RGB on the device, as ``predict_logits`` does: B x K x H x W."""
        with self._arithmetic():
            return predict_logits(self.form, images, self.settings)

    def labels(self, images: Tensor) -> Tensor:
        """Give every pixel of B x 3 x H x W uint8 RGB on the device a class: B x H x W uint8."""
        with self._arithmetic():
            return predict_labels(self.form, images, self.settings)

    def windows(
        self,
        size: tuple[int, int],
        read: Callable[[slice], Tensor],
        take: Callable[[slice, slice, Tensor], None],
        wanted: Callable[[slice], bool],
    ) -> None:
        """Score an image that is too large to be held, as ``predict_windows`` does."""
        with self._arithmetic():
            predict_windows(self.form, size, self.settings, read, take, wanted)

    @contextlib.contextmanager
    def _arithmetic(self) -> Iterator[None]:
        exact = self.precision == "float32" and traits(self.device).queued  # GPUs have shorter formats for float32
        mixed = self.precision == "bfloat16" and self.form is self._network
        with (
            torch.autocast(self.device.type, torch.bfloat16, enabled=mixed),
            exact_float32() if exact else nullcontext(),
        ):
            yield

    @overload
    def predict(self, image: ImageLike, *, probabilities: bool = False) -> Prediction: ...

    @overload
    def predict(self, image: list[Any] | tuple[Any, ...], *, probabilities: bool = False) -> list[Prediction]: ...

    def predict(
        self, image: ImageLike | list[Any] | tuple[Any, ...], *, probabilities: bool = False
    ) -> Prediction | list[Prediction]:
        """Give every pixel of an image a class.

        Args:
            image: a file by its path, its bytes or a file object, a Pillow image (each shown upright as its EXIF
                says), or H x W x 3 uint8 RGB; or a list of such, which is answered by a list. Where the network
                declares bands or a range, files and arrays are read by that rule; pixels without data get no class.
            probabilities: also return K x H x W probabilities.

        Raises:
            ImageError: the image cannot be read, is too large for the limit or for the memory, or is an array of
                another shape or type, or something else.
            ModelError: the network's answer is no number everywhere.
        """
        if isinstance(image, (list, tuple)):
            return [self.predict(each, probabilities=probabilities) for each in image]
        pixels = image_array(image, self.max_pixels, self.band_rule)
        what = f"An image of {pixels.shape[1]} x {pixels.shape[0]} pixels"
        with memory_errors(ImageError, what, "look at it through a window, such as --window 768"):
            batch = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()).to(self.device)
            shares = None
            if probabilities:
                scores = self.logits(batch)[0]
                labels = scores.argmax(dim=0).to(torch.uint8).cpu().numpy()
                shares = (scores if self.settings.averages else torch.softmax(scores, dim=0)).cpu().numpy()
            else:
                labels = self.labels(batch)[0].cpu().numpy()
            missing = np.isnan(pixels).any(axis=2) if pixels.dtype != np.uint8 else np.zeros((0, 0), np.bool_)
            without_data = missing if missing.any() else None
            if without_data is not None:
                labels[missing] = IGNORE
                if shares is not None:
                    shares[:, missing] = np.nan
            return Prediction(labels, as_shown(pixels), self.classes, shares, without_data)


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def image_array(image: object, max_pixels: int = MAX_PIXELS, rule: BandRule | None = None) -> npt.NDArray[Any]:
    """Return an image as H x W x 3 uint8 RGB, or as a rule sees it, upright, in memory that nobody else has.

    Raises:
        ImageError: it cannot be read, is too large, or is an array of another shape or type, or something else.
    """
    if isinstance(image, SeenImage):
        return image.array.copy()
    if rule is not None:
        return _by_rule(image, max_pixels, rule)
    if isinstance(image, (str, os.PathLike)):
        refuse_address(os.fsdecode(image))
        return read_image(Path(os.fsdecode(image)), max_pixels)
    if isinstance(image, np.ndarray):
        return _checked(image).copy()
    if isinstance(image, Image.Image):
        return _decoded(image)
    content = image.read() if hasattr(image, "read") else image
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise ImageError(f"A {type(image).__name__} is not an image; {_TAKEN}.")
    if not len(content):
        kind = type(image).__name__
        raise ImageError(f"An image given as {kind} is empty, or its file was read to the end before; {_TAKEN}.")
    with opened(Path(f"the {type(image).__name__} given"), max_pixels, bytes(content)) as file:
        return rgb_array(file)


def _by_rule(image: object, max_pixels: int, rule: BandRule) -> npt.NDArray[Any]:
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3) or image.size == 0:
            raise ImageError(f"An array of shape {image.shape} is not an image; give H x W x N numbers as in a file.")
        return apply_rule(StoredBands(image), rule, Path("the array given"))
    if isinstance(image, (str, os.PathLike)):
        refuse_address(os.fsdecode(image))
        return read_bands(Path(os.fsdecode(image)), rule, max_pixels)
    if isinstance(image, Image.Image):
        name = Path("the image given")
        with read_errors(name, b""):
            return apply_rule(StoredBands(all_bands(image)), rule, name)
    content = image.read() if hasattr(image, "read") else image
    if not isinstance(content, (bytes, bytearray, memoryview)) or not len(content):
        raise ImageError(f"A {type(image).__name__} without content is not an image; {_TAKEN}.")
    name = Path(f"the {type(image).__name__} given")
    return apply_rule(read_stored_bands(name, max_pixels, bytes(content)), rule, name)


def _decoded(image: Image.Image) -> npt.NDArray[np.uint8]:
    try:
        return rgb_array(image)
    except UnfitError as error:
        raise ImageError(f"The image cannot be read: {error}.") from error
    # Pillow decodes an opened file only now, and damage may raise nearly anything (see ``opened``).
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"The image cannot be decoded ({reason}); if it is damaged or cut short, copy or export it again."
        ) from error


def _checked(array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or array.size == 0:
        raise ImageError(
            f"An array of shape {array.shape} and type {array.dtype} is not an image; give H x W x 3 uint8 RGB."
        )
    return array.view(np.uint8)
