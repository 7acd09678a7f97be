from __future__ import annotations

import multiprocessing
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import functional

from scenescope.config import AugmentSettings
from scenescope.data import transforms
from scenescope.data.dataset import LabeledImage
from scenescope.data.transforms import (
    CropParameters,
    TrainDataset,
    apply_parameters,
    draw_parameters,
    place_window,
    whole_sample,
)
from scenescope.labels import IGNORE, Classes

JITTER = AugmentSettings(crop=(12, 16), brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)


def random_scene(height: int, width: int, seed: int = 0) -> LabeledImage:
    generator = np.random.default_rng(seed)
    image = generator.integers(1, 256, (height, width, 3), dtype=np.uint8)
    return LabeledImage(image, generator.integers(0, 9, (height, width), dtype=np.uint8), "random")


def blocks(height: int, width: int, cell: int = 16) -> LabeledImage:
    """Large squares whose gray is 20 times their label plus 20, so that the labels can be read off the image."""
    rows, columns = np.mgrid[:height, :width] // cell
    labels = ((3 * rows + 5 * columns) % 11).astype(np.uint8)
    return LabeledImage(np.repeat((20 + 20 * labels)[:, :, None], 3, axis=2), labels, "blocks")


class Generated:
    """A data set in memory that also shows what a wrong index would do."""

    classes = Classes.named(["a"])
    split = "train"
    root = ""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> LabeledImage:
        return replace(random_scene(20, 30, seed=index), name=self.name(index))

    def name(self, index: int) -> str:
        return f"scene {index}"

    def files(self, index: int) -> tuple[Path, ...]:
        return ()


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99), st.booleans()
)
@settings(max_examples=80)
def test_at_scale_1_the_window_is_cut_out_and_padded(
    height: int, width: int, crop_height: int, crop_width: int, seed: int, flip: bool
) -> None:
    scene = random_scene(height, width)
    settings = AugmentSettings(crop=(crop_height, crop_width), scale=(1, 1), flip=float(flip))
    drawn = draw_parameters(np.random.default_rng(seed), height, width, settings)
    image, labels = apply_parameters(scene, drawn)
    assert (image.dtype, labels.dtype) == (torch.uint8, torch.uint8)
    # The slow way: pixel by pixel.
    for y in range(crop_height):
        for x in range(crop_width):
            source_y, source_x = y + drawn.top, (crop_width - 1 - x if flip else x) + drawn.left
            if 0 <= source_y < height and 0 <= source_x < width:
                assert image[:, y, x].tolist() == scene.image[source_y, source_x].tolist()
                assert labels[y, x] == scene.labels[source_y, source_x]
            else:
                assert image[:, y, x].tolist() == [0, 0, 0]
                assert labels[y, x] == IGNORE
    # The window lies within the source, or the source within the window.
    assert (labels != IGNORE).sum() == min(height, crop_height) * min(width, crop_width)


@given(st.integers(0, 10_000), st.sampled_from([(40, 60), (100, 150), (200, 130)]))
@settings(max_examples=60)
def test_image_and_labels_stay_in_step(seed: int, size: tuple[int, int]) -> None:
    scene = blocks(*size)
    settings = AugmentSettings(crop=(64, 80), scale=(0.5, 3.0), flip=0.5)
    image, labels = apply_parameters(scene, draw_parameters(np.random.default_rng(seed), *size, settings))
    read_off = torch.round((image[0].float() - 20) / 20)
    seen = labels != IGNORE
    # Between two squares the grays mix, at scale 0.5 over two pixels on each side.
    inner = seen.clone()
    for shift in ((1, 0), (-1, 0), (0, 1), (0, -1), (2, 0), (-2, 0), (0, 2), (0, -2)):
        inner &= labels == labels.roll(shift, (0, 1))
    assert inner.sum() > 50
    assert (read_off[inner] == labels[inner]).float().mean() > 0.97
    assert (image[:, ~seen] == 0).all()


