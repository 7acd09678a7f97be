import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.checkpoints.model_directory import load_model, save_model
from scenescope.data.catalog import open_dataset
from scenescope.evaluation.boundary import COUNTED, BoundaryCounts
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.scores import Scores
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.workflows.evaluation_result import read_result

NAMES = ["road", "sky", "never [seen]"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    network = create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=16)
    classifier = network.head.classifier[-1]
    torch.nn.init.normal_(classifier.weight)
    with torch.no_grad():
        classifier.bias[2] = -1e9  # the third class is never answered
    directory = tmp_path_factory.mktemp("model")
    save_model(network, Classes.named(NAMES), directory)
    return directory


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a folder with three images of two sizes; no pixel is of the third class, some are ignored."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    (root / "classes.yaml").write_text(f"names: {json.dumps(NAMES)}\nignore: 255\n")
    for number, size in enumerate([(32, 48), (32, 48), (40, 30)]):
        for kind, array in (
            ("images", generator.integers(0, 256, (*size, 3), dtype=np.uint8)),
            ("masks", generator.choice([0, 1, 255], size).astype(np.uint8)),
        ):
            (root / kind / "val").mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / kind / "val" / f"{number}.png")
    return root


@pytest.fixture
def run(scenescope):
    return lambda *arguments: scenescope("evaluate", *arguments)


def slow_matrix(model, data):
    segmenter = Segmenter.load(model, "cpu")
    matrix = np.zeros((3, 3), int)
    for number in range(3):
        labels = np.asarray(Image.open(data / "masks" / "val" / f"{number}.png"))
        predictions = segmenter.predict(data / "images" / "val" / f"{number}.png").labels
        for label, prediction in zip(labels.flat, predictions.flat, strict=True):
            if label != 255:
                matrix[label, prediction] += 1
    return matrix.tolist()


def margins(matrix):
    matrix = np.array(matrix)
    return [matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist(), matrix.diagonal().tolist()]


def boundary_counts(model, data):
    segmenter = Segmenter.load(model, "cpu")
    boundary = BoundaryCounts(3)
    for number in range(3):
        labels = np.asarray(Image.open(data / "masks" / "val" / f"{number}.png"))
        predictions = segmenter.predict(data / "images" / "val" / f"{number}.png").labels
        boundary.update(torch.from_numpy(labels.copy())[None], torch.from_numpy(predictions)[None])
    return boundary.counts


def test_a_table_and_files_of_the_scores(run, model, data, tmp_path):
    result = run(f"folder:{data}", "--model", model, "--output", tmp_path / "out", "--device", "cpu")
    assert result.exit_code == 0, result.output
    stored = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert stored["scores"]["matrix"] == slow_matrix(model, data)
    scores = Scores.from_matrix(stored["scores"]["matrix"], list(stored["scores"]["iou"]))
    assert scores.names == tuple(NAMES)
    assert 0 < scores.iou[0] < 1
    assert (stored["data"], stored["split"], stored["images"]) == (f"folder:{data}", "val", 3)
    assert stored["settings"] == json.loads(json.dumps(dataclasses.asdict(InferenceSettings())))
    assert stored["model"] == str(model)
    for line in (rf"road .* {scores.iou[0]:.4f}", r"never \[seen\] .* absent", rf"mean IoU +{scores.mean_iou:.4f}"):
        assert re.search(line, result.output), result.output
    assert "1 absent from truth and prediction, left out of the means: never [seen]" in result.output
    assert "boundary" not in stored
    with Image.open(tmp_path / "out" / "confusion.png") as image:
        assert image.format == "PNG"


def test_other_class_names_are_told_and_scored_all_the_same(run, model, data, tmp_path):
    permuted = shutil.copytree(data, tmp_path / "permuted")
    (permuted / "classes.yaml").write_text('names: [road, "never [seen]", sky]\nignore: 255\n')
    result = run(f"folder:{permuted}", "--model", model)
    assert result.exit_code == 0, result.output
    told = "class 1 is 'sky' in the model and 'never [seen]' in the data; check that they mean the same."
    assert result.errors == f"note: {told}\n"
    assert run(f"folder:{data}", "--model", model).errors == ""


def test_an_absent_class_can_count_as_zero(run, model, data):
    left_out, zero = (run(f"folder:{data}", "--model", model, "--absent", absent) for absent in ("skip", "zero"))
    mean = [float(re.search(r"mean IoU +([\d.]+)", result.output)[1]) for result in (left_out, zero)]
    assert mean[1] == pytest.approx(mean[0] * 2 / 3, abs=1e-4)
    assert "counted as 0: never [seen]" in zero.output


def test_batches_workers_scales_and_windows_are_options(run, model, data, tmp_path):
    matrices = []
    for options in (
        ["--batch-size", "2", "--num-workers", "1"],
        ["--window", "24", "--stride", "8", "--scales", "0.75,1,1.25", "--flip"],
    ):
        result = run(f"folder:{data}", "--model", model, "--output", tmp_path, *options)
        assert result.exit_code == 0, result.output
        matrices.append(json.loads((tmp_path / "scores.json").read_text()))
    assert matrices[0]["scores"]["matrix"] == slow_matrix(model, data)
    given = {"scales": [0.75, 1.0, 1.25], "flip": True, "window": 24, "stride": 8}
    assert given.items() <= matrices[1]["settings"].items()
    assert np.sum(matrices[1]["scores"]["matrix"]) == np.sum(matrices[0]["scores"]["matrix"])


