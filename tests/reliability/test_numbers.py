import random

import numpy as np
import pytest
import torch

from scenescope.attention.channel import ChannelAttention
from scenescope.attention.position import PositionAttention
from scenescope.config import AugmentSettings
from scenescope.data.transforms import TrainDataset
from scenescope.errors import TrainingError
from scenescope.training.sampler import StepSampler
from tests.training.tiny import Few, tiny_training


def test_what_is_not_finite_stops_within_its_step(times, promise, tmp_path):
    tried, survived = times(20, 3), 0
    generator = random.Random(0)
    for number in range(tried):
        place, step = tmp_path / str(number), generator.randrange(1, 5)
        training = tiny_training(place, validate_every=100)
        backward, calls = training.stepper._backward, []

        def spoilt(images, labels, normalizer, backward=backward, calls=calls, step=step):
            terms = backward(images, labels, normalizer)
            calls.append(1)
            return {name: value * float("nan") for name, value in terms.items()} if len(calls) == step else terms

        training.stepper._backward = spoilt
        with pytest.raises(TrainingError, match=rf"step {step} is nan \(seed 0; images: \S+"):
            training.run()
        finite = all(bool(torch.isfinite(value).all()) for value in training.network.state_dict().values())
        survived += finite and training.step == step - 1
    promise("NaN at a step: stops within it, names images and seed, weights untouched", tried, survived)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_no_overflow_at_32768_positions(dtype, times, promise):
    """The energies of 128 x 256 positions; the weights of a row, which are what could overflow, are asked for some."""
    tried, finite = times(200, 4), 0
    generator = torch.Generator().manual_seed(0)
    position, channel = PositionAttention(16), ChannelAttention()
    torch.nn.init.constant_(channel.beta, 1.0)
    for number in range(tried):
        scale = float(10 ** (2 * torch.rand((), generator=generator) - 1))  # 0.1 to 10
        features = scale * torch.randn(1, 16, 128, 256, generator=generator)
        with torch.inference_mode(), torch.autocast("cpu", dtype):
            rows = position.rows(features.to(dtype), torch.tensor([0, 777, 32767]))
            attended = channel(features.to(dtype)) if number % 2 else channel.map(features.to(dtype))
        sums = rows.sum(dim=-1)
        finite += bool(torch.isfinite(attended).all()) and bool(((sums - 1).abs() < 1e-3).all())
    promise(f"no overflow in attention at N = 32768 in {str(dtype).removeprefix('torch.')}", tried, finite)


def test_no_two_images_share_a_random_stream(times, promise):
    """Seven scenes and batches of eleven: some scenes come twice in a batch."""
    steps = times(100, 10)
    view = TrainDataset(Few("", "train"), AugmentSettings(crop=(48, 64), scale=(0.5, 2.0), brightness=0.5), seed=0)
    seen = set()
    for batch in StepSampler(start=0, steps=steps, batch_size=11, parts=1, num_scenes=7, seed=0):
        for key in batch:
            image, _, _ = view[key]
            seen.add(np.asarray(image).tobytes())
            assert torch.equal(view[key][0], image)  # whoever asks, and however often
    promise("no two training images are drawn alike, whichever worker draws them", 11 * steps, len(seen))
