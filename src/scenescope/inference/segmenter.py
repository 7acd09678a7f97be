"""Segmentation of pictures in one call: a file, its bytes, a Pillow image or an array in, a Prediction out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from scenescope.checkpoints.model_directory import require_classes
from scenescope.data.decoding import rgb_array
from scenescope.data.depth import UnfitError
from scenescope.data.images import MAX_PIXELS, opened, read_image
from scenescope.device import resolve_device
from scenescope.errors import ImageError
from scenescope.inference.checks import require_network
from scenescope.inference.exported import load_for_inference
from scenescope.inference.inputs import refuse_address
from scenescope.inference.memory import memory_errors
from scenescope.inference.prediction import Prediction
from scenescope.inference.predictor import InferenceSettings, predict_labels, predict_logits
from scenescope.labels import Classes
from scenescope.models.network import SegmentationNetwork

Picture = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | npt.NDArray[np.uint8]
"""A file by its path, its content or opened to be read, a Pillow image, or H x W x 3 uint8 RGB."""

_TAKEN = (
    "give a path, the bytes of a file, a file opened with 'rb', a Pillow image, H x W x 3 uint8 RGB, or a list of such"
)


class Segmenter:
    """A network with what its classes mean, ready for pictures.

    Args:
        network: is moved to the device and put into eval mode.
        classes: names and colours of its K classes.
        device: a name as ``resolve_device`` knows it.
        settings: scales, flip and windows; the whole picture once when not given.

    Raises:
        ModelError: what is given is no network of scenescope, or has not as many classes as there are names.

    Example:
        >>> segmenter = Segmenter.load("runs/first/best")
        >>> segmenter.predict("photo.jpg").save("out", "photo")
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        classes: Classes,
        device: str | torch.device | None = "cpu",
        settings: InferenceSettings | None = None,
    ) -> None:
        require_network(network)
        require_classes(network, classes, "the list of class names")
        self.device = device if isinstance(device, torch.device) else resolve_device(device)
        self.network = network.to(self.device).eval()
        self.classes = classes
        self.settings = settings or InferenceSettings()

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        device: str | torch.device | None = None,
        settings: InferenceSettings | None = None,
    ) -> Segmenter:
        """Load a model: a bare word (in the box), ``hub:org/name``, a path, or None for the first in the box.

        A path is that of a model directory or of a file that ``scenescope export`` wrote.

        Raises:
            CheckpointError: there is no such model or it is damaged.
            DeviceError: this machine has no such device.
        """
        device = device if isinstance(device, torch.device) else resolve_device(device)
        loaded = load_for_inference(model)
        return cls(loaded.network, loaded.classes, device, settings)

    def __repr__(self) -> str:
        """Return in one line what predicts: the network, its classes, where it runs, and how it looks."""
        config = getattr(self.network, "config", {})
        name = config.get("name", type(self.network).__name__)
        shown = ", ".join(self.classes.names[:3]) + (", ..." if len(self.classes) > 3 else "")
        return f"Segmenter({name}, {len(self.classes)} classes: {shown}; {self.device}; {self.settings})"

    @overload
    def predict(self, picture: Picture, *, probabilities: bool = False, max_pixels: int = MAX_PIXELS) -> Prediction: ...

    @overload
    def predict(
        self, picture: list[Any] | tuple[Any, ...], *, probabilities: bool = False, max_pixels: int = MAX_PIXELS
    ) -> list[Prediction]: ...

    def predict(
        self,
        picture: Picture | list[Any] | tuple[Any, ...],
        *,
        probabilities: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> Prediction | list[Prediction]:
        """Give every pixel of a picture a class.

        Args:
            picture: a file by its path, its bytes or a file object, a Pillow image (each shown upright as its EXIF
                says), or H x W x 3 uint8 RGB; or a list of such, which is answered by a list.
            probabilities: also return K x H x W probabilities.
            max_pixels: refuse larger files before they are decoded.

        Raises:
            ImageError: the picture cannot be read, is too large for the limit or for the memory, or is an array of
                another shape or type, or something else.
            ModelError: the network's answer is no number everywhere.
        """
        if isinstance(picture, (list, tuple)):
            return [self.predict(each, probabilities=probabilities, max_pixels=max_pixels) for each in picture]
        image = picture_array(picture, max_pixels)
        what = f"A picture of {image.shape[1]} x {image.shape[0]} pixels"
        with memory_errors(ImageError, what, "look at it through a window, such as --window 768"):
            batch = torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).to(self.device)
            if not probabilities:
                labels = predict_labels(self.network, batch, self.settings)[0].cpu().numpy()
                return Prediction(labels, image, self.classes)
            scores = predict_logits(self.network, batch, self.settings)[0]
            labels = scores.argmax(dim=0).to(torch.uint8).cpu().numpy()
            shares = scores if self.settings.averages else torch.softmax(scores, dim=0)
            return Prediction(labels, image, self.classes, shares.cpu().numpy())


def picture_array(picture: object, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Return a picture as H x W x 3 uint8 RGB, upright, in memory that nobody else has.

    Raises:
        ImageError: it cannot be read, is too large, or is an array of another shape or type, or something else.
    """
    if isinstance(picture, (str, os.PathLike)):
        refuse_address(os.fsdecode(picture))
        return read_image(Path(os.fsdecode(picture)), max_pixels)
    if isinstance(picture, np.ndarray):
        return _checked(picture).copy()
    if isinstance(picture, Image.Image):
        return _decoded(picture)
    content = picture.read() if hasattr(picture, "read") else picture
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise ImageError(f"A {type(picture).__name__} is no picture; {_TAKEN}.")
    if not len(content):
        kind = type(picture).__name__
        raise ImageError(f"A picture given as {kind} is empty, or its file was read to the end before; {_TAKEN}.")
    with opened(Path(f"the {type(picture).__name__} given"), max_pixels, bytes(content)) as opened_picture:
        return rgb_array(opened_picture)


def _decoded(picture: Image.Image) -> npt.NDArray[np.uint8]:
    try:
        return rgb_array(picture)
    except UnfitError as error:
        raise ImageError(f"The picture cannot be read: {error}.") from error
    # Pillow decodes an opened file only now, and damage may raise nearly anything (see ``opened``).
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"The picture cannot be decoded ({reason}); if it is damaged or cut short, copy or export it again."
        ) from error


def _checked(array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or array.size == 0:
        raise ImageError(
            f"An array of shape {array.shape} and type {array.dtype} is no picture; give H x W x 3 uint8 RGB."
        )
    return array.view(np.uint8)
