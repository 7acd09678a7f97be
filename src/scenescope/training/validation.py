"""Validation within a training: when, of what, and the scores so far."""

from __future__ import annotations

from collections.abc import Callable

from scenescope.config import TrainSettings
from scenescope.data.dataset import SegmentationDataset
from scenescope.device import num_readers
from scenescope.errors import DataError
from scenescope.evaluation.attention_use import AttentionShares, AttentionUse
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.evaluation.evaluator import count_scored_pixels, evaluate
from scenescope.evaluation.scores import Scores
from scenescope.models.network import SegmentationNetwork
from scenescope.training.distributed import Processes, gather_objects
from scenescope.training.log import Row


class Validation:
    """The scenes to score, and the scores so far.

    Attributes:
        best: the row of the log with the highest mIoU, or None.
        last: the last row.
    """

    def __init__(self, val_set: SegmentationDataset, settings: TrainSettings, processes: Processes) -> None:
        self.val_set, self.settings, self.processes = val_set, settings, processes
        self.num_workers = num_readers(processes.device) if settings.num_workers is None else settings.num_workers
        self.best: Row | None = None
        self.last: Row | None = None

    def require_readable(self) -> None:
        """Find before the first step, and not after those up to the first validation, what is not fit to be scored.

        Raises:
            DataError, ImageError: a scene cannot be read, or no pixel of any has a label.
        """
        if not self.val_set.files(0):  # generated
            return
        rank, world_size = self.processes.rank, self.processes.world_size
        scored = count_scored_pixels(self.val_set, num_workers=self.num_workers, rank=rank, world_size=world_size)
        if not any(gather_objects(scored)):
            raise DataError(
                f"Every pixel of split {self.val_set.split!r} of {self.val_set.root} is ignored: nothing can be scored;"
                " label some of it, or choose another data.val_split."
            )

    def is_due(self, step: int) -> bool:
        """Tell whether a validation belongs to a step and has not been done."""
        due = step > 0 and (step % self.settings.validate_every == 0 or step == self.settings.steps)
        return due and (self.last is None or self.last["step"] != step)

    def count(self, network: SegmentationNetwork, stop: Callable[[], bool]) -> tuple[ConfusionMatrix, AttentionUse]:
        """Compare a network with the labels; the counts are of no use once ``stop`` says True.

        Raises:
            DataError, ImageError: a scene cannot be read.
        """
        attention = AttentionUse(network.num_classes)
        matrix = evaluate(
            network,
            self.val_set,
            num_workers=self.num_workers,
            rank=self.processes.rank,
            world_size=self.processes.world_size,
            stop=stop,
            attention=attention,
        )
        return matrix, attention

    def row(self, matrix: ConfusionMatrix, attention: AttentionUse, step: int) -> Row:
        """Return the scores of a step as a row of the log."""
        scores = Scores.from_matrix(matrix, self.val_set.classes.names)
        shares = AttentionShares.from_sums(attention, self.val_set.classes.names)
        paid = {} if shares is None else {"val/attention_own": shares.mean_own, "val/attention_area": shares.mean_area}
        return {
            "step": step,
            "val/miou": scores.mean_iou,
            "val/pixel_accuracy": scores.pixel_accuracy,
            "val/iou": scores.iou_by_class(),
            **paid,
        }

    def take(self, row: Row | None) -> bool:
        """Take a row of scores, if there is one, for the last, and tell whether it is the best."""
        if row is None:
            return False
        self.last = row
        is_best: bool = self.best is None or row["val/miou"] > self.best["val/miou"]
        if is_best:
            self.best = row
        return is_best
