"""Which labels are wrong: regions of the masks and images, ranked by how firmly a model disbelieves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from scenescope.data.dataset import LabeledImage, SegmentationDataset, seen_by
from scenescope.data.loading import read_ahead
from scenescope.errors import DataError, ImageError, ModelError
from scenescope.evaluation.label_regions import Region, SelfConfidence, find_regions, score
from scenescope.inference.guards import eval_mode, memory_errors
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import IGNORE, Classes
from scenescope.workflows.seen import SeenScenes


@dataclass(frozen=True)
class Scene:
    """An image that was judged.

    Attributes:
        dataset: the split it is of.
        index: its place there.
        judges: the numbers of the models whose mean judged it.
        seen: whether these were trained on it; None where that is not known.
        agreement: share of the labeled pixels in which they answer the label.
    """

    dataset: SegmentationDataset
    index: int
    judges: tuple[int, ...]
    seen: bool | None
    agreement: float

    @property
    def name(self) -> str:
        """The name of the scene."""
        return self.dataset.name(self.index)

    @property
    def mask(self) -> str:
        """The file of its mask; empty where it is generated."""
        files = self.dataset.files(self.index)
        return str(files[1]) if len(files) > 1 else ""


@dataclass(frozen=True)
class Suspect:
    """A region that is disbelieved: in a scene, with its score."""

    scene: Scene
    region: Region
    score: float


@dataclass
class LabelFindings:
    """What models think of the labels of a data set.

    Attributes:
        classes: of the data set.
        scenes: that were judged.
        suspects: the regions that are disbelieved, the most firmly first.
        num_regions: all regions, those that are believed too.
        num_small: areas of fewer than ``SMALLEST`` pixels, which are left out.
        unlabeled: scenes without a labeled pixel.
        unread: scenes that could not be read or were too large, and why the first could not.
    """

    classes: Classes
    scenes: list[Scene] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    num_regions: int = 0
    num_small: int = 0
    unlabeled: int = 0
    unread: list[str] = field(default_factory=list)

    def images(self) -> list[tuple[Scene, float, int]]:
        """Return each scene with a suspect, the score of its first and how many it has, in the order of the scores."""
        first: dict[int, tuple[Scene, float]] = {}
        number: dict[int, int] = {}
        for each in self.suspects:
            first.setdefault(id(each.scene), (each.scene, each.score))
            number[id(each.scene)] = number.get(id(each.scene), 0) + 1
        return [(scene, score, number[key]) for key, (scene, score) in first.items()]


def check_labels(
    models: Sequence[Segmenter],
    datasets: Sequence[SegmentationDataset],
    kind: str,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> LabelFindings:
    """Rank the regions of all masks by how firmly models disbelieve them, in one pass over the images.

    An image is judged by the mean of the models that have not seen it in their training, as far as their directories
    tell; where there is none, by those of which it is not known, else by all.

    Args:
        models: each with the classes of the data set, in any order.
        datasets: splits of one data set.
        kind: that of the data set, a key of ``DATASETS``.
        progress: called with the split, the scenes done and their number.

    Raises:
        ModelError: a model has other classes, or there is but one class.
        DataError: a model sees other bands, or another range, than the data set declares.
    """
    classes = datasets[0].classes
    orders = [_order(model, classes) for model in models]
    for model in models:
        datasets = [seen_by(dataset, model.band_rule, "the model") for dataset in datasets]
    records = [SeenScenes(model.source, kind, datasets[0].root) for model in models]
    found = LabelFindings(classes)
    confidences: dict[tuple[int, ...], SelfConfidence] = {}
    regions: list[tuple[Scene, Region]] = []
    with ThreadPoolExecutor(1) as reader, ExitStack() as modes:
        for model in models:
            modes.enter_context(eval_mode(model.form))
        for dataset in datasets:
            for index, future in read_ahead(reader, dataset.__getitem__, range(len(dataset))):
                judges, seen = _judges([each(dataset, index) for each in records])
                try:
                    labeled = _read(future)
                    if labeled is None:
                        found.unlabeled += 1
                        continue
                    log_probabilities = _log_probabilities([(models[j], orders[j]) for j in judges], labeled.image)
                except (DataError, ImageError) as error:
                    found.unread.append(str(error))
                    continue
                finally:
                    if progress is not None:
                        progress(f"judging {dataset.split}", index + 1, len(dataset))
                labels = labeled.labels
                confidences.setdefault(judges, SelfConfidence(len(classes))).add(log_probabilities, labels)
                regions_here, small = find_regions(log_probabilities, labels)
                right = (log_probabilities.argmax(axis=0) == labels)[labels != IGNORE].mean()
                scene = Scene(dataset, index, judges, seen, float(right))
                found.scenes.append(scene)
                found.num_regions += len(regions_here)
                found.num_small += small
                regions += [(scene, region) for region, _ in regions_here if region.log_odds > 0]
    usual = {judges: each.log_thresholds() for judges, each in confidences.items()}
    scored = (Suspect(scene, region, score(region, usual[scene.judges])) for scene, region in regions)
    found.suspects = sorted((each for each in scored if each.score > 0), key=lambda each: -each.score)
    return found


def look_again(
    scene: Scene, regions: Sequence[Region], models: Sequence[Segmenter]
) -> tuple[LabeledImage, list[npt.NDArray[np.bool_]]]:
    """Read and judge a scene once more; return it, and for each of its regions the pixels of its box that it has."""
    labeled = scene.dataset[scene.index]
    judges = [(models[j], _order(models[j], scene.dataset.classes)) for j in scene.judges]
    found = find_regions(_log_probabilities(judges, labeled.image), labeled.labels)[0]
    inside = {(region.label, region.answer, region.box): pixels for region, pixels in found}
    # On a GPU a second look may differ in a pixel: then all of the box is shown.
    boxes = [np.ones(each.box[:1:-1], dtype=bool) for each in regions]
    places = [(each.label, each.answer, each.box) for each in regions]
    return labeled, [inside.get(place, box) for place, box in zip(places, boxes, strict=True)]


def _read(future: Future[LabeledImage]) -> LabeledImage | None:
    """Return a scene that was read; None if nothing in it is labeled."""
    labeled = future.result()
    return labeled if bool((labeled.labels != IGNORE).any()) else None


def _order(model: Segmenter, classes: Classes) -> list[int]:
    """Return the number in the model of each class of the data.

    Raises:
        ModelError: the model has other classes.
    """
    if len(classes) < 2:
        raise ModelError(f"The data set has one class, {classes.names[0]!r}: a model can take it for nothing else.")
    ours, theirs = set(model.classes.names), set(classes.names)
    if ours != theirs:
        parts = {"only in the model": sorted(ours - theirs), "only in the data": sorted(theirs - ours)}
        told = "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in parts.items() if names)
        raise ModelError(
            f"The model {model.source} has other classes than the data set ({told}); give one that was trained on these"
            " classes, or call them in classes.yaml as the model does."
        )
    return [model.classes.names.index(name) for name in classes.names]


def _judges(seen: Sequence[bool | None]) -> tuple[tuple[int, ...], bool | None]:
    """Return the models that judge a scene, the least biased there are, and whether these have seen it."""
    for state in (False, None):
        if state in seen:
            return tuple(number for number, each in enumerate(seen) if each is state), state
    return tuple(range(len(seen))), True


def _log_probabilities(
    judges: Sequence[tuple[Segmenter, Sequence[int]]], image: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Return the logarithm of the mean of the models' probabilities: K x H x W."""
    what = f"An image of {image.shape[1]} x {image.shape[0]} pixels"
    with memory_errors(ImageError, what, "scale it and its mask down"):
        total: torch.Tensor | None = None
        for model, order in judges:
            batch = torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).to(model.device)
            answer = torch.log_softmax(model.logits(batch)[0], dim=0).cpu()[list(order)]
            total = answer if total is None else torch.logaddexp(total, answer)
        assert total is not None  # every scene has a judge
        found: npt.NDArray[np.float32] = (total - float(np.log(len(judges)))).numpy()
        return found
