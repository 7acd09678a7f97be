import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from scenescope.data.catalog import open_dataset
from scenescope.errors import DataError, LabelError
from scenescope.evaluation.boundary import COUNTED, BoundaryCounts
from scenescope.evaluation.boundary_scores import BoundaryScores
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.evaluation.scores import Scores


def counted(labels, predictions, num_classes, **reaches):
    """Return the counts of one image by name, for each class."""
    boundary = BoundaryCounts(num_classes, **reaches)
    boundary.update(torch.as_tensor(labels)[None], torch.as_tensor(predictions)[None])
    return dict(zip(COUNTED, boundary.counts.tolist(), strict=True))


def blobs(seed, size, num_classes):
    """Return random classes whose regions are some pixels wide."""
    generator = np.random.default_rng(seed)
    return ndimage.gaussian_filter(generator.random((num_classes, *size)), (0, 2, 2)).argmax(0).astype(np.uint8)


def slow_counts(labels, predictions, num_classes, width, tolerance):
    """Count one image without ignored pixels, class by class, with scipy's erosion and distance transform."""
    counts = []
    for label in range(num_classes):
        regions, contours = [], []
        for mask in (labels == label, predictions == label):
            # Eroded with nothing outside the image, as in the released code of Boundary IoU.
            square = np.ones((3, 3), bool)
            regions.append(mask & ~ndimage.binary_erosion(mask, square, iterations=width, border_value=0))
            contours.append(mask & ~ndimage.binary_erosion(mask, square, border_value=1))
        met = []
        for contour, other in (contours, contours[::-1]):
            near = ndimage.distance_transform_edt(~other) <= tolerance if other.any() else np.zeros_like(other)
            met.append(contour & near)
        row = (*regions, regions[0] & regions[1], contours[0], met[0], contours[1], met[1])
        counts.append([int(mask.sum()) for mask in row])
    return dict(zip(COUNTED, np.array(counts).T.tolist(), strict=True))


@pytest.mark.parametrize("size", [(40, 60), (31, 17), (1, 30), (6, 5)])
@pytest.mark.parametrize("num_classes", [1, 2, 11, 40])
@pytest.mark.parametrize(("width", "tolerance"), [(1, 1), (3, 2), (0.02, 0.0075), (0.2, 0.1)])
def test_counts_equal_a_slow_distance_transform(size, num_classes, width, tolerance):
    labels, predictions = (blobs(seed, size, num_classes) for seed in (0, 1))
    predictions = np.where(blobs(2, size, 2) > 0, labels, predictions)
    diagonal = math.hypot(*size)
    pixels = (
        max(round(width * diagonal), 1) if width < 1 else width,
        math.ceil(tolerance * diagonal) if tolerance < 1 else tolerance,
    )
    found = counted(labels, predictions, num_classes, width=width, tolerance=tolerance)
    assert found == slow_counts(labels, predictions, num_classes, *pixels)


def test_a_square_by_hand():
    labels = np.zeros((9, 9), np.uint8)
    labels[3:6, 3:6] = 1
    predictions = np.zeros((9, 9), np.uint8)
    predictions[3:6, 4:7] = 1  # one pixel to the right
    found = counted(labels, predictions, 2, width=1, tolerance=1)
    # The square's region is its 8 outer pixels, (4, 4) or (4, 5) being inside; common are those in columns 4 and 5
    # but for (4, 4) and (4, 5).
    assert [found[name][1] for name in COUNTED[:3]] == [8, 8, 4]
    # All 8 contour pixels of either have one of the other at most one pixel away.
    assert [found[name][1] for name in COUNTED[3:]] == [8, 8, 8, 8]
    # The background's region is the image's edge, 32 pixels, and the ring of 16 around the square.
    assert [found[name][0] for name in COUNTED[:2]] == [48, 48]
    assert [found[name][0] for name in (COUNTED[3], COUNTED[5])] == [16, 16]  # the edge is no contour


def test_any_batch_gives_the_same_counts():
    images = [(blobs(seed, (20, 25), 4), blobs(seed + 50, (20, 25), 4)) for seed in range(5)]
    labels, predictions = (torch.from_numpy(np.stack(maps)) for maps in zip(*images, strict=True))
    labels[labels == 3] = 255
    whole, parts = BoundaryCounts(4), BoundaryCounts(4)
    whole.update(labels, predictions)
    for number in (3, 0, 4, 1, 2):
        parts.update(labels[number : number + 1].long(), predictions[number : number + 1].int())
    assert torch.equal(whole.counts, parts.counts)
    assert whole.counts.dtype == torch.int64
    assert whole.counts[:, :3].all()