def test_a_protocol_is_a_set_of_settings_of_which_single_ones_can_be_replaced(run, model, data, tmp_path):
    options = ["--base-size", "60", "--window", "40", "--scales", "1", "--no-flip"]
    result = run(f"folder:{data}", "--model", model, "--output", tmp_path, "--protocol", "official-ms", *options)
    assert result.exit_code == 0, result.output
    stored = json.loads((tmp_path / "scores.json").read_text())
    settings = InferenceSettings(window=40, stride=0.5, base_size=60, border="pad", combine="exp", stretch=True)
    assert stored["settings"] == json.loads(json.dumps(dataclasses.asdict(settings)))
    loaded = load_model(model)
    confusion = evaluate(loaded.network, open_dataset("folder", str(data), "val"), settings)
    assert stored["scores"]["matrix"] == confusion.counts().tolist()
    assert stored["scores"]["matrix"] != slow_matrix(model, data)


def test_boundaries_are_scored_where_asked(run, model, data, tmp_path):
    options = ["--boundary", "--output", tmp_path]
    result = run(f"folder:{data}", "--model", model, *options)
    assert result.exit_code == 0, result.output
    stored = json.loads((tmp_path / "scores.json").read_text())
    assert stored["scores"]["matrix"] == slow_matrix(model, data)
    assert stored["boundary"]["counts"] == dict(zip(COUNTED, boundary_counts(model, data).tolist(), strict=True))
    road, never = ({what: stored["boundary"][what][name] for what in ("iou", "f")} for name in (NAMES[0], NAMES[2]))
    assert never == {"iou": None, "f": None}
    for line in (
        rf"road .* {road['iou']:.4f} .* {road['f']:.4f}",
        r"never \[seen\] .* absent .* absent",
        rf"mean boundary IoU +{stored['boundary']['mean_iou']:.4f}",
        rf"mean boundary F +{stored['boundary']['mean_f']:.4f}",
    ):
        assert re.search(line, result.output), result.output


def test_two_processes_score_as_one(model, data, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "from scenescope.cli.main import main; main()"
    command = [sys.executable, "-c", program, "evaluate", f"folder:{data}", "--model", str(model), "--device", "cpu"]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [*command, "--output", str(tmp_path), "--report", str(tmp_path), "--boundary"],
            env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    told = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    stored = json.loads((tmp_path / "scores.json").read_text())
    assert stored["scores"]["matrix"] == slow_matrix(model, data)
    assert list(stored["boundary"]["counts"].values()) == boundary_counts(model, data).tolist()
    counts = read_result(tmp_path).counts
    assert counts.any(axis=(1, 2)).all()
    assert counts.sum(axis=0).tolist() == margins(stored["scores"]["matrix"])
    assert (tmp_path / "report.html").exists()
    assert "mean IoU" in told[0][0]
    assert told[1][0] == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scenes:"], "3 classes .* 8"),
        (["folder:DATA", "--split", "test"], "test"),
        (["DATA"], "write folder:"),
        (["folder:DATA", "--classes", "60"], "classes=60 is given, but folder: leaves no choice"),
        (["coco_stuff:DATA", "--classes", "60"], "not a choice of coco_stuff:; choose 171 or voc"),
        (["folder:DATA", "--scales", "1,x"], "--scales '1,x' is not a list of numbers"),
        (["folder:DATA", "--scales", "0"], "positive numbers"),
        (["folder:DATA", "--stride", "5"], "stride=5 has no window"),
        (["folder:DATA", "--protocol", "offical"], "no protocol 'offical'. Did you mean 'official'.* mmseg-ms"),
        (["folder:DATA", "--base-size", "2048x1024"], "--base-size '2048x1024' is not a size; write it like 2048,1024"),
        (["folder:DATA", "--base-size", "1,2,3"], "base_size=.* a long side"),
        (["folder:DATA", "--device", "gpu"], "no device 'gpu'"),
        (["folder:DATA", "--model", "./nowhere"], "no model at nowhere"),
        (["folder:DATA", "--output", "TAKEN/out"], "in the way"),
        (["folder:DATA", "--output", ""], "--output is empty; give a folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, model, data, tmp_path, arguments, message):
    (tmp_path / "taken").write_text("in the way")
    arguments = [
        argument.replace("DATA", str(data)).replace("TAKEN", str(tmp_path / "taken")) for argument in arguments
    ]
    if "--model" not in arguments:
        arguments += ["--model", str(model)]
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert re.search(message, result.errors), result.errors
    assert len(result.errors.strip().splitlines()) == 1
    assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_report_beside_the_scores(scenescope, tmp_path, monkeypatch):
    monkeypatch.setattr("scenescope.lab.scenes.SPLITS", {"train": 2, "val": 3, "test": 2})
    classes = open_dataset("scenes", "", "val").classes
    network = create_model("danet", backbone="test_resnet", num_classes=len(classes), output_stride=32)
    save_model(network, classes, tmp_path / "model")
    command = ["evaluate", "scenes:", "--model", tmp_path / "model", "--report", tmp_path / "report"]
    result = scenescope(*command)
    assert result.exit_code == 0, result.errors
    assert "The worst image" in (tmp_path / "report" / "report.html").read_text()
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = scenescope(*command, "--attention")
    assert refused.exit_code == 2
    assert "run it without torchrun" in refused.errors