def test_resizing_the_window_equals_cutting_the_resized_image() -> None:
    scene = blocks(96, 128)
    parameters = CropParameters(top=16, left=32, window=(48, 64), size=(96, 128))
    image, labels = apply_parameters(scene, parameters)
    whole = functional.resize(torch.from_numpy(scene.image).permute(2, 0, 1), [192, 256], antialias=True)
    # They differ only where the whole image lends neighbors to the border of the window.
    assert (image[:, 2:-2, 2:-2] == whole[:, 34:126, 66:190]).all()
    expected = np.kron(scene.labels[16:64, 32:96], np.ones((2, 2), dtype=np.uint8))
    np.testing.assert_array_equal(labels.numpy(), expected)


def test_shrinking_averages_the_image_and_never_the_labels() -> None:
    stripes = np.zeros((64, 64), dtype=np.uint8)
    stripes[:, ::3] = 8
    scene = LabeledImage(np.repeat((stripes * 25)[:, :, None], 3, axis=2), stripes, "stripes")
    image, labels = apply_parameters(scene, CropParameters(0, 0, (64, 64), (16, 16)))
    assert set(labels.unique().tolist()) <= {0, 8}
    assert (image.float() - 200 / 3).abs().max() < 20


def test_labels_are_not_shifted_against_the_image() -> None:
    shifts = []
    for seed in range(40):
        labels = np.zeros((90, 120), dtype=np.uint8)
        labels[30:61, 40:81] = 1
        scene = LabeledImage(np.repeat(labels[:, :, None] * 200, 3, axis=2), labels, "square")
        parameters = draw_parameters(
            np.random.default_rng(seed), 90, 120, AugmentSettings((36, 48), (0.36, 0.4), flip=0)
        )
        image, small = apply_parameters(scene, parameters)
        columns = torch.arange(48.0)
        means = [(weight.float() * columns).sum() / weight.float().sum() for weight in (image[0], small == 1)]
        shifts.append(float(means[0] - means[1]))
    # The plain nearest neighbor would be 0.3 off.
    assert abs(np.mean(shifts)) < 0.1


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (7, 5), (40, 9)])
def test_labels_are_resized_by_the_pixel_under_the_center(size: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 9, (7, 5), np.uint8)
    resized = transforms._nearest(labels, *size)
    slow = [
        [labels[int((y + 0.5) * 7 / size[0]), int((x + 0.5) * 5 / size[1])] for x in range(size[1])]
        for y in range(size[0])
    ]
    assert resized.tolist() == slow


def test_flip_mirrors_both() -> None:
    scene = random_scene(20, 30)
    plain = CropParameters(-2, 3, (24, 20), (12, 16))
    image, labels = apply_parameters(scene, plain)
    mirrored_image, mirrored_labels = apply_parameters(scene, replace(plain, flip=True))
    assert torch.equal(mirrored_image.flip(2), image)
    assert torch.equal(mirrored_labels.flip(1), labels)


def test_colors_change_the_image_alone_and_leave_the_padding_black() -> None:
    scene = random_scene(10, 10)
    plain = CropParameters(-5, -5, (20, 20), (20, 20))
    image, labels = apply_parameters(scene, plain)
    for change in ({"brightness": 1.5}, {"contrast": 0.5}, {"saturation": 0.3}, {"hue": 0.2}):
        changed, same_labels = apply_parameters(scene, replace(plain, **change))
        assert not torch.equal(changed, image), change
        assert torch.equal(same_labels, labels)
        assert (changed[:, labels == IGNORE] == 0).all()
    bright, _ = apply_parameters(scene, replace(plain, brightness=2.0))
    assert torch.equal(bright, (image.int() * 2).clamp(max=255).to(torch.uint8))
    # Contrast turns about the mean of the image, which black padding would pull down.
    flat, _ = apply_parameters(scene, replace(plain, contrast=0.0))
    seen = image[:, labels != IGNORE].float()
    gray = (seen * torch.tensor([[0.2989], [0.587], [0.114]])).sum(0)
    assert abs(float(flat[0, 5, 5]) - float(gray.mean())) < 1.5


