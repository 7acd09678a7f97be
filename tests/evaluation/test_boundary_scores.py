import json

import pytest
import torch

from scenescope.errors import DataError
from scenescope.evaluation.boundary import COUNTED, BoundaryCounts
from scenescope.evaluation.boundary_scores import BoundaryScores

NAMES = ["road", "sky", "car", "never"]


@pytest.fixture
def boundary():
    counts = BoundaryCounts(4, width=3, tolerance=0.01)
    # road: both; sky: a region without contour, as that of an image of sky alone; car: in the prediction only.
    counts.counts = torch.tensor(
        [
            [6, 5, 0, 0],
            [4, 5, 2, 0],
            [3, 5, 0, 0],
            [10, 0, 0, 0],
            [5, 0, 0, 0],
            [4, 0, 3, 0],
            [3, 0, 0, 0],
        ]
    )
    return counts


def test_scores_by_hand(boundary):
    scores = BoundaryScores.from_counts(boundary, NAMES)
    assert scores.iou == (3 / 7, 1.0, 0.0, None)
    assert scores.mean_iou == pytest.approx((3 / 7 + 1) / 3)
    # Precision 3 of 4, recall 5 of 10.
    assert scores.f == (pytest.approx(2 * 0.75 * 0.5 / 1.25), None, 0.0, None)
    assert scores.mean_f == pytest.approx(0.6 / 2)
    zero = BoundaryScores.from_counts(boundary, NAMES, absent="zero")
    assert (zero.iou, zero.f) == (scores.iou, scores.f)
    assert zero.mean_iou == pytest.approx((3 / 7 + 1) / 4)
    assert zero.mean_f == pytest.approx(0.6 / 4)


def test_no_boundary_at_all_has_no_score():
    scores = BoundaryScores.from_counts(BoundaryCounts(2), ["a", "b"])
    assert (scores.mean_iou, scores.mean_f, scores.iou, scores.f) == (None, None, (None, None), (None, None))


def test_everything_is_in_json(boundary):
    stored = json.loads(json.dumps(BoundaryScores.from_counts(boundary, NAMES).to_json(), allow_nan=False))
    assert stored["iou"] == {"road": 3 / 7, "sky": 1.0, "car": 0.0, "never": None}
    assert stored["f"]["never"] is None
    assert (stored["width"], stored["tolerance"]) == (3, 0.01)
    assert stored["counts"] == dict(zip(COUNTED, boundary.counts.tolist(), strict=True))


def test_names_fit_the_counts(boundary):
    with pytest.raises(DataError, match="4 classes do not fit 2 class names"):
        BoundaryScores.from_counts(boundary, ["a", "b"])
