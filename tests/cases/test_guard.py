"""Exported files used as people use them: by several threads, in pools of processes, copied."""

from __future__ import annotations

import copy
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from scenescope.inference.segmenter import Segmenter

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.inference import handmade

COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
IMAGES = [np.full((30 + number, 40, 3), COLORS[number % 3], np.uint8) for number in range(6)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file whose class is the brightest of red, green and blue."""
    path = tmp_path / "model.onnx"
    path.write_bytes(handmade.model().SerializeToString())
    return path


def labels(job: tuple[Segmenter, npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    segmenter, image = job
    return segmenter.predict(image).labels


def test_one_exported_model_serves_several_threads(file: Path) -> None:
    """openvino#24509, optimum-intel#573: answers of one thread stood in those of another."""
    segmenter = Segmenter.load(file, "cpu")
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(labels, [(segmenter, IMAGES[number % 6]) for number in range(120)]))
    for number, answer in enumerate(answers):
        assert answer.shape == (30 + number % 6, 40)
        assert set(answer.flat) == {number % 3}


def test_an_exported_model_goes_to_a_pool_of_processes(file: Path) -> None:
    """onnxruntime#7846: a session cannot be pickled."""
    segmenter = Segmenter.load(file, "cpu")
    file.unlink()  # it is not looked for again
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        answers = list(pool.map(labels, [(segmenter, image) for image in IMAGES]))
    assert [set(answer.flat) for answer in answers] == [{number % 3} for number in range(6)]


def test_an_exported_model_is_copied(file: Path) -> None:
    """onnxruntime#7846: a deep copy for each thread."""
    copied = copy.deepcopy(Segmenter.load(file, "cpu"))
    assert set(copied.predict(IMAGES[2]).labels.flat) == {2}
