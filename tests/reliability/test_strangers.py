"""Files from strangers: pickles that call, mutated weights and settings, YAML tricks, paths that lead elsewhere."""

import builtins
import contextlib
import importlib
import json
import os
import pickle
import random
import runpy
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image

from scenescope.checkpoints.convert import convert
from scenescope.checkpoints.foreign import read_checkpoint
from scenescope.checkpoints.model_directory import load_model, read_tensors, save_model
from scenescope.data.classes_yaml import read_class_file
from scenescope.errors import CheckpointError, RecipeError, ScenescopeError
from scenescope.files import CHECKSUMS, sha256
from scenescope.inference.exported import load_exported
from scenescope.inference.segmenter import Segmenter
from scenescope.jobs.batch import predict_files
from scenescope.jobs.inputs import find_images
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.recipes.reader import load_recipe

CLASSES = Classes.named(["road", "sky", "car"])
WEIGHTS = {"conv.weight": torch.ones(2, 3)}


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def calls(canary):
    """Return what hostile files make Python call; each would leave the canary."""
    touch, code = f"touch {canary}", f"open({str(canary)!r}, 'w')"
    inner = pickle.dumps(Calls(os.system, touch))
    return [
        Calls(os.system, touch),
        Calls(os.popen, touch),
        Calls(subprocess.check_output, ["touch", str(canary)]),
        Calls(subprocess.Popen, ["touch", str(canary)]),
        Calls(builtins.eval, code),
        Calls(builtins.exec, code),
        Calls(builtins.open, str(canary), "w"),
        Calls(Path(canary).touch),
        Calls(os.mkdir, str(canary)),
        Calls(shutil.copy, __file__, str(canary)),
        Calls(pickle.loads, inner),
        Calls(getattr, os, "system"),
        Calls(importlib.import_module, "antigravity"),
        Calls(runpy.run_path, __file__),
        Calls(map, os.system, [touch]),
    ]


def files(tmp_path, canary):
    """Return hostile files: 15 calls in torch's new and old form."""
    for number, call in enumerate(calls(canary)):
        for legacy in (False, True):
            path = tmp_path / f"{number}-{legacy}.pth"
            try:
                torch.save({"state_dict": WEIGHTS, "note": call}, path, _use_new_zipfile_serialization=not legacy)
            except (pickle.PicklingError, TypeError, AttributeError):
                path.write_bytes(pickle.dumps({"state_dict": WEIGHTS, "note": [number]}) if legacy else b"PK\x03\x04")
            yield path


def disguised(path, tmp_path):
    """Return a model directory whose weights are this file, with checksums that fit."""
    model = tmp_path / f"{path.stem}-model"
    shutil.copytree(tmp_path / "model", model)
    shutil.copy(path, model / "model.safetensors")
    names = ("config.json", "model.safetensors")
    (model / CHECKSUMS).write_text("".join(f"{sha256(model / name)}  {name}\n" for name in names))
    return model


def test_hostile_pickles_run_nothing_at_any_entry(promise, tmp_path):
    canary = tmp_path / "canary"
    save_model(
        create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=32), CLASSES, tmp_path / "model"
    )
    tried = refused = 0
    for path in list(files(tmp_path, canary)):
        exported = path.with_suffix(".onnx")
        shutil.copy(path, exported)
        model = disguised(path, tmp_path)
        entries = [
            lambda path=path: read_checkpoint(path),
            lambda path=path: convert(path, tmp_path / "converted"),
            lambda path=path: load_model(path),
            lambda path=path: Segmenter.load(path, "cpu"),
            lambda model=model: load_model(model),
            lambda exported=exported: load_exported(exported),
        ]
        for entry in entries:
            tried += 1
            try:
                entry()
            except CheckpointError as error:
                refused += "\n" not in str(error)
        assert not canary.exists(), path
    assert not (tmp_path / "converted").exists()
    promise("hostile pickles (15 calls, two forms) at six entries: refused in one line, nothing run", tried, refused)


def mutated(content, generator):
    """Change, remove or repeat some bytes, mostly near the start, where headers are."""
    content = bytearray(content)
    for _ in range(generator.randrange(1, 6)):
        at = min(int(generator.expovariate(1 / 300)), len(content) - 1)
        kind = generator.randrange(4)
        if kind == 0:
            content[at] = generator.randrange(256)
        elif kind == 1:
            del content[at : at + generator.randrange(1, 40)]
        elif kind == 2:
            content[at:at] = content[at : at + generator.randrange(1, 40)]
        else:
            content[at : at + 1] = str(generator.choice([-1, 0, 2**31, 2**63, 10**30])).encode()
    return bytes(content) or b"\x00"


def test_mutated_weights_are_refused_or_read(whole, times, promise, tmp_path):
    tensors = {"a.weight": torch.randn(8, 8), "b": torch.arange(5), "c": torch.ones(3, dtype=torch.float16)}
    content = safetensors.torch.save(tensors)
    tried, survived = times(7000, 200), 0
    generator, path = random.Random(0), tmp_path / "model.safetensors"
    for _ in range(tried):
        path.write_bytes(mutated(content, generator))
        started, size = time.monotonic(), 0
        with contextlib.suppress(CheckpointError):
            size = sum(value.nbytes for value in read_tensors(path).values())
        survived += size < 10**6 and (time.monotonic() - started < 2 or not whole)
    promise("mutated safetensors: refused or read, in bounded time and memory", tried, survived)


