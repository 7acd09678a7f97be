"""Model directories: round trip, damage, and weights of another network."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import timm
import torch

from scenescope.checkpoints import model_directory
from scenescope.checkpoints.model_directory import load_model, save_model
from scenescope.errors import CheckpointError, ModelError, StorageError
from scenescope.files import CHECKSUMS
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

CLASSES = Classes.named(["sky", "road", "car"])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("models") / "first"
    network = create_model("danet", num_classes=3, backbone="resnet18", output_stride=16)
    save_model(network, CLASSES, directory, training={"step": 7})
    return directory


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def test_round_trip(saved: Path) -> None:
    loaded = load_model(saved)
    assert loaded.classes == CLASSES
    assert loaded.training == {"step": 7}
    assert not loaded.network.training
    torch.manual_seed(0)
    network = create_model("danet", num_classes=3, backbone="resnet18", output_stride=16).eval()
    images = torch.randn(1, 3, 40, 40)
    assert torch.equal(loaded.network(images).logits, network(images).logits)
    assert sorted(file.name for file in saved.iterdir()) == [CHECKSUMS, "config.json", "model.safetensors"]


def test_what_could_not_be_loaded_again_is_not_saved(tmp_path: Path) -> None:
    network = create_model("fcn", num_classes=3, backbone="test_resnet", output_stride=32)
    wrapped = torch.nn.DataParallel(network)
    with pytest.raises(ModelError, match=r"A DataParallel is not a network .* such as network\.module"):
        save_model(wrapped, CLASSES, tmp_path / "model")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="has 3 classes, and 2 are named"):
        save_model(network, ["sky", "road"], tmp_path / "model")
    network.head.classifier[1] = torch.nn.Conv2d(network.head.classifier[1].in_channels, 4, 1)
    with pytest.raises(ModelError, match="could not be loaded again"):
        save_model(network, CLASSES, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_averaged_weights_can_be_written_instead(tmp_path: Path) -> None:
    network = create_model("fcn", num_classes=3, backbone="resnet18")
    state = {key: torch.full_like(value, 2) for key, value in network.state_dict().items()}
    save_model(network, CLASSES, tmp_path / "model", weights=state)
    assert load_model(tmp_path / "model").network.head.classifier[1].bias.tolist() == [2, 2, 2]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", CHECKSUMS])
def test_a_flipped_bit_is_found(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 4
    (copied / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged: it does not match its SHA-256"):
        load_model(copied)


def test_a_stray_is_passed_over_but_a_file_that_the_checksums_leave_out_is_damage(copied: Path) -> None:
    (copied / ".DS_Store").write_bytes(b"a folder was looked at")
    assert load_model(copied).classes == CLASSES
    lines = (copied / CHECKSUMS).read_text().splitlines(keepends=True)
    for name in ("config.json", "model.safetensors"):
        (copied / CHECKSUMS).write_text("".join(line for line in lines if name not in line))
        with pytest.raises(CheckpointError, match=f"{name} is damaged"):
            load_model(copied)


def test_a_file_cut_short_is_found_without_checksums_too(copied: Path) -> None:
    (copied / CHECKSUMS).unlink()
    assert load_model(copied).classes == CLASSES
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_model(copied)


def test_a_pickle_in_disguise_is_not_executed(copied: Path, tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> object:
            return (Path.touch, (tmp_path / "executed",))

    (copied / CHECKSUMS).unlink()
    torch.save(Canary(), copied / "model.safetensors")
    with pytest.raises(CheckpointError, match="scenescope loads no pickled weights"):
        load_model(copied)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["classes"].update(names=["a", "b"], palette=[[0, 0, 0]] * 2),
            "2 class names for a network of 3",
        ),
        (lambda c: c["model"].update(backbone="resnet34"), r"not those of the danet .* missing: .* more"),
        (lambda c: c["model"].update(name="fcn"), "fcn: position is not a setting"),
        (lambda c: c["model"].update(num_classes=4), "3 class names for a network of 4"),
        (lambda c: c["model"].update(backbone=["x"]), "does not describe a model of scenescope"),
        (lambda c: c["classes"].update(palette=[[300, -1, 0]] * 3), "three numbers from 0 to 255"),
        (lambda c: c.update(format=99), "written by a newer scenescope; upgrade"),
        (lambda c: c.pop("model"), "lacks 'model'; copy the model again"),
        (lambda c: c["model"].update(refinement_channels=10**13), "does not describe|are not those of the danet"),
        (lambda c: c["model"].update(multi_grid=[1] * 9999), "its description is too long for a network"),
    ],
)
def test_a_config_that_does_not_fit(copied: Path, change, message: str) -> None:
    (copied / CHECKSUMS).unlink()
    config = json.loads((copied / "config.json").read_text())
    change(config)
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        load_model(copied)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000])
def test_a_config_that_is_nested_too_deeply_is_told_in_a_line(copied: Path, text: str) -> None:
    (copied / CHECKSUMS).unlink()
    (copied / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="is not readable JSON") as refusal:
        load_model(copied)
    assert "\n" not in str(refusal.value)


def test_a_config_of_gigabytes_is_not_read(copied: Path) -> None:
    with (copied / "config.json").open("r+b") as file:
        file.truncate(3 * 2**30)  # a hole: it takes no space
    with pytest.raises(CheckpointError, match="is too long to describe a model"):
        load_model(copied)


def test_a_network_larger_than_its_weights_is_refused_before_it_is_built(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / CHECKSUMS).unlink()
    config = json.loads((copied / "config.json").read_text())
    config["model"]["backbone"] = "convnext_xxlarge"
    (copied / "config.json").write_text(json.dumps(config))
    built = []
    create = timm.create_model

    def watched(*arguments: object, **keywords: object) -> torch.nn.Module:
        network = create(*arguments, **keywords)
        built.append({parameter.device.type for parameter in network.parameters()})
        return network

    monkeypatch.setattr(timm, "create_model", watched)
    with pytest.raises(CheckpointError, match="are not those of the danet"):
        load_model(copied)
    assert built
    assert all(devices == {"meta"} for devices in built)


def test_a_model_on_disk_never_fetches_weights(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copied / CHECKSUMS).unlink()
    config = json.loads((copied / "config.json").read_text())
    config["model"]["pretrained"] = True
    (copied / "config.json").write_text(json.dumps(config))
    asked = []
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: asked.append(k["pretrained"]) or create(*a, **k))
    load_model(copied)
    assert asked
    assert not any(asked)


def test_a_model_whose_replacement_was_cut_off_is_still_read(copied: Path) -> None:
    copied.rename(copied.parent / ".model.previous")
    assert load_model(copied).classes == CLASSES


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(copied: Path, missing: str) -> None:
    (copied / missing).unlink()
    with pytest.raises(CheckpointError, match=f"has no {missing}"):
        load_model(copied)


def test_a_full_disk_leaves_the_old_model(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model_directory, "write_tensors", full)
    network = create_model("fcn", num_classes=3, backbone="resnet18")
    with pytest.raises(StorageError, match=r"Cannot write .*model \([0-9,]+ bytes needed\): No space left"):
        save_model(network, CLASSES, copied)
    assert load_model(copied).network.config["name"] == "danet"
    assert [entry.name for entry in copied.parent.iterdir()] == ["model"]
