"""Every command in the README and the docs runs, in order, as it is printed; only the trainings are cut short."""

import dataclasses
import json
import re
import runpy
import shlex
import threading
import urllib.request
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from scenescope.backbones.build import count_parameters
from scenescope.checkpoints import find
from scenescope.checkpoints.model_directory import save_model
from scenescope.cli.main import app
from scenescope.config import Config
from scenescope.data.camvid import CLASSES as CAMVID
from scenescope.data.catalog import open_dataset
from scenescope.explore.page import PageServer
from scenescope.lab import scenes
from scenescope.models.catalog import create_model
from scenescope.models.options import OPTIONS, PRESETS
from scenescope.recipes import reader
from scenescope.workflows.train import create_network
from tests.checkpoints import peers

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"<!-- run -->\n(?:```python\n(?P<python>.*?)```|(?P<shell>(?: {4}[^\n]*\n|\n)+))", re.DOTALL)
QUICK = ("train.steps=2", "train.batch_size=2", "train.num_workers=0", "train.warmup_steps=0", "augment.crop=[64,64]",
         "model.backbone=resnet10t", "model.pretrained=false", "model.output_stride=32")  # fmt: skip

whole_recipe = reader.load_recipe


def short_recipe(name: str, overrides: tuple[str, ...] | list[str] = ()) -> Config:
    return whole_recipe(name, [*overrides, *QUICK])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the README's example data in it, short recipes and few scenes."""
    monkeypatch.setattr(reader, "load_recipe", short_recipe)
    monkeypatch.setattr(scenes, "SPLITS", {"train": 6, "val": 2, "test": 4})
    monkeypatch.chdir(tmp_path)
    colors = [(128, 0, 0), (128, 0, 128), (128, 64, 0), (0, 0, 0)]
    for split, stem in (("train", "street-01"), ("train", "street-02"), ("val", "street-90")):
        for kind in ("images", "masks"):
            (tmp_path / "mine" / kind / split).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 64), (90, 120, 90)).save(tmp_path / "mine/images" / split / f"{stem}.jpg")
        mask = Image.new("RGB", (80, 64))
        for number, color in enumerate(colors):
            mask.paste(color, (20 * number, 0, 20 * number + 20, 64))
        mask.save(tmp_path / "mine/masks" / split / f"{stem}.png")
    example = re.search(r"    # classes.yaml.*\n((?:    .+\n)+)", (ROOT / "README.md").read_text())
    assert example is not None
    (tmp_path / "mine/classes.yaml").write_text(re.sub("^    ", "", example[1], flags=re.MULTILINE))
    weights = peers.Weights()
    peers.mmseg(peers.mmseg_fcn, weights, torch.zeros(1, 3, 32, 32), 19)
    meta = {"cfg": "backbone=dict(strides=(1, 2, 2, 2))"}
    torch.save({"meta": meta, "state_dict": weights.state}, tmp_path / "iter_40000.pth")
    monkeypatch.setattr(PageServer, "serve_forever", answer_once)
    monkeypatch.setattr(find, "models_in_box", lambda: box_of_short_recipes(tmp_path / "box"))
    monkeypatch.setattr(find, "_tell_license", lambda: None)
    return tmp_path


def box_of_short_recipes(place: Path) -> dict[str, Path]:
    """Models under the names of those in the box, untrained and with the network of the short recipes."""
    models = {}
    for recipe in ("folder/finetune-danet", "folder/finetune-sanet"):
        settings = short_recipe(recipe)
        name = settings.train.init_from
        assert name is not None
        save_model(create_network(settings.model, len(CAMVID)), CAMVID, place / name)
        models[name] = place / name
    return models


def answer_once(server: PageServer) -> None:
    """Serve one visit of the page in place of all that may come."""
    visit = threading.Thread(target=lambda: urllib.request.urlopen(server.url).read())
    visit.start()
    server.handle_request()
    visit.join()


