"""What a model is called, and that a path never touches the network."""

import sys
import types
from pathlib import Path

import huggingface_hub
import pytest

from scenescope.checkpoints import find
from scenescope.checkpoints.find import BOX_PACKAGE, _tell_license, find_model
from scenescope.errors import CheckpointError


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    calls: list[object] = []

    def download(*arguments: object, **options: object) -> str:
        calls.append(arguments)
        raise ConnectionError("no network\nsecond line")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return calls


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path]:
    module = types.ModuleType(BOX_PACKAGE)
    module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    module.NOTICE = "for non-commercial use"  # type: ignore[attr-defined]
    module.MODELS = {"camvid-danet": tmp_path / "a", "camvid-sanet": tmp_path / "b"}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, BOX_PACKAGE, module)
    return module.MODELS  # type: ignore[no-any-return,attr-defined]


@pytest.mark.parametrize("path", ["./missing", "runs/missing/best", "missing.safetensors", "/missing"])
def test_a_missing_path_never_touches_the_network(no_hub: list[object], path: str) -> None:
    with pytest.raises(CheckpointError, match=r"There is no model at .*missing"):
        find_model(path)
    assert no_hub == []


def test_bare_words_are_models_in_the_box(box: dict[str, Path]) -> None:
    assert find_model("camvid-sanet") == box["camvid-sanet"]
    assert find_model(None) == box["camvid-danet"]
    with pytest.raises(CheckpointError, match=r"no model 'camvid-dante' in the box .*Did you mean 'camvid-danet'"):
        find_model("camvid-dante")


def test_the_license_of_the_box_is_said_once(box: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _tell_license.cache_clear()
    for name in ("camvid-sanet", None, "camvid-danet"):
        find_model(name)
    assert capsys.readouterr().err == "for non-commercial use\n"


def test_without_a_box_the_ways_out_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(find, "models_in_box", dict)
    (tmp_path / "best").mkdir()
    with pytest.raises(
        CheckpointError, match=r"no models are installed.*--model DIR.*scenescope demo.*pip install ./box"
    ):
        find_model(None)
    with pytest.raises(CheckpointError, match=r"For the folder of that name, write ./best"):
        find_model("best")
    assert find_model("./best") == Path("best")
    assert find_model(Path("best")) == Path("best")


def test_hub_errors_are_one_line(no_hub: list[object]) -> None:
    with pytest.raises(CheckpointError, match=r"hub:org/name could not be downloaded \(ConnectionError: no network\)"):
        find_model("hub:org/name")
    assert len(no_hub) == 1
    with pytest.raises(CheckpointError, match=r"the form is hub:organization/name"):
        find_model("hub:name")


def test_the_home_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert find_model("~/model") == tmp_path / "model"