def test_parameters_cover_their_ranges_evenly() -> None:
    settings = replace(JITTER, crop=(50, 50), scale=(0.5, 2.0))
    drawn = [draw_parameters(np.random.default_rng(seed), 200, 300, settings) for seed in range(2000)]
    scales = np.array([50 / parameters.window[0] for parameters in drawn])
    assert 0.5 <= scales.min() < 0.52
    assert 1.95 < scales.max() <= 2.01
    assert abs(scales.mean() - 1.25) < 0.05
    assert abs(np.mean([parameters.flip for parameters in drawn]) - 0.5) < 0.05
    for name, low, high in (
        ("brightness", 0.6, 1.4),
        ("contrast", 0.6, 1.4),
        ("saturation", 0.6, 1.4),
        ("hue", -0.1, 0.1),
    ):
        values = np.array([getattr(parameters, name) for parameters in drawn])
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high
    fixed = replace(settings, scale=(1, 1))
    tops = [draw_parameters(np.random.default_rng(seed), 52, 60, fixed).top for seed in range(300)]
    assert [tops.count(top) > 60 for top in range(3)] == [True] * 3
    assert set(tops) == {0, 1, 2}


def test_neutral_settings_draw_neutral_colors() -> None:
    drawn = draw_parameters(np.random.default_rng(0), 20, 30, AugmentSettings(crop=(8, 8), flip=0))
    assert (drawn.flip, drawn.brightness, drawn.contrast, drawn.saturation, drawn.hue) == (False, 1, 1, 1, 0)


@pytest.mark.parametrize("jitter", [JITTER, replace(JITTER, rare_class_share=0.7, max_class_share=0.12)])
def test_a_sample_depends_on_seed_step_place_and_scene_alone(jitter: AugmentSettings) -> None:
    view = TrainDataset(Generated(), jitter, seed=5)
    first = view[(3, 2, 7)]
    state = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    view[(4, 1, 7)]
    again = view[(3, 2, 7)]
    assert first[2] == again[2] == "scene 7"
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    # The global generators are not touched.
    assert torch.equal(torch.get_rng_state(), state[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])
    assert random.getstate() == state[2]
    for other in (TrainDataset(Generated(), jitter, seed=6)[(3, 2, 7)], view[(4, 2, 7)], view[(3, 1, 7)]):
        assert not torch.equal(other[0], first[0])