@pytest.mark.parametrize("page", ["README.md"])
def test_every_command_runs(page: str, place: Path) -> None:
    text = (ROOT / page).read_text()
    blocks = list(BLOCK.finditer(text))
    commands = 0
    for block in blocks:
        if block["python"]:
            exec(block["python"], {})
            continue
        for line in filter(None, (line.strip() for line in block["shell"].splitlines())):
            program, *arguments = shlex.split(line, comments=True)
            assert program == "scenescope"
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
            commands += 1
    # Every command that is printed stands in a block that runs, or is a form with a placeholder.
    printed = [line for line in text.splitlines() if line.startswith("    scenescope ")]
    assert commands == len(printed) > 8
    assert (place / "out" / "summary.csv").exists()
    assert "mIoU" in (place / "demo" / "report.html").read_text()


@pytest.fixture
def small_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only model there is: an untrained one of the generated scenes."""
    dataset = open_dataset("scenes", "", "test")
    place = tmp_path / "box" / "small"
    torch.manual_seed(0)
    network = create_model("danet", backbone="test_resnet", num_classes=len(dataset.classes), output_stride=16)
    torch.nn.init.normal_(network.head.classifier[1].weight, std=5.0)
    images = torch.stack([torch.from_numpy(dataset[index].image).permute(2, 0, 1) for index in range(4)])
    for _ in range(20):  # until its norms know the images: then it sees several classes, though it has learnt nothing
        network.train()(network.prepare(images))
    save_model(network, dataset.classes, place)
    monkeypatch.setattr("scenescope.checkpoints.find.models_in_box", lambda: {str(place): place})
    return place


def test_the_notebook_runs(small_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = json.loads((ROOT / "docs/attention.ipynb").read_text())
    names: dict[str, object] = {}
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        exec(cell, names)
    assert len(cells) >= 6
    assert "looks most at" in capsys.readouterr().out
    assert all(not cell.get("outputs") for cell in notebook["cells"])


def test_the_gallery_is_made(small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (90, 60), "green").save(tmp_path / "photo.jpg")
    gallery = runpy.run_path(str(ROOT / "docs/make_gallery.py"))
    monkeypatch.setitem(gallery["main"].__globals__, "find_photograph", lambda: tmp_path / "photo.jpg")
    monkeypatch.setitem(gallery["main"].__globals__, "models_in_box", lambda: {str(small_model): small_model})
    monkeypatch.setitem(gallery["main"].__globals__, "screenshots", lambda models, output: None)
    monkeypatch.setitem(gallery["figure"].__globals__, "keep", lambda image, path: shown.append(path.name))
    shown: list[str] = []
    arguments = ["make_gallery.py", "--scenes-model", str(small_model), "--output", str(tmp_path / "gallery")]
    monkeypatch.setattr("sys.argv", arguments)
    gallery["main"]()
    assert shown == ["scene.png", "small.png"]


def test_the_gallery_shows_what_there_is() -> None:
    for image in re.findall(r"!\[.*\]\((.*)\)", (ROOT / "docs/gallery.md").read_text()):
        assert (ROOT / "docs" / image).is_file(), image


def test_make_targets_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        assert set(re.findall(r"^ {4}make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE)) <= targets


def test_what_the_comparison_page_names_exists() -> None:
    """Files of tests, presets with their parameters, and options of the networks."""
    page = (ROOT / "docs/paper-versus-code.md").read_text()
    for file in re.findall(r"`([a-z_/]+\.py)`", page):
        assert (ROOT / file).exists() or (ROOT / "src/scenescope" / file).exists(), file
    rows = re.findall(r"^\| `([\w-]+)` \|.* ([\d,]+) \|$", page, re.MULTILINE)
    assert {preset for preset, _ in rows} == set(PRESETS["danet"])
    for preset, parameters in rows:
        with torch.device("meta"):
            network = create_model("danet", preset=preset, num_classes=19)
        assert count_parameters(network) == int(parameters.replace(",", ""))
    options = {"danet": page.partition("## SANet")[0], "sanet": page.partition("## SANet")[2]}
    for name, text in options.items():
        table = [line.rsplit("|", 2)[1] for line in text.splitlines() if line.startswith("| ")]
        named = {option for cell in table for option in re.findall(r"`([a-z_0-9]+)`:", cell)}
        assert named
        assert named <= {field.name for field in dataclasses.fields(OPTIONS[name])}
