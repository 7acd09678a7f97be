"""The house itself: floors, the lazy door, the length of files, and the wheel."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import scenescope
from scenescope.recipes.reader import list_ablations, list_recipes, recipe_text

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "scenescope"
HEAVY = ("torch", "torchvision", "numpy", "timm", "matplotlib", "scipy", "PIL", "pydantic", "yaml")


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command; ``path`` is where it finds the package, in place of the installed one."""
    environment = {**os.environ, "COLUMNS": "200", **({"PYTHONPATH": str(path)} if path is not None else {})}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def check_floors(root: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).with_name("lint-imports")
    return run(linter, "--no-cache", "--config", root / "pyproject.toml", cwd=root, path=root / "src")


@pytest.fixture
def copy_of_the_house(tmp_path: Path) -> Path:
    shutil.copytree(SOURCE, tmp_path / "src/scenescope", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_point_down() -> None:
    checked = check_floors(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("models/network.py", "import scenescope.data.images", "models.network -> scenescope.data.images"),
        ("losses.py", "import scenescope.models.catalog", "losses -> scenescope.models.catalog"),
        ("training/log.py", "import scenescope.explore.position", "training.log -> scenescope.explore.position"),
        ("evaluation/scores.py", "import scenescope.training.log", "evaluation.scores -> scenescope.training.log"),
        ("data/folder.py", "import yaml", "scenescope.data.folder -> yaml"),
        ("data/folder.py", "import pycocotools.mask", "scenescope.data.folder -> pycocotools"),
        ("evaluation/scores.py", "import typer", "scenescope.evaluation.scores -> typer"),
        ("drawing/overlay.py", "import torch", "scenescope.drawing.overlay -> torch"),
        ("data/catalog.py", "import scenescope.lab.scenes", "data.catalog -> scenescope.lab.scenes"),
        ("cli/main.py", "import scenescope.lab.commands.demo", "cli.main -> scenescope.lab.commands.demo"),
        ("helpers.py", "", "helpers"),
    ],
)
def test_a_planted_import_is_found(copy_of_the_house: Path, file: str, line: str, told: str) -> None:
    planted = copy_of_the_house / "src/scenescope" / file
    # At the end: what is in front of it must stay where it is.
    planted.write_text((planted.read_text() if planted.exists() else "") + f"\n{line}\n")
    checked = check_floors(copy_of_the_house)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert told in checked.stdout


@pytest.mark.parametrize("statement", ["import scenescope", "from scenescope import ScenescopeError, Classes"])
def test_the_door_is_light(statement: str) -> None:
    script = f"import sys\n{statement}\nprint([name for name in {HEAVY} if name in sys.modules])"
    done = run(sys.executable, "-c", script, cwd=ROOT)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize(
    "command", ["", "check", "train", "evaluate", "predict", "attend", "submit", "demo", "recipes", "models"]
)
def test_help_is_light(command: str) -> None:
    script = (
        "import sys\nfrom scenescope.cli.main import app\n"
        f"app({[*command.split(), '--help']}, standalone_mode=False)\n"
        "print([name for name in ('torch', 'torchvision', 'numpy') if name in sys.modules])"
    )
    done = run(sys.executable, "-c", script, cwd=ROOT)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr
    assert "Usage:" in done.stdout


