import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassConfusionMatrix

from scenescope.device import traits
from scenescope.errors import DataError, LabelError
from scenescope.evaluation import confusion
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.labels import IGNORE
from tests.fake_cuda import fake_cuda

__all__ = ["fake_cuda"]


def slow_confusion(labels, predictions, num_classes):
    matrix = [[0] * num_classes for _ in range(num_classes)]
    for label, prediction in zip(labels, predictions, strict=True):
        if label != IGNORE:
            matrix[label][prediction] += 1
    return matrix


@st.composite
def scored_pixels(draw):
    num_classes = draw(st.sampled_from([1, 2, 19, 127, 128, 150, 255]))
    label = st.integers(0, num_classes - 1)
    pixels = draw(st.lists(st.tuples(label | st.just(IGNORE), label), max_size=60))
    return num_classes, pixels, draw(st.integers(1, 7))


@given(scored_pixels())
def test_counts_equal_a_loop_for_any_split_into_batches(drawn):
    num_classes, pixels, batch = drawn
    labels = torch.tensor([label for label, _ in pixels], dtype=torch.uint8)
    predictions = torch.tensor([prediction for _, prediction in pixels], dtype=torch.uint8)
    whole, parts = ConfusionMatrix(num_classes), ConfusionMatrix(num_classes)
    whole.update(labels, predictions)
    for label, prediction in zip(labels.split(batch), predictions.split(batch), strict=True):
        parts.update(label, prediction)
    assert whole.counts().tolist() == slow_confusion(labels.tolist(), predictions.tolist(), num_classes)
    assert (parts.counts() == whole.counts()).all()


@pytest.mark.parametrize("num_classes", [2, 19, 171])
def test_counts_equal_torchmetrics(num_classes):
    generator = torch.Generator().manual_seed(num_classes)
    labels = torch.randint(0, num_classes, (2, 33, 47), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.1] = IGNORE
    predictions = torch.randint(0, num_classes, (2, 33, 47), generator=generator)
    oracle = MulticlassConfusionMatrix(num_classes, ignore_index=IGNORE)
    confusion = ConfusionMatrix(num_classes)
    confusion.update(labels, predictions)
    assert torch.equal(confusion.matrix, oracle(predictions, labels))


def test_two_by_two_by_hand():
    confusion = ConfusionMatrix(2)
    confusion.update(torch.tensor([[0, 1], [1, 255]]), torch.tensor([[0, 0], [1, 1]]))
    assert confusion.counts().tolist() == [[1, 0], [1, 1]]  # row: truth, column: prediction


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3], r"Label 3 is neither one of the 3 classes \(0 to 2\) nor 255 \(ignored\)"),
        ([254, 255], "Label 254 is neither"),
        ([0, -1], "Label -1 is not possible; give 0 to 255"),
        ([0, 256], "Label 256 is not possible"),
    ],
)
def test_a_label_that_is_no_class_is_refused_and_nothing_is_counted(labels, message):
    confusion = ConfusionMatrix(3)
    with pytest.raises(LabelError, match=message):
        confusion.update(torch.tensor(labels), torch.tensor([0, 0]))
    assert confusion.counts().sum() == 0


def test_predictions_are_checked():
    confusion = ConfusionMatrix(3)
    with pytest.raises(DataError, match="Prediction 3 is not possible; give 0 to 2"):
        confusion.update(torch.tensor([0]), torch.tensor([3]))
    with pytest.raises(DataError, match=r"shape \(2,\) cannot be scored against predictions of shape \(1,\)"):
        confusion.update(torch.tensor([0, 1]), torch.tensor([0]))
    with pytest.raises(DataError, match=r"torch.float32; give integers"):
        confusion.update(torch.tensor([0]), torch.tensor([0.0]))


def test_counts_do_not_overflow_32_bits():
    confusion = ConfusionMatrix(1)
    confusion.matrix += 2**40
    confusion.update(torch.zeros(3, dtype=torch.uint8), torch.zeros(3, dtype=torch.uint8))
    assert confusion.counts().tolist() == [[2**40 + 3]]


@given(scored_pixels())
def test_a_gpu_counts_the_same_without_looking(drawn):
    num_classes, pixels, batch = drawn
    labels = torch.tensor([label for label, _ in pixels], dtype=torch.uint8)
    predictions = torch.tensor([prediction for _, prediction in pixels], dtype=torch.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confusion, "traits", lambda _: traits("cuda"))
        parts = ConfusionMatrix(num_classes)
        for label, prediction in zip(labels.split(batch), predictions.split(batch), strict=True):
            parts.update(label, prediction)
        assert parts.counts().tolist() == slow_confusion(labels.tolist(), predictions.tolist(), num_classes)
        assert (parts.counts() == parts.counts()).all()


@pytest.mark.parametrize(
    ("label", "prediction", "error"), [(3, 0, LabelError), (254, 0, LabelError), (0, 3, DataError), (255, 9, DataError)]
)
def test_a_gpu_tells_of_what_is_no_class_when_it_is_asked(monkeypatch, label, prediction, error):
    monkeypatch.setattr(confusion, "traits", lambda _: traits("cuda"))
    matrix = ConfusionMatrix(3)
    matrix.update(torch.tensor([0, label], dtype=torch.uint8), torch.tensor([0, prediction], dtype=torch.uint8))
    with pytest.raises(error, match=rf"(Label|Prediction) {label if error is LabelError else prediction} is n"):
        matrix.counts()


@pytest.mark.usefixtures("fake_cuda")
def test_counting_on_a_gpu_looks_at_no_number():
    """A fake tensor has none."""
    labels = torch.zeros(2, 8, 8, dtype=torch.uint8)
    matrix = ConfusionMatrix(3, "cuda")
    matrix.update(labels, labels)
    assert matrix._unseen.device.type == "cuda"  # what is to be looked at later waits there