def test_mutated_configs_are_refused_or_load(whole, times, promise, tmp_path):
    model = tmp_path / "model"
    save_model(create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=32), CLASSES, model)
    content = (model / "config.json").read_bytes()
    seal = f"{sha256(model / 'model.safetensors')}  model.safetensors\n"
    tried, survived = times(3000, 60), 0
    generator = random.Random(1)
    for number in range(tried):
        if number % 2:
            (model / "config.json").write_bytes(mutated(content, generator))
        else:
            (model / "config.json").write_text(json.dumps(other_value(json.loads(content), generator)))
        (model / CHECKSUMS).write_text(f"{sha256(model / 'config.json')}  config.json\n{seal}")
        started = time.monotonic()
        said = ""
        try:
            load_model(model)
        except ScenescopeError as error:
            said = str(error)
        assert "\n" not in said
        survived += time.monotonic() - started < 20 or not whole
    promise("mutated config.json of a model: refused in one line, or loads", tried, survived)


def other_value(config, generator):
    """Put a value of another kind somewhere into a configuration."""
    strange = [None, -1, 0, 10**12, 1e308, "", "../../x", "a" * 5000, [], {}, [[]], True, "resnet50", {"a": {"b": []}}]
    place = config
    while True:
        key = generator.choice(list(place) if isinstance(place, dict) else list(range(len(place))))
        inner = place[key]
        if isinstance(inner, dict | list) and inner and generator.random() < 0.7:
            place = inner
            continue
        place[key] = generator.choice(strange)
        return config


YAML = [
    "!!python/object/apply:os.system ['touch CANARY']",
    "names: !!python/object/new:os.system ['touch CANARY']",
    "names: !!python/name:os.system",
    "names: !!python/module:os",
    "a: &a [x, x]\nnames: [*a, *a]",
    "a: &a {b: *a}",
    "\n".join(["a0: &a0 [x, x]", *[f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]]),
    "names: [a]\nnames: [b]",
    "nmaes: [a, b]",
    "names: [a, b]\n<<: {ignore: 1}",
    "? [a, b]\n: c",
    "1: [a]",
    "names: [a\n",
    "\tnames: [a]",
    "names: " + "[" * 5000,
    "- a\n- b",
    "names: [a]\n---\nnames: [b]",
    "",
    "\x00",
    "names: !custom [a]",
    "#" * 1_100_000,
]


def test_tricks_of_yaml_are_refused(whole, promise, tmp_path):
    tried = refused = 0
    for number, text in enumerate(YAML):
        canary = tmp_path / "canary"
        path = tmp_path / f"{number}.yaml"
        path.write_text(text.replace("CANARY", str(canary)))
        for read in (read_class_file, lambda place: load_recipe(str(place))):
            tried += 1
            started = time.monotonic()
            try:
                read(path)
            except ScenescopeError as error:
                refused += "\n" not in str(error) and (time.monotonic() - started < 1 or not whole)
            assert not canary.exists()
    promise("tricks of YAML in recipes and classes.yaml: refused in one line within 1 s", tried, refused)


def test_an_override_is_a_value_and_nothing_more(promise):
    overrides = ["train.steps=&a 5", "train.steps=*a", "a..b=1", "=1", "train=1",
                 "train.steps.deep=1", "train.stesp=1", "model.options=!!map {}"]  # fmt: skip
    refused = 0
    for override in overrides:
        with pytest.raises(RecipeError):
            load_recipe("scenes/danet-demo", [override])
        refused += 1
    assert load_recipe("scenes/danet-demo", ["data.root=!!python/name:os.system"]).data.root.startswith("!!python")
    promise("tricks in overrides a.b=c are refused", len(overrides), refused)


def below(folder):
    """Return all files below a folder, without following links."""
    return [Path(place, name) for place, _, names in os.walk(folder) for name in names]


def test_nothing_is_written_outside_the_output(promise, tmp_path, monkeypatch):
    """Odd names of images, links that lead out, and outputs that point upwards."""
    segmenter = Segmenter(create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=32), CLASSES)
    outside, photos = tmp_path / "outside", tmp_path / "work" / "photos"
    outside.mkdir()
    photos.mkdir(parents=True)
    names = [
        "a b",
        "..",
        "...",
        "-rf",
        "new\nline",
        "🚦",
        "con",
        "a" * 251,
        "x;y",
        "$HOME",
        "..%2f..%2fx",
        "\\..\\x",
        "*",
        ".",
    ]
    names = [f"{name}.png" if name not in ("..", ".") else f"{name}dots.png" for name in names]
    for name in names:
        Image.new("RGB", (8, 8)).save(photos / name, "PNG")
    Image.new("RGB", (8, 8)).save(outside / "linked.png")
    (photos / "link.png").symlink_to(outside / "linked.png")
    (photos / "folder").symlink_to(outside)
    (photos / "loop").symlink_to(photos)
    monkeypatch.chdir(tmp_path / "work")
    output = Path("out")
    before = {path: path.stat().st_mtime_ns for path in below(tmp_path)}
    result = predict_files(segmenter, find_images(["photos"], output), output)
    new = [path for path in below(tmp_path) if path not in before]
    shown = [name for name in names if not name.startswith(".")]  # hidden images are passed over
    assert len(result.done) == len(shown) + 1
    assert not result.failed
    assert all((tmp_path / "work" / "out") in (path, *path.parents) for path in new)
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    promise(
        "images with odd names, links and loops: nothing is written outside the output",
        len(names) + 3,
        len(names) + 3,
    )
