import re

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.data.dataset import LabeledImage
from scenescope.evaluation.bootstrap import Intervals
from scenescope.evaluation.class_scores import mean_scores
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.image_counts import ImageCounts
from scenescope.evaluation.label_files import find_label_files
from scenescope.evaluation.scores import Scores
from scenescope.explore.trace import attend
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.labels import IGNORE, Classes
from scenescope.models.catalog import create_model
from scenescope.workflows import evaluation_report
from scenescope.workflows.evaluation_report import error_map, examples, worst_pixel, write_evaluation_report


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

    def files(self, index):
        return ()


@pytest.fixture(scope="module")
def loaded():
    torch.manual_seed(0)
    network = create_model("danet", backbone="test_resnet", num_classes=3, output_stride=32).eval()
    return Segmenter(network, Few.classes)


def test_a_report_needs_no_other_file_and_tells_the_scores(loaded, tmp_path):
    images = ImageCounts(4, 3)
    scores = Scores.from_matrix(evaluate(loaded.network, Few(), images=images), Few.classes.names)
    intervals = Intervals(images.array(), "skip")
    page = write_evaluation_report(tmp_path, loaded, Few(), scores, images.array(), "few", intervals).read_text()
    low, high = intervals.means["mean_iou"]
    assert f"<dd>{low:.3f} to {high:.3f}</dd>" in page
    for value in filter(None, (*scores.f1, *scores.precision, *scores.accuracy)):
        assert f">{value:.3f}</td>" in page
    assert f"<dd>{scores.mean_iou:.3f}</dd>" in page
    assert "&lt;car&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert len(re.findall("<img ", page)) == 2 + 3 * 5  # charts; image, prediction, truth, errors, attention
    for which in ("best", "median", "worst"):
        assert f"The {which} image" in page
    assert (tmp_path / "classes.png").exists()


def test_label_files_are_reported_without_a_model(tmp_path):
    (tmp_path / "files").mkdir()
    for number in range(4):
        Image.fromarray(Few()[number].labels % 2).save(tmp_path / "files" / f"scene-{number}.png")
    files = find_label_files(Few(), tmp_path / "files")
    images = ImageCounts(4, 3)
    scores = Scores.from_matrix(np.eye(3), Few.classes.names)
    for number in range(4):
        labels, truth = (torch.from_numpy(each)[None] for each in (files.labels(Few(), number), Few()[number].labels))
        images.update([number], truth, labels)
    page = write_evaluation_report(
        tmp_path, files, Few(), scores, images.array(), "few", Intervals(images.array(), "skip")
    ).read_text()
    assert f"Predictions: {tmp_path / 'files'}." in page
    assert len(re.findall("<img ", page)) == 2 + 3 * 4  # charts; image, prediction, truth, errors
    assert "attends" not in page


def test_best_median_and_worst():
    none = np.nan
    assert examples(np.array([none, none, 0.2, 0.9, 0.6, 0.1, none, 0.5])) == {"best": 3, "median": 7, "worst": 5}
    assert examples(np.array([none, 0.5])) == {"only": 1}
    assert examples(np.array([none])) == {}
    assert examples(np.array([0.5, 0.5])) == {"best": 0, "worst": 1}


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

    counts = np.array([[[9], [9], [right]] for right in (9, 6, 3)]).repeat(3, axis=2)
    scores = Scores.from_matrix(np.eye(3), Few.classes.names)
    page = write_evaluation_report(tmp_path, loaded, Large(), scores, counts, "large", Intervals(counts, "skip"))
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
    dataset = data()
    seen = {}

    class Seen(ImageCounts):
        def update(self, positions, labels, predictions):
            super().update(positions, labels, predictions)
            seen[positions[0]] = labels[0].numpy(), predictions[0].numpy()

    images = Seen(4, 3)
    segmenter = Segmenter(loaded.network, Few.classes, settings=settings)
    scores = Scores.from_matrix(evaluate(segmenter, dataset, images=images), Few.classes.names)
    sections = []
    monkeypatch.setattr(evaluation_report, "write_report", lambda *arguments: sections.extend(arguments[-1]))
    counts = images.array()
    write_evaluation_report(tmp_path, segmenter, dataset, scores, counts, "few", Intervals(counts, "skip"))
    shown = {section.heading: section for section in sections if section.heading.startswith("The ")}
    assert len(shown) == 3
    for which, position in examples(mean_scores(counts, "skip")["mean_iou"]).items():
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
