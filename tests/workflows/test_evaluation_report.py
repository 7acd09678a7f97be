import re

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.data.dataset import LabeledImage
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.scores import Scores
from scenescope.explore.trace import attend
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.labels import IGNORE, Classes
from scenescope.models.catalog import create_model
from scenescope.workflows import evaluation_report
from scenescope.workflows.evaluation_report import (
    ImageScores,
    error_map,
    worst_pixel,
    write_evaluation_report,
)


class Few:
    """Four scenes of noise; the last has nothing to score."""

    classes = Classes.named(["road", "sky", "<car>"])
    split, root = "val", "somewhere"

    def __len__(self):
        return 4

    def __getitem__(self, index):
        generator = np.random.default_rng(index)
        image = generator.integers(0, 256, (70, 100, 3), np.uint8)
        labels = generator.integers(0, 3, (70, 100)).astype(np.uint8)
        return LabeledImage(image, np.full_like(labels, IGNORE) if index == 3 else labels, self.name(index))

    def name(self, index):
        return f"scene-{index}"


@pytest.fixture(scope="module")
def loaded():
    torch.manual_seed(0)
    network = create_model("danet", backbone="test_resnet", num_classes=3, output_stride=32).eval()
    return Segmenter(network, Few.classes)


def test_a_report_needs_no_other_file_and_tells_the_scores(loaded, tmp_path):
    images = ImageScores(Few.classes.names)
    scores = Scores.from_matrix(evaluate(loaded.network, Few(), each=images.see), Few.classes.names)
    page = write_evaluation_report(tmp_path, loaded, Few(), scores, images, "few").read_text()
    assert f"<dd>{scores.mean_iou:.3f}</dd>" in page
    assert "&lt;car&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert len(re.findall("<img ", page)) == 2 + 3 * 5  # charts; image, prediction, truth, errors, attention
    for which in ("best", "median", "worst"):
        assert f"The {which} image" in page
    assert (tmp_path / "classes.png").exists()


def test_images_are_scored_one_by_one_whatever_the_batches(loaded):
    alone, together = ImageScores(Few.classes.names), ImageScores(Few.classes.names)
    evaluate(loaded.network, Few(), each=alone.see)
    evaluate(loaded.network, Few(), each=together.see, batch_size=2)
    assert alone.mean_iou.keys() == together.mean_iou.keys() == {0, 1, 2}  # the fourth has nothing to score
    for position, found in alone.mean_iou.items():

        class One(Few):
            def __len__(self):
                return 1

            def __getitem__(self, index, position=position):
                return Few()[position]

        expected = Scores.from_matrix(evaluate(loaded.network, One()), Few.classes.names).mean_iou
        assert found == expected == together.mean_iou[position]


def test_best_median_and_worst():
    scores = ImageScores(("a",), {7: 0.5, 3: 0.9, 5: 0.1, 4: 0.6, 2: 0.2})
    assert scores.examples() == {"best": 3, "median": 7, "worst": 5}
    assert ImageScores(("a",), {6: 0.5}).examples() == {"only": 6}
    assert ImageScores(("a",)).examples() == {}
    assert ImageScores(("a",), {0: 0.5, 1: 0.4}).examples() == {"best": 0, "worst": 1}


def test_an_error_map_by_hand():
    image = np.full((1, 3, 3), (30, 60, 90), np.uint8)
    drawn = error_map(image, np.array([[0, 1, 0]], np.uint8), np.array([[0, 0, IGNORE]], np.uint8))
    assert drawn.tolist() == [[[60, 60, 60], list(evaluation_report.WRONG), [0, 0, 0]]]


def test_the_worst_pixel_has_the_least_probable_truth(loaded):
    scene = Few()[1]
    truth = scene.labels.copy()
    truth[:35] = IGNORE
    view = attend(loaded.network, scene.image)
    x, y = worst_pixel(view, truth)
    assert y >= 35
    probabilities = {
        (column, row): view.probabilities((column, row))[truth[row, column]]
        for row in range(35, 70, 5)
        for column in range(0, 100, 5)
    }
    assert view.probabilities((x, y))[truth[y, x]] <= min(probabilities.values())
    assert worst_pixel(view, np.full_like(truth, IGNORE)) is None


def test_large_images_are_shown_small(loaded, tmp_path):
    class Large(Few):
        def __getitem__(self, index):
            scene = super().__getitem__(index)
            return LabeledImage(
                scene.image.repeat(12, 0).repeat(12, 1), scene.labels.repeat(12, 0).repeat(12, 1), scene.name
            )

    images = ImageScores(Few.classes.names, {0: 0.3, 1: 0.2, 2: 0.1})
    scores = Scores.from_matrix(np.eye(3), Few.classes.names)
    page = write_evaluation_report(tmp_path, loaded, Large(), scores, images, "large")
    assert page.stat().st_size < 10_000_000


class Tall(Few):
    """Taller than a report shows."""

    def __getitem__(self, index):
        scene = super().__getitem__(index)
        return LabeledImage(scene.image.repeat(6, 0).repeat(6, 1), scene.labels.repeat(6, 0).repeat(6, 1), scene.name)


@pytest.mark.parametrize("data", [Few, Tall])
def test_what_is_shown_is_the_prediction_that_was_scored(loaded, tmp_path, monkeypatch, data):
    """And not one plain look at an image scaled down: so the errors of the image give its score."""
    settings = InferenceSettings(scales=(0.5, 0.75), flip=True)
    dataset, images = data(), ImageScores(Few.classes.names)
    seen = {}

    def see(position, labels, predictions):
        images.see(position, labels, predictions)
        seen[position] = labels.numpy(), predictions.numpy()

    segmenter = Segmenter(loaded.network, Few.classes, settings=settings)
    scores = Scores.from_matrix(evaluate(segmenter, dataset, each=see), Few.classes.names)
    sections = []
    monkeypatch.setattr(evaluation_report, "write_report", lambda *arguments: sections.extend(arguments[-1]))
    write_evaluation_report(tmp_path, segmenter, dataset, scores, images, "few")
    shown = {section.heading: section for section in sections if section.heading.startswith("The ")}
    assert len(shown) == 3
    for which, position in images.examples().items():
        section = shown[f"The {which} image"]
        truth, predicted = seen[position]
        assert (attend(loaded.network, dataset[position].image).labels != predicted).any()
        errors = next(each.image for each in section.figures if each.caption.startswith("errors"))
        small = Image.fromarray(np.where(predicted == truth, 0, 255).astype(np.uint8)).resize(
            errors.shape[1::-1], Image.Resampling.NEAREST
        )
        assert ((errors == evaluation_report.WRONG).all(axis=2) == (np.asarray(small) == 255)).all()
        assert "Prediction and errors are as they were scored." in section.text
        assert "One plain look at the whole image" in section.text