def lawn(height: int, width: int) -> LabeledImage:
    """Class 0 everywhere but for 1 % of class 1 in a corner and one pixel of class 2."""
    labels = np.zeros((height, width), dtype=np.uint8)
    labels[: height // 10, : width // 10] = 1
    labels[height * 3 // 4, width * 2 // 3] = 2
    return LabeledImage(np.zeros((height, width, 3), dtype=np.uint8), labels, "lawn")


def placed(scene: LabeledImage, seed: int, **changes: Any) -> tuple[CropParameters, CropParameters]:
    """The parameters before and after placing."""
    settings, generator = replace(JITTER, **changes), np.random.default_rng(seed)
    drawn = draw_parameters(generator, *scene.labels.shape, settings)
    return drawn, place_window(generator, drawn, scene.labels, settings)


def test_without_the_options_the_crops_are_those_of_before() -> None:
    for seed in range(20):
        drawn, same = placed(lawn(40, 60), seed)
        assert same == drawn


def test_crops_for_rare_classes_are_moved_and_nothing_else_is_changed() -> None:
    pairs = [placed(lawn(100, 120), seed, rare_class_share=0.3) for seed in range(1000)]
    assert all(replace(after, top=before.top, left=before.left) == before for before, after in pairs)
    # A few windows are moved to where they were.
    assert 0.25 < np.mean([before != after for before, after in pairs]) < 0.35


@pytest.mark.parametrize("max_class_share", [1.0, 0.5])
def test_the_class_is_drawn_inversely_to_its_pixels_and_the_pixel_evenly(max_class_share: float) -> None:
    """Of a window of one pixel the class is the one that was drawn, also when it is placed anew."""
    labels = np.repeat(np.array([0, 1, 4, IGNORE], dtype=np.uint8), [60, 30, 10, 20]).reshape(10, 12)
    scene = LabeledImage(np.zeros((10, 12, 3), dtype=np.uint8), labels, "lines")
    changes = {"crop": (1, 1), "scale": (1, 1), "rare_class_share": 1, "max_class_share": max_class_share}
    drawn = [placed(scene, seed, **changes)[1] for seed in range(1800)]
    counts = np.bincount([labels[each.top, each.left] for each in drawn])
    assert np.abs(counts - [200, 400, 0, 0, 1200]).max() < 60  # three deviations
    pixels = [(each.top, each.left) for each in drawn if labels[each.top, each.left] == 4]
    assert sorted(set(pixels)) == sorted(zip(*np.nonzero(labels == 4), strict=True))
    assert max(pixels.count(pixel) for pixel in set(pixels)) < 160  # of 120 expected


@pytest.mark.parametrize("pixel", [(0, 0), (39, 59), (17, 30), (39, 0)])
@pytest.mark.parametrize("crop", [(8, 10), (60, 20), (90, 90)])
def test_every_crop_shows_the_one_pixel_of_a_rare_class(pixel: tuple[int, int], crop: tuple[int, int]) -> None:
    """The other class has 2399 pixels, so that it is drawn once in 2400 times."""
    scene = lawn(40, 60)
    scene.labels[:] = 0
    scene.labels[pixel] = 7
    starts = set()
    for seed in range(100):
        parameters = placed(scene, seed, crop=crop, scale=(1, 2), rare_class_share=1)[1]
        assert (apply_parameters(scene, parameters)[1] == 7).any()
        starts.add((parameters.top, parameters.left))
        for start, window, length in zip((parameters.top, parameters.left), parameters.window, (40, 60), strict=True):
            assert min(length - window, 0) <= start <= max(length - window, 0)
    # A small window has one place only around a corner.
    assert len(starts) > 10 or (pixel != (17, 30) and crop == (8, 10))


def test_a_training_view_places_its_windows() -> None:
    class Lawns(Generated):
        def __getitem__(self, index: int) -> LabeledImage:
            return lawn(40, 60)

    view = TrainDataset(Lawns(), AugmentSettings(crop=(8, 10), scale=(1, 1), rare_class_share=1), seed=0)
    assert all((view[(step, 0, 0)][1] > 0).any() for step in range(20))
    view = TrainDataset(Lawns(), replace(view.settings, rare_class_share=0), seed=0)
    assert not all((view[(step, 0, 0)][1] > 0).any() for step in range(20))


def test_a_scene_without_labels_is_cropped_as_ever() -> None:
    scene = lawn(40, 60)
    scene.labels[:] = IGNORE
    for changes in ({"rare_class_share": 1}, {"max_class_share": 0.75}):
        tops = {placed(scene, seed, scale=(1, 1), **changes)[1].top for seed in range(300)}
        assert tops == set(range(40 - 12 + 1))


def test_a_crop_that_one_class_fills_is_placed_anew() -> None:
    """Half of the scene mixes two classes; of eleven places one is nearly always there."""
    labels = np.zeros((200, 16), dtype=np.uint8)
    labels[100:, ::2] = 1
    scene = LabeledImage(np.zeros((200, 16, 3), dtype=np.uint8), labels, "half")

    def largest(parameters: CropParameters) -> float:
        counts = np.bincount(labels[parameters.top : parameters.top + 12].ravel())
        return float(counts.max() / counts.sum())

    pairs = [placed(scene, seed, scale=(1, 1), max_class_share=0.75) for seed in range(300)]
    assert np.mean([largest(before) >= 0.75 for before, _ in pairs]) > 0.4
    assert np.mean([largest(after) >= 0.75 for _, after in pairs]) < 0.02
    # Those that were mixed stay, and nothing but the place changes.
    assert all(before == after for before, after in pairs if largest(before) < 0.75)
    assert all(replace(after, top=before.top, left=before.left) == before for before, after in pairs)


def test_a_crop_is_placed_anew_ten_times_and_then_taken() -> None:
    class Counting:
        starts = 0

        def random(self) -> float:
            return 0.5

        def integers(self, first: int, last: int, endpoint: bool) -> int:
            self.starts += 1
            return first

    generator, scene = Counting(), lawn(40, 60)
    scene.labels[:] = 0
    place_window(generator, CropParameters(0, 0, (8, 8), (8, 8)), scene.labels, replace(JITTER, max_class_share=0.9))  # type: ignore[arg-type]
    assert generator.starts == 2 * 10


def test_spawned_workers_give_the_same_samples() -> None:
    view = TrainDataset(Generated(), JITTER, seed=0)
    keys = [(step, place, 3 - place) for step in (0, 1) for place in range(4)]
    context = multiprocessing.get_context("spawn")
    loader = DataLoader(view, batch_size=None, sampler=keys, num_workers=1, multiprocessing_context=context)
    for key, (image, labels, name) in zip(keys, loader, strict=True):
        expected = view[key]
        assert torch.equal(image, expected[0])
        assert torch.equal(labels, expected[1])
        assert name == expected[2]


def test_a_whole_sample_is_the_scene_unchanged() -> None:
    scene = random_scene(5, 7)
    image, labels, name = whole_sample(scene)
    assert image.shape == (3, 5, 7)
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), scene.image)
    np.testing.assert_array_equal(labels.numpy(), scene.labels)
    assert name == "random"


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
def test_slivers_are_scaled_without_failing(size: tuple[int, int]) -> None:
    scene = random_scene(*size)
    for seed in range(30):
        settings = AugmentSettings(crop=(8, 8), scale=(0.05, 20))
        image, labels = apply_parameters(scene, draw_parameters(np.random.default_rng(seed), *size, settings))
        assert image.shape == (3, 8, 8)
        assert (labels != IGNORE).any()


