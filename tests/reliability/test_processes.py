import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scenescope.checkpoints.model_directory import load_model
from scenescope.evaluation.evaluator import evaluate
from scenescope.files import sha256
from scenescope.training.checkpoint import TENSORS
from scenescope.training.log import read_log
from tests.training.tiny import Few

ROOT = Path(__file__).resolve().parents[2]
LAST = Path("checkpoints") / "step-00000006" / TENSORS


def torchrun(count, directory, *, restarts=0, **settings):
    """Run the tiny training in some processes; return exit code, output and seconds."""
    directory.mkdir(parents=True, exist_ok=True)
    launcher = [
        "-m",
        "torch.distributed.run",
        f"--nproc-per-node={count}",
        "--standalone",
        f"--max-restarts={restarts}",
    ]
    script = [str(ROOT / "tests/reliability/ranks.py"), str(directory), json.dumps(settings)]
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}",
        "OMP_NUM_THREADS": "1",
    }
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, *launcher, *script], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    return done.returncode, done.stdout + done.stderr, time.monotonic() - started


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    place = tmp_path_factory.mktemp("alone")
    assert torchrun(1, place)[0] == 0
    return place


def test_several_processes_equal_one(alone, times, promise, tmp_path):
    counts = (2, 4)[: times(2, 1)]
    equal = 0
    for count in counts:
        code, told, _ = torchrun(count, tmp_path / str(count))
        assert code == 0, told
        expected, found = read_log(alone / "log.jsonl"), read_log(tmp_path / str(count) / "log.jsonl")
        losses = [(row["loss"], other["loss"]) for row, other in zip(expected, found, strict=True) if "loss" in row]
        near = len(losses) == 6 and all(abs(one - many) <= 1e-5 * abs(one) for one, many in losses)
        # Seven scenes for two or four processes: the last share is smaller, and each scene counts once.
        matrix = json.loads((tmp_path / str(count) / "matrix.json").read_text())
        equal += (
            near
            and matrix == evaluate(load_model(tmp_path / str(count) / "last").network, Few("", "val")).counts().tolist()
        )
    promise("2 and 4 processes: the losses of one, the confusion matrix exactly", len(counts), equal)


def test_a_killed_process_ends_all_and_restarts_reach_the_same(whole, times, promise, tmp_path):
    undisturbed = tmp_path / "undisturbed"
    assert torchrun(2, undisturbed)[0] == 0
    tried, ended, same = times(10, 1), 0, 0
    generator = random.Random(0)
    for number in range(tried):
        rank, step = generator.randrange(2), generator.randrange(1, 6)
        place = tmp_path / str(number)
        code, told, seconds = torchrun(2, place, rank=rank, die_after=step)
        ended += code != 0 and bool(re.search(rf"rank\s*: {rank} ", told)) and (seconds < 30 or not whole)
        code, told, _ = torchrun(2, tmp_path / f"{number}-restarted", restarts=3, rank=rank, die_after=step)
        same += code == 0 and sha256(tmp_path / f"{number}-restarted" / LAST) == sha256(undisturbed / LAST)
    promise("one of two processes killed: all end within 30 s, its rank is named", tried, ended)
    promise("one of two processes killed: the launcher's restarts end with the same bits", tried, same)


def test_a_process_that_cannot_read_its_data_ends_all(whole, times, promise, tmp_path):
    tried, ended = times(10, 1), 0
    for number in range(tried):
        code, told, seconds = torchrun(2, tmp_path / str(number), rank=number % 2, broken=True)
        named = "photos/broken-17.png" in told and bool(re.search(rf"rank\s*: {number % 2} ", told))
        ended += code != 0 and named and (seconds < 30 or not whole)
    promise("one of two processes cannot read an image: all end within 30 s, rank and file are named", tried, ended)


def test_a_resume_with_another_number_of_processes_is_refused(alone, promise, tmp_path):
    code, told, _ = torchrun(2, alone, train={"steps": 8})
    refused = code != 0 and "was written by 1 processes and this run has 2" in told
    promise("a resume with another number of processes is refused", 1, int(refused))