def test_nothing_of_the_core_loads_the_lab(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind / "train").mkdir(parents=True)
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 2, (40, 40), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"data/masks/train/{number}.png")
        Image.fromarray(pixels * 200).convert("RGB").save(tmp_path / f"data/images/train/{number}.png")
    (tmp_path / "data/classes.yaml").write_text("names: [low, high]")
    network = scenescope.create_model("fcn", num_classes=2, backbone="resnet18", pretrained=False)
    scenescope.save_model(network, ("low", "high"), tmp_path / "model")
    commands = (
        "--help",
        "recipes",
        "predict data/images --model ./model --output out",
        "evaluate folder:data --model ./model --split train",
        "check folder:data --split train",
        "train folder/danet-lite0 data.root=data data.val_split=train data.val_fraction=null train.steps=1"
        " train.batch_size=2 train.num_workers=0 augment.crop=[32,32] model.backbone=resnet18 model.pretrained=false"
        " --output run",
    )
    script = (
        "import sys\nfrom scenescope.cli.main import app\n"
        f"for command in {commands}:\n"
        "    app(command.split(), standalone_mode=False)\n"
        "    print(command, [name for name in sys.modules if name.startswith('scenescope.lab.')])"
    )
    done = run(sys.executable, "-c", script, cwd=tmp_path, path=ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr
    for command in commands:
        assert f"{command} []" in done.stdout


def test_every_public_name_opens() -> None:
    assert set(scenescope.__all__) <= set(dir(scenescope))
    assert set(scenescope.__all__) == {*scenescope._ORIGINS, "__version__"}
    for name in scenescope.__all__:
        value = getattr(scenescope, name)
        origin = scenescope._ORIGINS.get(name, "").partition(":")[0]
        assert name == "__version__" or value.__module__ == origin
        assert name == "__version__" or value.__doc__
    with pytest.raises(AttributeError, match="module 'scenescope' has no attribute 'nonsense'"):
        _ = scenescope.nonsense


def test_type_checkers_see_what_the_door_opens() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "scenescope" in str(node.module)]
    seen = {(name.asname or name.name): f"{node.module}:{name.name}" for node in imports for name in node.names}
    assert seen == scenescope._ORIGINS


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(file.relative_to(SOURCE)): len(file.read_text().splitlines()) for file in SOURCE.rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build a distribution, a "wheel" or an "sdist", without the network."""
    built = run(sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", folder, source, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("scenescope*.whl" if kind == "wheel" else "scenescope*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_source_distribution_holds_code_tests_and_pages_and_nothing_under_another_license(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    pages = {page.name for page in ROOT.glob("*.md")}
    others = {"LICENSE", "Makefile", "PKG-INFO", "pyproject.toml", ".gitignore"}
    assert {name for name in names if "/" not in name} == pages | others
    assert {name.partition("/")[0] for name in names if "/" in name} == {"src", "tests", "docs", "benchmarks"}
    assert {Path(name).suffix for name in names if name.startswith("benchmarks/")} == {".py", ".md"}  # no photographs
    assert not [name for name in names if name.endswith((".safetensors", ".onnx", ".pth"))]
    for folder in ("src/scenescope", "tests", "benchmarks"):  # so its tests run
        files = {file.relative_to(ROOT).as_posix() for file in (ROOT / folder).rglob("*.py")}
        assert {name for name in names if name.startswith(f"{folder}/") and name.endswith(".py")} == files


@pytest.mark.skipif(not (ROOT / "box").is_dir(), reason="the box is another distribution")
def test_the_models_in_the_box_come_with_their_license_and_its_notice(tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", ROOT / "box", tmp_path)) as archive:
        names = {name.partition(".dist-info/")[2] or name for name in archive.namelist()}
        notice = archive.read(next(name for name in archive.namelist() if name.endswith("/NOTICE")))
    assert names >= {"licenses/LICENSE", "licenses/NOTICE"}
    assert sum(name.endswith("/model.safetensors") for name in names) == 2
    assert notice == (ROOT / "box/NOTICE").read_bytes()


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licenses = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    files = {file for file in SOURCE.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert names == {f"scenescope/{file.relative_to(SOURCE).as_posix()}" for file in files}
    assert names >= {"scenescope/py.typed", "scenescope/recipes/camvid/danet-lite0.yaml"}
    assert len(licenses) == 1


def test_the_wheel_runs_where_the_repository_is_not(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target, wheel]
    installed = run(*pip, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr

    where = run(sys.executable, "-c", "import scenescope; print(scenescope.__file__)", cwd=tmp_path, path=target)
    assert where.stdout.strip() == str(target / "scenescope/__init__.py")
    listed = run(sys.executable, "-m", "scenescope", "recipes", cwd=tmp_path, path=target)
    assert listed.returncode == 0, listed.stderr
    names = [*list_recipes(), *list_ablations()]
    assert [line for line in listed.stdout.splitlines() if not line.startswith(" ")] == names
    for name in names[:2]:  # the test above finds the files of all
        printed = run(sys.executable, target / "bin/scenescope", "recipes", name, cwd=tmp_path, path=target)
        assert printed.stdout == recipe_text(name)
