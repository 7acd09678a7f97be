"""The one evaluator: a network, a data set, a confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import Dataset

from scenescope.checkpoints.model_directory import require_classes
from scenescope.data.dataset import SegmentationDataset, seen_by
from scenescope.data.loading import Batch, Sample, load_batches, read_ahead
from scenescope.data.transforms import whole_sample
from scenescope.device import num_readers, traits
from scenescope.errors import ImageError, ModelError
from scenescope.evaluation.attention_use import AttentionUse
from scenescope.evaluation.boundary import BoundaryCounts
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.evaluation.distributed import add_up
from scenescope.evaluation.image_counts import ImageCounts
from scenescope.inference.guards import eval_mode, memory_errors, require_network
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.labels import IGNORE
from scenescope.models.network import SegmentationNetwork


def evaluate(
    model: Segmenter | SegmentationNetwork,
    dataset: SegmentationDataset,
    settings: InferenceSettings | None = None,
    *,
    batch_size: int = 1,
    num_workers: int | None = None,
    rank: int = 0,
    world_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    boundary: BoundaryCounts | None = None,
    attention: AttentionUse | None = None,
    images: ImageCounts | None = None,
) -> ConfusionMatrix:
    """Compare a model's predictions with the labels of a data set, at the labels' own size.

    Neither a generator of random numbers nor the mode of any module is changed, so a training can evaluate at
    any time.

    Args:
        model: a network, where it is and as it is, or a Segmenter with a form and settings of its own.
        settings: of a network; a Segmenter has its own.
        batch_size: at most so many images at once; only neighbors of one size share a batch.
        num_workers: processes that read images; 0 reads in a thread of this one, as is done on a CPU when not given.
        rank: which of the processes this is; it takes every ``world_size``-th image, from ``rank`` on.
        progress: called with the number of images done and to do in this process.
        stop: asked between images; once it says True in a process, that one leaves out the rest of its images.
        boundary: takes the counts along the boundaries in the same pass, over all processes likewise.
        attention: takes what position attention is paid to in the same pass, likewise; of one look at whole images.
        images: takes the counts of every single image in the same pass, likewise.

    Returns:
        The counts over all processes where ``torch.distributed`` joins them, else of this share of the images.

    Raises:
        ModelError: settings beside those of a Segmenter; the network is none of scenescope's, has another class count
            than the data set, or answers what is no number.
        DataError: an image or mask is not fit; the message names the file.
        ImageError: an image needs more memory than there is.
    """
    source = f"the data set {dataset.root or dataset.split}"
    if not isinstance(model, Segmenter):
        require_network(model)
        require_classes(model, dataset.classes, source)
        model = Segmenter(model, dataset.classes, settings=settings)
    elif settings is not None:
        raise ModelError("A Segmenter has settings of its own; give them to it, as Segmenter(..., settings=...).")
    require_classes(model.form, dataset.classes, source)
    dataset = seen_by(dataset, model.band_rule, "the model")
    watching = nullcontext if attention is None else partial(attention.watching, _looked_into(model))
    segmenter = model
    if num_workers is None:
        num_workers = num_readers(segmenter.device) if traits(segmenter.device).queued else 0

    def predict(batch: Tensor, labels: Tensor) -> Tensor:
        what = f"An image of {batch.shape[-1]} x {batch.shape[-2]} pixels"
        with (
            memory_errors(ImageError, what, "scale it down, or evaluate with a window, such as --window 768"),
            watching(labels),
        ):
            return segmenter.labels(batch.to(segmenter.device))

    confusion = ConfusionMatrix(len(segmenter.classes), segmenter.device)
    share = Share(dataset, range(rank, len(dataset), world_size))
    with eval_mode(segmenter.form):
        count_predictions(
            share,
            predict,
            confusion,
            batch_size=batch_size,
            num_workers=num_workers,
            progress=progress,
            stop=stop,
            boundary=boundary,
            images=images,
        )
    add_up(world_size, confusion, boundary, attention, images)
    return confusion


class Share(Dataset[Sample]):
    """One process's images of a data set, each as it is scored: the image, its labels and its name as tensors."""

    def __init__(self, dataset: SegmentationDataset, indices: range) -> None:
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Sample:
        return whole_sample(self.dataset[self.indices[position]])


def count_predictions(
    share: Share,
    predict: Callable[[Tensor, Tensor], Tensor],
    confusion: ConfusionMatrix,
    *,
    batch_size: int,
    num_workers: int,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    boundary: BoundaryCounts | None = None,
    images: ImageCounts | None = None,
) -> None:
    """Read a share, and count its labels against what is predicted, see ``evaluate``.

    Args:
        predict: from B x C x H x W as the share reads it, and B x H x W labels on the device of the confusion matrix,
            to B x H x W classes there.
    """
    if progress:
        progress(0, len(share))
    done = 0
    device = confusion.matrix.device
    with ThreadPoolExecutor(1) as reader:
        # Sizes are known only once read, so images are read one by one and stacked afterwards.
        singles = load_batches(share, [[position] for position in range(len(share))], num_workers, stop=stop)
        ahead = read_ahead(reader, lambda _: next(singles, None), range(len(share)))
        read = (single for _, future in ahead if (single := future.result()) is not None)  # fewer when told to stop
        for batch, labels in _batches(read, batch_size):
            if stop is not None and stop():
                break
            labels = labels.to(device)
            predictions = predict(batch, labels)
            confusion.update(labels, predictions)
            if boundary is not None:
                boundary.update(labels, predictions)
            if images is not None:
                images.update(list(share.indices[done : done + len(batch)]), labels, predictions)
            done += len(batch)
            if progress:
                progress(done, len(share))


def _looked_into(segmenter: Segmenter) -> SegmentationNetwork:
    """Return the network whose attention is looked into while it predicts."""
    if segmenter.settings != InferenceSettings():
        raise ModelError("Attention is measured in one look at the whole image; leave out scales, flip and windows.")
    return segmenter.form if isinstance(segmenter.form, SegmentationNetwork) else segmenter.network


def count_scored_pixels(
    dataset: SegmentationDataset, *, num_workers: int = 0, rank: int = 0, world_size: int = 1
) -> int:
    """Read every image of a process's share with its labels, as ``evaluate`` does, and count what would be scored.

    Raises:
        DataError, ImageError: an image or mask is not fit; the message names the file.
    """
    share = Share(dataset, range(rank, len(dataset), world_size))
    batches = load_batches(share, [[position] for position in range(len(share))], num_workers)
    return sum(int((labels != IGNORE).sum()) for _, labels, _ in batches)


def _batches(singles: Iterable[Batch], batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Join neighbors of one size, at most ``batch_size`` of them: B x bands x H x W images and B x H x W labels."""
    waiting: list[tuple[Tensor, Tensor]] = []
    for image, labels, _ in singles:
        if waiting and (len(waiting) == batch_size or image.shape != waiting[0][0].shape):
            yield _joined(waiting)
            waiting = []
        waiting.append((image, labels))
    if waiting:
        yield _joined(waiting)


def _joined(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.cat([image for image, _ in pairs]), torch.cat([labels for _, labels in pairs])
