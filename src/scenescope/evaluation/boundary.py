"""How well predictions follow the boundaries of classes: counts for Boundary IoU and boundary F.

With G the pixels of a class in truth and P in the prediction, G_d and P_d those at most d pixels from outside it:

    Boundary IoU = |G_d and P_d| / |G_d or P_d|

Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021; d is 0.02 of the
image's diagonal, and as in the released code a diagonal step is one pixel and the image's edge is outside.

With c(G), c(P) the contours (pixels of the class that touch another, also at a corner), at a tolerance in pixels:

    precision = share of c(P) near c(G)    recall = share of c(G) near c(P)
    F = 2 precision recall / (precision + recall)

Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC 2013, with their tolerance of 0.0075
of the diagonal. Distance is Euclidean and a share is rounded up as in DAVIS: Perazzi et al., "A Benchmark Dataset and
Evaluation Methodology for Video Object Segmentation", CVPR 2016. The image's edge is no contour.

Counts are summed over all images before scores are formed, as for mIoU; Csurka et al. average over images.

Ignored pixels: what is predicted there counts for nothing. In truth and prediction alike they take the class of the
nearest scored pixel, as far as the tolerance of F reaches; further inside they are of no class, and next to them is no
boundary. So the bands of ignored pixels between classes, as in PASCAL VOC, have a contour along their middle, and a
large ignored area has none. Boundary IoU counts scored pixels only, F counts contours in the bands as well.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from scenescope.errors import DataError, LabelError
from scenescope.evaluation.confusion import refuse_beyond
from scenescope.evaluation.contours import fill_unknown, near_edge, near_other_class, near_same_class
from scenescope.evaluation.distributed import summed
from scenescope.labels import IGNORE

WIDTH = 0.02
TOLERANCE = 0.0075

COUNTED = (
    "true_region",
    "predicted_region",
    "common_region",
    "true_contour",
    "true_contour_met",
    "predicted_contour",
    "predicted_contour_met",
)
"""What is counted for each class: pixels of G_d, P_d and both; of c(G), and those near c(P); of c(P), near c(G)."""


class BoundaryCounts:
    """7 x K int64 counts of pixels, in the order of ``COUNTED``; the same for any order and split of the images.

    Args:
        num_classes: K.
        device: where the counts are kept.
        width: d of Boundary IoU, below 1 as a share of the diagonal of each image, else in pixels.
        tolerance: that of F, likewise.

    Raises:
        DataError: a width or tolerance that is neither a share nor a whole number of pixels.
    """

    def __init__(
        self,
        num_classes: int,
        device: torch.device | str = "cpu",
        *,
        width: float = WIDTH,
        tolerance: float = TOLERANCE,
    ) -> None:
        for name, value in (("width", width), ("tolerance", tolerance)):
            if not (0 < value < 1 or (1 <= value < math.inf and value == int(value))):
                raise DataError(
                    f"Boundary {name} {value:g} is not possible; give a share of the image's diagonal, such as 0.02,"
                    " or a whole number of pixels."
                )
        self.num_classes = num_classes
        self.width = width
        self.tolerance = tolerance
        self.counts = torch.zeros(len(COUNTED), num_classes, dtype=torch.int64, device=device)

    def update(self, labels: Tensor, predictions: Tensor) -> None:
        """Count the boundaries of some images of one size.

        Args:
            labels: B x H x W true classes 0..K-1 or IGNORE (255), of any integer type.
            predictions: B x H x W predicted classes 0..K-1.

        Raises:
            DataError: other shapes, or a prediction that is no class.
            LabelError: a label that is neither a class nor ignored.
        """
        if labels.shape != predictions.shape or labels.ndim != 3 or labels.numel() == 0:
            raise DataError(
                f"Boundaries of labels of shape {tuple(labels.shape)} and predictions of shape"
                f" {tuple(predictions.shape)} cannot be compared; both must be B x H x W, of one size."
            )
        ignored = labels == IGNORE
        refuse_beyond("Label", torch.where(ignored, 0, labels), self.num_classes - 1, LabelError)
        refuse_beyond("Prediction", predictions, self.num_classes - 1, DataError)
        diagonal = math.hypot(*labels.shape[-2:])
        width = int(self.width) if self.width >= 1 else max(round(self.width * diagonal), 1)
        tolerance = math.ceil(self.tolerance if self.tolerance >= 1 else self.tolerance * diagonal)

        skipped = ignored.cpu().numpy()
        truth, predicted = (
            fill_unknown(
                np.where(skipped, np.uint8(0), classes.cpu().numpy().astype(np.uint8) + np.uint8(1)), tolerance
            )
            for classes in (labels, predictions)
        )
        edge = near_edge(skipped.shape[-2], skipped.shape[-1], width)
        true_region, predicted_region = (
            np.where((near_other_class(known, width) | edge) & ~skipped, known, 0) for known in (truth, predicted)
        )
        true_contour, predicted_contour = (
            np.where(near_other_class(known, 1), known, 0) for known in (truth, predicted)
        )
        counted = (
            true_region,
            predicted_region,
            np.where(true_region == predicted_region, true_region, 0),
            true_contour,
            np.where(near_same_class(true_contour, predicted_contour, tolerance), true_contour, 0),
            predicted_contour,
            np.where(near_same_class(predicted_contour, true_contour, tolerance), predicted_contour, 0),
        )
        counts = np.stack([np.bincount(known.ravel(), minlength=self.num_classes + 1)[1:] for known in counted])
        self.counts += torch.from_numpy(counts).to(self.counts.device)

    def all_reduce(self) -> None:
        """Add up the counts of all processes of ``torch.distributed``; each then holds the sum."""
        self.counts = summed(self.counts)
