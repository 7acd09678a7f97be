from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from hypothesis import given, settings
from hypothesis import strategies as st

from scenescope.errors import ImageError, ModelError
from scenescope.inference import predictor
from scenescope.inference.predictor import InferenceSettings, predict_labels, predict_logits, window_starts
from scenescope.models.catalog import create_model


def random_images(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


@given(length=st.integers(1, 60), window=st.integers(1, 40), data=st.data())
def test_windows_cover_every_pixel_and_end_at_the_border(length, window, data):
    window = min(window, length)
    step = data.draw(st.integers(1, window))
    starts = window_starts(length, window, step)
    covered = {pixel for start in starts for pixel in range(start, start + window)}
    assert covered == set(range(length))
    assert starts == sorted(set(starts))
    assert all(later - earlier <= step for earlier, later in pairwise(starts))
    # No window more than needed.
    assert len(starts) == (1 if length == window else -(-(length - window) // step) + 1)


@given(length=st.integers(1, 60), window=st.integers(1, 40), data=st.data())
def test_filled_windows_cover_every_pixel_from_multiples_of_the_step(length, window, data):
    step = data.draw(st.integers(1, window))
    starts = window_starts(length, window, step, "pad")
    assert starts == [number * step for number in range(len(starts))]
    assert starts[-1] + window >= length  # covered, as no step is longer than a window
    assert len(starts) == 1 or starts[-2] + window < length  # no window more than needed


@settings(max_examples=40)
@given(data=st.data())
def test_a_network_that_returns_its_input_gives_the_input_back(answering, data):
    from_one = st.integers(1, 23)
    height, width, window = data.draw(from_one), data.draw(from_one), data.draw(st.integers(1, 30))
    stride = data.draw(st.none() | st.integers(1, window))
    images = random_images(data.draw(st.integers(0, 99)), 2, 3, height, width)
    identity = answering(lambda images: images)
    logits = predict_logits(identity, images, InferenceSettings(window=window, stride=stride))
    assert torch.equal(logits, images.float())
    assert set(identity.sizes) == {(min(window, height), min(window, width))}


def test_overlapping_windows_are_averaged(answering):
    # Each window answers with the mean of its pixels; worked out by hand for 1 x 4 pixels, windows of 3 and stride 1.
    network = answering(lambda images: images.mean(dim=(-2, -1), keepdim=True).expand_as(images))
    images = torch.tensor([0, 30, 60, 120], dtype=torch.uint8).view(1, 1, 1, 4).expand(1, 3, 1, 4)
    logits = predict_logits(network, images, InferenceSettings(window=3, stride=1))
    # Windows 0-2 and 1-3 have means 30 and 70.
    assert logits[0, 0, 0].tolist() == [30, 50, 50, 70]


def test_one_view_gives_plain_logits(identity):
    images = random_images(0, 1, 3, 5, 7)
    assert torch.equal(predict_logits(identity, images), images.float())


def test_several_scales_average_probabilities_worked_out_slowly(identity):
    images = random_images(1, 2, 3, 10, 15)
    found = predict_logits(identity, images, InferenceSettings(scales=(0.5, 1.0, 1.5)))
    resized = lambda each, size: functional.interpolate(each, size, mode="bilinear", align_corners=False)  # noqa: E731
    expected = torch.stack(
        [resized(resized(images.float(), size), (10, 15)).softmax(1) for size in ((5, 8), (10, 15), (15, 22))]
    ).mean(0)
    assert torch.allclose(found, expected, atol=1e-6)
    assert identity.sizes == [(5, 8), (10, 15), (15, 22)]


@pytest.mark.parametrize("align_corners", [False, True])
def test_resizing_follows_the_network_where_logits_are_stretched(identity, align_corners):
    images = random_images(2, 1, 3, 9, 9)
    plain = predict_logits(identity, images, InferenceSettings(scales=(2.0,)))
    identity.align_corners = align_corners
    assert torch.equal(predict_logits(identity, images, InferenceSettings(scales=(2.0,))), plain)
    logits = predict_logits(identity, images, InferenceSettings(scales=(2.0,), stretch=True))
    up = functional.interpolate(images.float(), (18, 18), mode="bilinear", align_corners=align_corners)
    assert torch.equal(logits, functional.interpolate(up, (9, 9), mode="bilinear", align_corners=align_corners))


def test_a_mirror_symmetric_network_answers_alike_with_and_without_flip(answering):
    kernel = torch.randn(3, 3, 3, 2, generator=torch.Generator().manual_seed(0))
    kernel = torch.cat([kernel[..., :1], kernel[..., 1:], kernel[..., :1]], dim=-1) / 255  # symmetric, left to right
    network = answering(lambda images: functional.conv2d(images, kernel, padding=1))
    images = random_images(3, 2, 3, 8, 11)
    plain = predict_logits(network, images).softmax(1)
    flipped = predict_logits(network, images, InferenceSettings(flip=True))
    assert torch.allclose(plain, flipped, atol=1e-6)


def test_flip_is_the_mean_of_both_views_for_a_one_sided_network(answering):
    network = answering(lambda images: images.cumsum(-1) / 255)  # knows left from right
    images = random_images(4, 1, 3, 4, 6)
    found = predict_logits(network, images, InferenceSettings(flip=True))
    values = images.float() / 255
    from_left, from_right = values.cumsum(-1), values.flip(-1).cumsum(-1).flip(-1)
    assert torch.allclose(found, (from_left.softmax(1) + from_right.softmax(1)) / 2, atol=1e-6)
    assert not torch.allclose(found, from_left.softmax(1), atol=1e-2)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 3)])