def test_what_is_predicted_on_ignored_pixels_changes_nothing():
    labels, first, second = blobs(0, (40, 50), 5), blobs(1, (40, 50), 5), blobs(2, (40, 50), 5)
    ignored = blobs(3, (40, 50), 3) == 2
    labels[ignored] = 255
    second = np.where(ignored, second, first)
    assert (first != second).any()
    assert counted(labels, first, 5) == counted(labels, second, 5)


def test_a_prediction_right_on_all_scored_pixels_is_perfect():
    labels = blobs(0, (40, 50), 5)
    predictions = labels.copy()
    ignored = blobs(1, (40, 50), 3) == 2
    labels[ignored], predictions[ignored] = 255, 4
    boundary = BoundaryCounts(5)
    boundary.update(torch.from_numpy(labels)[None], torch.from_numpy(predictions)[None])
    scores = BoundaryScores.from_counts(boundary, list("abcde"))
    assert scores.iou == scores.f == (1.0,) * 5


def test_a_band_of_ignored_pixels_has_a_contour_along_its_middle():
    labels = np.zeros((12, 30), np.uint8)
    labels[:, 15:] = 1
    labels[:, 13:17] = 255
    predictions = np.zeros((12, 30), np.uint8)
    predictions[:, 15:] = 1
    found = counted(labels, predictions, 2, width=4, tolerance=2)
    assert found["true_contour"] == found["true_contour_met"] == [12, 12]
    # Only scored pixels of the region: columns 11 and 12, and the image's edge.
    assert found["true_region"][0] == 12 * 13 - 4 * (13 - 4 - 2)
    # Wider than the tolerance reaches from both sides, the band is no boundary.
    wide = labels.copy()
    wide[:, 11:19] = 255
    found = counted(wide, predictions, 2, width=4, tolerance=2)
    assert found["true_contour"] == found["predicted_contour"] == [0, 0]


def test_a_shifted_mask_loses_more_boundary_than_mean_iou(real_data):
    scene = open_dataset("camvid", str(real_data("camvid")), "val")[0]
    num_classes = 11
    labels = torch.from_numpy(scene.labels)[None]
    nearest = ndimage.distance_transform_edt(scene.labels == 255, return_distances=False, return_indices=True)
    perfect = torch.from_numpy(scene.labels[tuple(nearest)])[None]
    names = [str(number) for number in range(num_classes)]
    tolerance = 2  # pixels; up to there F loses nothing but what leaves the image
    before = [1.0, 1.0]
    for shift in (0, 1, 2, 4, 9):
        predictions = perfect.roll(shift, -1)
        confusion, boundary = ConfusionMatrix(num_classes), BoundaryCounts(num_classes, tolerance=tolerance)
        confusion.update(labels, predictions)
        boundary.update(labels, predictions)
        along = BoundaryScores.from_counts(boundary, names)
        after = [along.mean_iou, along.mean_f]
        mean_iou = Scores.from_matrix(confusion, names).mean_iou
        if shift == 0:
            assert [mean_iou, *after] == [1, 1, 1]
        else:
            assert along.mean_iou < mean_iou
            assert (along.mean_f < mean_iou) == (shift > tolerance)
            assert all(new < old for new, old in zip(after, before, strict=True))
        before = after


@pytest.mark.parametrize(
    ("labels", "predictions", "error", "message"),
    [
        ([[0, 3]], [[0, 0]], LabelError, "Label 3 is not possible; give 0 to 2"),
        ([[0, -1]], [[0, 0]], LabelError, "Label -1"),
        ([[0, 255]], [[0, 255]], DataError, "Prediction 255 is not possible; give 0 to 2"),
        ([[0, 1]], [[0]], DataError, r"shape \(1, 1, 2\) and predictions of shape \(1, 1, 1\)"),
        ([0, 1], [0, 1], DataError, "must be B x H x W"),
    ],
)
def test_what_cannot_be_counted_is_refused(labels, predictions, error, message):
    boundary = BoundaryCounts(3)
    with pytest.raises(error, match=message):
        boundary.update(torch.tensor([labels]), torch.tensor([predictions]))
    assert not boundary.counts.any()


@pytest.mark.parametrize("reach", [{"width": 0}, {"width": 1.5}, {"tolerance": -1}, {"tolerance": float("nan")}])
def test_a_reach_is_a_share_or_whole_pixels(reach):
    (name,) = reach
    with pytest.raises(DataError, match=f"Boundary {name} .* a share of the image's diagonal, such as 0.02, or"):
        BoundaryCounts(3, **reach)
