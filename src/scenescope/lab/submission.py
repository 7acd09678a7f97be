"""Predictions of a test split in the form that the server of the data set takes: a zip archive of label maps as PNG.

Cityscapes: one PNG per image with the original ids, found by the server wherever its name begins with
``CITY_SEQUENCE_FRAME`` (cityscapesScripts, ``evalPixelLevelSemanticLabeling``). VOC 2012: palette PNGs in
``results/VOC2012/Segmentation/comp6_test_cls``, comp5 for those who trained on VOC alone (its development kit,
section 5). ADE20K: PNGs of the values 1 to 150, named as the images (sceneparsing, "Submission format").
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from scenescope.checkpoints.model_directory import class_difference, require_classes
from scenescope.data.ade20k import open_ade20k
from scenescope.data.cityscapes import ORIGINAL_IDS, open_cityscapes
from scenescope.data.dataset import FileDataset
from scenescope.data.images import read_image
from scenescope.data.voc2012 import open_voc2012
from scenescope.errors import DataError, ModelError, StorageError
from scenescope.files import write_atomically
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.labels import voc_color


@dataclass(frozen=True)
class Server:
    """What a server takes.

    Attributes:
        open: opens a split of its data set, given root and split.
        values: the number that stands for each train id.
        path: of a prediction in the archive; ``{}`` is the id of the image.
        pattern: what else that path may be, its only group the id; empty where it may not.
        image_suffix: what follows the id in the name of an image, besides the ending.
        mode: of the PNGs, "L" for gray or "P" for the colors of VOC.
        size: (width, height) of all images, where they have one.
        advice: what else the server asks for.
    """

    open: Callable[[str, str], FileDataset]
    values: tuple[int, ...]
    path: str
    pattern: str = ""
    image_suffix: str = ""
    mode: str = "L"
    size: tuple[int, int] | None = None
    advice: str = ""

    def image_id(self, image: Path) -> str:
        """Return the id of an image."""
        return image.stem.removesuffix(self.image_suffix)

    def entry_id(self, path: str) -> str | None:
        """Return the id of the image that a file of the archive is the prediction of; None for any other file."""
        exact = re.escape(self.path).replace(re.escape("{}"), "([^/]+)")
        match = re.fullmatch(self.pattern or exact, path)
        return match[1] if match else None

    def encode(self, labels: np.ndarray) -> bytes:
        """Return the PNG of H x W uint8 train ids."""
        png = Image.fromarray(np.array(self.values, np.uint8)[labels])
        if self.mode == "P":
            png.putpalette([part for index in range(256) for part in voc_color(index)])
        buffer = io.BytesIO()
        png.save(buffer, format="PNG")
        return buffer.getvalue()


SERVERS = {
    "cityscapes": Server(
        open_cityscapes,
        ORIGINAL_IDS,
        "{}_labelIds.png",
        r"(?:.+/)?([^/_]+_\d+_\d+)[^/]*\.png",
        image_suffix="_leftImg8bit",
        size=(2048, 1024),
    ),
    "voc": Server(
        open_voc2012,
        tuple(range(21)),
        "results/VOC2012/Segmentation/comp6_test_cls/{}.png",
        mode="P",
        advice="The server takes tar archives: unzip it, and tar -czf results.tgz results.",
    ),
    "ade20k": Server(open_ade20k, tuple(range(1, 151)), "{}.png"),
}
"""Server by the name of its data set."""


def voc_competition(competition: str) -> Server:
    """Return VOC's server for comp5 or comp6."""
    return replace(SERVERS["voc"], path=SERVERS["voc"].path.replace("comp6", competition))


def load_fitting(model: str, device: str, settings: InferenceSettings, dataset: FileDataset) -> Segmenter:
    """Load a model for a data set, whose classes its server knows by number alone.

    Raises:
        CheckpointError: there is no such model or it is damaged.
        ModelError: its classes are not those of the data set.
        DeviceError: this machine has no such device.
    """
    segmenter = Segmenter.load(model, device, "float32", settings=settings)
    require_classes(segmenter.form, dataset.classes, f"the data set {dataset.root}")
    difference = class_difference(segmenter.classes.names, dataset.classes.names)
    if difference is not None:
        raise ModelError(f"The server knows classes by number alone, and {difference}, or give another model.")
    return segmenter


def image_sizes(server: Server, images: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """Return the (width, height) of every image by its id.

    Each is decoded, so that a damaged one is told before hours of predicting.

    Raises:
        ImageError: an image cannot be read.
        DataError: two have one id.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for image in images:
        name = server.image_id(image)
        if name in sizes:
            raise DataError(f"{image} is there twice; the server knows one image {name}. Remove the other.")
        height, width, _ = read_image(image).shape
        sizes[name] = width, height
    return sizes


def require_output(path: Path) -> None:
    """Refuse a place that no archive can be written to, before hours of predicting.

    Raises:
        StorageError: the name does not end in .zip, or is that of a directory.
    """
    if path.suffix.lower() != ".zip":
        raise StorageError(
            f"{str(path)!r} is not the name of an archive; give one that ends in .zip, such as out/test.zip."
        )
    if path.is_dir():
        raise StorageError(f"{path} is a directory; give the name of an archive, such as {path / 'test.zip'}.")


def write_submission(segmenter: Segmenter, server: Server, images: Iterable[Path], path: Path) -> None:
    """Predict every image of a split and write the archive, whole or not at all.

    Args:
        segmenter: see ``load_fitting``.

    Raises:
        ImageError: an image cannot be read or needs more memory than there is.
        StorageError: the place cannot be written.
    """
    require_output(path)

    def write(place: Path) -> None:
        # Not compressed: PNGs already are.
        with zipfile.ZipFile(place, "w") as archive:
            for image in images:
                entry = zipfile.ZipInfo(server.path.format(server.image_id(image)))
                entry.external_attr = 0o644 << 16  # else nobody may read what unzip makes of it
                archive.writestr(entry, server.encode(segmenter.predict(image).labels))

    write_atomically(path, write)