def test_tiny_images_pass_at_every_scale(identity, size):
    images = random_images(5, 1, 3, *size)
    settings = InferenceSettings(scales=(0.25, 1.0, 1.75), flip=True, window=4)
    probabilities = predict_logits(identity, images, settings)
    assert probabilities.shape == images.shape
    assert torch.allclose(probabilities.sum(1), torch.ones(1, *size))


def test_a_network_in_training_is_asked_in_eval_mode_and_stays_in_training(identity):
    identity.train()
    predict_logits(identity, random_images(6, 1, 3, 4, 4))
    assert identity.modes == [(False, True)]
    assert identity.training


@settings(max_examples=60)
@given(data=st.data())
def test_labels_through_windows_are_those_of_the_averaged_logits(answering, data):
    height, width, window = (data.draw(st.integers(1, 40)) for _ in range(3))
    stride, border = data.draw(st.integers(1, window)), data.draw(st.sampled_from(["shift", "pad"]))
    chosen = InferenceSettings(window=window, stride=stride, border=border)
    images = random_images(data.draw(st.integers(0, 99)), 2, 3, height, width)

    def answer(pixels):
        # It depends on where in its window a pixel lies, so that a window left out or misplaced is seen.
        slopes = torch.tensor([50.0, 90.0, -70.0]).view(3, 1, 1)
        rows, columns = (torch.linspace(0, 1, size) for size in pixels.shape[-2:])
        return pixels + slopes * rows[:, None] + slopes.flip(0) * columns

    network = answering(answer)
    expected = predict_logits(network, images, chosen)
    found = predict_labels(network, images, chosen)
    assert found.dtype == torch.uint8
    given_logits = expected.gather(1, found[:, None].long())[:, 0]
    torch.testing.assert_close(given_logits, expected.max(dim=1).values, rtol=1e-5, atol=1e-3)


def test_a_window_larger_than_the_image_takes_no_more_memory_than_the_image(identity, monkeypatch):
    made = []
    new_empty = torch.Tensor.new_empty

    def watched(tensor, *size, **options):
        made.append(size)
        return new_empty(tensor, *size, **options)

    monkeypatch.setattr(torch.Tensor, "new_empty", watched)
    images = torch.arange(3 * 6 * 8, dtype=torch.uint8).view(1, 3, 6, 8)
    labels = predict_labels(identity, images, InferenceSettings(window=4000))
    assert torch.equal(labels, images.argmax(dim=1).to(torch.uint8))
    assert made.count((1, 3, 6, 8)) == 1
    assert all(size == (1, 3, 6, 8) or len(size) != 4 for size in made)


@pytest.mark.parametrize("settings", [InferenceSettings(), InferenceSettings(window=3), InferenceSettings(flip=True)])
def test_answers_that_are_no_numbers_and_images_that_are_none_are_refused(answering, identity, settings):
    images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    silent = answering(lambda pixels: pixels + torch.nan)
    for predict in (predict_labels, predict_logits):
        with pytest.raises(ModelError, match="not a number everywhere"):
            predict(silent, images, settings)
        with pytest.raises(ImageError, match=r"torch.float32 is not a batch of images"):
            predict(identity, images.float(), settings)
        with pytest.raises(ModelError, match="Conv2d is not a network"):
            predict(torch.nn.Conv2d(3, 3, 1), images, settings)


@pytest.mark.parametrize("changed", [{}, {"flip": True}, {"border": "pad"}, {"border": "pad", "combine": "exp"}])
def test_windows_that_are_asked_together_answer_as_one_by_one(changed, monkeypatch):
    network = create_model("danet", backbone="test_resnet", num_classes=5, output_stride=16).eval()
    images = torch.randint(256, (2, 3, 50, 130), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    chosen = InferenceSettings(window=40, stride=17, **changed)
    one_by_one = predict_logits(network, images, chosen), predict_labels(network, images, chosen)
    monkeypatch.setattr(predictor, "windows_at_once", lambda device: 3)
    torch.testing.assert_close(predict_logits(network, images, chosen), one_by_one[0], rtol=1e-4, atol=1e-5)
    assert (predict_labels(network, images, chosen) == one_by_one[1]).float().mean() > 0.999
