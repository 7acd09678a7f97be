import os
import random
import signal
import time

import pytest
import torch

from scenescope.files import sha256
from scenescope.training import checkpoint
from scenescope.training.checkpoint import STATE, TENSORS, find_checkpoint
from tests.reliability.runs import SETTINGS, STEPS, Call, die, final_weights, run, strays, train
from tests.training.tiny import tiny_training


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    assert run(train, place) == 0
    return final_weights(place)


def test_killed_at_random_steps(undisturbed, times, promise, tmp_path):
    tried = times(50, 2)
    generator, survived = random.Random(0), 0
    for number in range(tried):
        place = tmp_path / str(number)
        workers, step = 2 * (number % 2), generator.randrange(1, STEPS)
        assert run(train, place, die_after=step, num_workers=workers) == -signal.SIGKILL
        assert run(train, place, num_workers=workers) == 0
        survived += final_weights(place) == undisturbed and not strays(place)
    promise("killed (-9) after a random step: final weights bit-identical, nothing left behind", tried, survived)


def die_while_writing(directory, share):
    """Die when a share of the second checkpoint's bytes are written; at 1, just before they are moved into place."""
    torch.set_num_threads(1)
    write = checkpoint.write_tensors

    def part(state, path):
        write(state, path)
        if (directory / "checkpoints" / "step-00000002").exists():
            if share < 1:
                os.truncate(path, int(share * path.stat().st_size))
            die()

    checkpoint.write_tensors = part
    tiny_training(directory, **SETTINGS).run()


def test_killed_inside_saving(undisturbed, times, promise, tmp_path):
    offsets = times(20, 2)
    survived = 0
    for number in range(offsets * times(3, 1)):
        place = tmp_path / str(number)
        assert run(die_while_writing, place, (number % offsets) / (offsets - 1)) == -signal.SIGKILL
        found, _ = find_checkpoint(place / "checkpoints")
        loads = found is not None and found.name == "step-00000002"
        assert run(train, place) == 0
        survived += loads and final_weights(place) == undisturbed and not strays(place)
    tried = offsets * times(3, 1)
    promise(
        "killed while a checkpoint is written, at 20 places: the one before loads and ends the same", tried, survived
    )


def signalled(directory, number, step):
    """Get a signal after a step; leave with the exit code that the command line would."""
    torch.set_num_threads(1)
    training = tiny_training(directory, progress=Call(step, lambda: os.kill(os.getpid(), number)), **SETTINGS)
    raise SystemExit(128 + (training.run().signal or 0))


def test_signals_save_and_leave(undisturbed, whole, times, promise, tmp_path):
    tried = times(20, 2)
    generator, survived = random.Random(1), 0
    for turn in range(tried):
        place, number = tmp_path / str(turn), (signal.SIGTERM, signal.SIGINT)[turn % 2]
        step = generator.randrange(1, STEPS)
        started = time.monotonic()
        code = run(signalled, place, number, step)
        in_time = time.monotonic() - started < 10 if whole else True
        saved = (place / "checkpoints" / f"step-{step:08d}" / STATE).exists()
        assert run(train, place) == 0
        survived += code == 128 + number and saved and in_time and final_weights(place) == undisturbed
    promise("SIGTERM and SIGINT: saved, out within 10 s of the start, resumed bit-identical", tried, survived)


def test_two_deterministic_runs_are_bit_equal(undisturbed, times, promise, tmp_path):
    tried = times(10, 1)
    same = 0
    for number in range(tried):
        assert run(train, tmp_path / str(number), num_workers=number % 3) == 0
        same += sha256(tmp_path / str(number) / "checkpoints" / f"step-{STEPS:08d}" / TENSORS) == undisturbed
    promise("two runs of one seed are bit-equal, for any number of workers", tried, same)
