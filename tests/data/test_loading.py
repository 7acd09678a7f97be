"""Workers end with their reader, whatever became of it."""

import errno
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from scenescope.data import loading
from scenescope.data.dataset import LabeledImage
from scenescope.data.loading import Sample, load_batches
from scenescope.data.transforms import whole_sample
from scenescope.errors import ImageError, ScenescopeError
from scenescope.models.catalog import create_model

ROOT = Path(__file__).resolve().parents[2]


class Numbers(torch.utils.data.Dataset[Sample]):
    """Images of one pixel; the last of ten cannot be read."""

    def __getitem__(self, key: int) -> Sample:
        if key == 9:
            raise ImageError("number 9 is damaged")
        return torch.full((3, 1, 1), key), torch.full((1, 1), key), f"number {key}"


def children() -> set[Any]:
    return set(multiprocessing.active_children())


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_and_an_error_as_it_was_raised(workers: int) -> None:
    before = children()
    reader = load_batches(Numbers(), [[0, 1], [2], [3, 4], [9]], workers)
    for numbers in ([0, 1], [2], [3, 4]):
        images, labels, names = next(reader)
        assert images[:, 0, 0, 0].tolist() == labels[:, 0, 0].tolist() == numbers
        assert names == [f"number {number}" for number in numbers]
    with pytest.raises(ImageError, match=r"^number 9 is damaged$") as caught:
        next(reader)
    # The traceback is still held here.
    assert caught.tb is not None
    assert children() == before


def test_a_reader_in_a_circle_of_references_ends_its_workers() -> None:
    before = children()
    circle: dict[str, Any] = {"reader": load_batches(Numbers(), ([0] for _ in range(100)), 1)}
    circle["circle"] = circle
    next(circle["reader"])
    assert len(children() - before) == 1
    del circle
    gc.collect()
    assert children() == before


@pytest.mark.parametrize("ending", ["", "raise SystemExit(2)"])
def test_python_exits_though_a_reader_is_still_held(ending: str) -> None:
    script = (
        "from tests.data.test_loading import Numbers\nfrom scenescope.data.loading import load_batches\n"
        f"held = load_batches(Numbers(), [[0]] * 100, 2)\nprint(next(held)[2])\n{ending}"
    )
    # Workers that nobody ends make this wait without end.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2 if ending else 0, "['number 0']\n", "")


class Odd(Numbers):
    """Number 1 kills its reader, 2 is never read, 3 is a mistake of a programmer, 4 warns."""

    def __getitem__(self, key: int) -> Sample:
        if key == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if key == 2:
            threading.Event().wait()
        if key == 3:
            raise KeyError("three")
        if key == 4:
            warnings.warn("four is odd", stacklevel=1)
        return super().__getitem__(key)


def test_a_worker_that_is_killed_is_told_in_one_line_and_waited_for_no_longer() -> None:
    before = children()
    reader = load_batches(Odd(), [[0], [5], [1], [6], [7]], 2)
    assert [next(reader)[2] for _ in range(2)] == [["number 0"], ["number 5"]]
    told = r"^A process that reads images was killed by signal 9, most often for want of memory; try again with fewer"
    with pytest.raises(ScenescopeError, match=told) as caught:
        next(reader)
    assert "\n" not in str(caught.value)
    assert children() == before


def test_a_batch_that_never_comes_is_given_up_when_the_training_is_asked_to_end() -> None:
    before = children()
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(len(asked) > 2)
        return asked[-1]

    assert [names for _, _, names in load_batches(Odd(), [[0], [2], [5]], 1, stop=stop)] == [["number 0"]]
    assert children() == before


def test_any_other_error_of_a_worker_arrives_as_it_was_raised() -> None:
    with pytest.raises(KeyError, match="three") as caught:
        list(load_batches(Odd(), [[0], [3]], 1))
    assert 'raise KeyError("three")' in caught.value.__notes__[0]


def test_a_warning_is_told_once_though_every_worker_has_it() -> None:
    loading._told.clear()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        assert len(list(load_batches(Odd(), [[4], [4], [4], [4]], 2))) == 4
    assert [str(each.message) for each in told] == ["four is odd"]


def test_more_processes_than_there_may_be_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    before, started = children(), []

    def none_left(process: Any) -> None:
        if started:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        started.append(process)
        start(process)

    start = multiprocessing.process.BaseProcess.start
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", none_left)
    told = r"^Cannot start 3 processes to read images \(Resource temporarily unavailable\); try again with fewer"
    with pytest.raises(ScenescopeError, match=told):
        next(load_batches(Numbers(), [[0]], 3))
    assert children() == before


def test_images_keep_the_layout_of_files_until_the_network_takes_them() -> None:
    scene = LabeledImage(np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3), np.zeros((2, 5), np.uint8), "one")

    class Two(Dataset[Sample]):
        def __getitem__(self, key: int) -> Sample:
            return whole_sample(scene)

    ((images, _, _),) = load_batches(Two(), [[0, 1]], num_workers=0)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images[1].permute(1, 2, 0).tolist() == scene.image.tolist()
    for backbone, layout in (("test_resnet", torch.contiguous_format), ("lcnet_035", torch.channels_last)):
        network = create_model("fcn", num_classes=2, backbone=backbone, output_stride=32, pretrained=False)
        assert network.prepare(images).is_contiguous(memory_format=layout)


KILLED = """
import os, signal, sys
from scenescope.data.loading import load_batches
from tests.data.test_loading import Numbers

if __name__ == "__main__":
    reader = load_batches(Numbers(), ([0] for _ in range(1000)), 2, sys.argv[1])
    next(reader)
    print("read", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, start_method: str) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    # Every process that it has started writes to this pipe: the call returns when the last of them has ended.
    ended = subprocess.run(
        [sys.executable, str(script), start_method],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert ended.stdout == "read\n"