def banded(height: int, width: int, bands: int = 5) -> LabeledImage:
    generator = np.random.default_rng(1)
    image = generator.random((height, width, bands), dtype=np.float32)
    return LabeledImage(image, generator.integers(0, 9, (height, width), dtype=np.uint8), "banded")


def test_bands_are_cropped_as_three_colors_are() -> None:
    scene = banded(40, 50, 3)
    bytes_ = replace(scene, image=np.rint(scene.image * 255).astype(np.uint8))
    parameters = CropParameters(-3, 5, (30, 60), (24, 48), flip=True)
    image, labels = apply_parameters(scene, parameters)
    shown, same_labels = apply_parameters(bytes_, parameters)
    assert image.dtype == torch.float32
    assert torch.equal(labels, same_labels)
    assert (image * 255 - shown).abs().max() < 1.6  # rounded at reading, by row and by column
    many, _ = apply_parameters(banded(40, 50), parameters)
    assert many.shape == (5, 24, 48)


def test_brightness_contrast_and_saturation_of_bands_by_hand() -> None:
    image = np.array([[[0.1, 0.2], [0.3, 0.4]]], np.float32)
    scene = LabeledImage(image, np.zeros((1, 2), np.uint8), "s")
    whole = CropParameters(0, 0, (1, 2), (1, 2))
    varied = apply_parameters(scene, replace(whole, brightness=2.0))[0]
    torch.testing.assert_close(varied, torch.tensor([[[0.2, 0.6]], [[0.4, 0.8]]]))
    varied = apply_parameters(scene, replace(whole, contrast=0.5))[0]  # about 0.2 and 0.3
    torch.testing.assert_close(varied, torch.tensor([[[0.15, 0.25]], [[0.25, 0.35]]]))
    varied = apply_parameters(scene, replace(whole, saturation=0.0))[0]
    torch.testing.assert_close(varied, torch.tensor([[[0.15, 0.35]], [[0.15, 0.35]]]))
    assert apply_parameters(scene, replace(whole, brightness=9.0))[0].max() == 1
    gray = replace(scene, image=np.array([[[10, 20, 30, 40], [50, 60, 70, 80]]], np.uint8))
    varied = apply_parameters(gray, replace(whole, brightness=2.0))[0]
    assert varied.dtype == torch.uint8
    assert varied[:, 0, 0].tolist() == [20, 40, 60, 80]


def test_what_is_mixed_with_pixels_without_data_is_ignored() -> None:
    scene = banded(32, 32)
    scene.image[8:12, 20:23] = np.nan
    scene.labels[8:12, 20:23] = IGNORE
    image, labels = apply_parameters(scene, CropParameters(0, 0, (32, 32), (20, 20), contrast=1.3, saturation=0.8))
    missing = image.isnan().any(dim=0)
    assert 4 <= missing.sum() < 40
    assert (labels[missing] == IGNORE).all()
    assert (labels[~missing] != IGNORE).all()
