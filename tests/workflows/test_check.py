"""A folder broken in many ways, each of which is told; and one that is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.data.catalog import open_dataset
from scenescope.data.label_counts import count_pixels
from scenescope.errors import DataError
from scenescope.losses import median_frequency_weights
from scenescope.workflows.check import MAX_TOLD, THUMBNAILS, check_dataset, write_contact_sheet

SCENES = 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits of four scenes of 6 x 4 pixels; every mask holds 0, 1 and 255, the latter ignored."""
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / kind / split).mkdir(parents=True)
        for number in range(SCENES):
            save(tmp_path / "images" / split / f"{number}.png", generator.integers(0, 256, (4, 6, 3)))
            mask = np.where(np.arange(24).reshape(4, 6) < 4 + number, 1, 0)
            mask[3, 5] = 255
            save(tmp_path / "masks" / split / f"{number}.png", mask)
    (tmp_path / "classes.yaml").write_text("names: [low, high]\nignore: 255\n")
    return tmp_path


def save(path: Path, array: np.ndarray) -> None:
    Image.fromarray(array.astype(np.uint8)).save(path)


def test_a_whole_folder_is_fit_and_its_numbers_are_those_of_a_loop(folder: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    found = check_dataset("folder", str(folder), progress=lambda *step: steps.append(step))
    assert found.fit
    assert steps == [(split, done, SCENES) for split in ("train", "val") for done in range(1, SCENES + 1)]
    train = found.splits[0]
    assert (train.num_scenes, train.sizes, train.absent, train.notes) == (SCENES, {(6, 4): SCENES}, [], [])
    pixels = count_pixels(open_dataset("folder", str(folder), "train"))
    assert train.pixels == pixels.tolist() == [4 * 23 - 22, 4 + 5 + 6 + 7]
    assert train.counts[255] == SCENES
    assert found.class_weights == pytest.approx(
        median_frequency_weights(torch.tensor(train.pixels), 0.5).tolist(), 1e-3
    )
    assert json.loads(json.dumps(found.to_json()))["splits"][1]["pixels"] == {"low": 70, "high": 22}


def test_all_faulty_scenes_are_counted_and_the_first_told(folder: Path) -> None:
    for number in range(SCENES):
        save(folder / "masks" / "train" / f"{number}.png", np.full((4, 6), 7))
    (folder / "images" / "val" / "1.png").write_bytes(b"no image")
    save(folder / "masks" / "val" / "2.png", np.zeros((3, 3)))
    found = check_dataset("folder", str(folder))
    train, val = found.splits
    assert not found.fit
    assert train.faulty == {"unknown label": SCENES}
    assert [sentence.partition(":")[0] for sentence in train.faults["unknown label"]] == [
        str(folder / "masks" / "train" / f"{number}.png") for number in range(MAX_TOLD)
    ]
    assert val.faulty == {"image unreadable": 1, "mask of another size": 1}
    assert found.class_weights is None
    assert found.proposals == [
        "The masks hold 4 values for 2 names, 7 (54.2%), 0 (35.0%), 1 (9.0%), 255 (1.7%): `names: [background, low, "
        "high]`, `values: [0, 1, 7]`; a class for what is nothing else is missing (where nobody labeled it, leave it "
        "out and ignore it)."
    ]
    assert found.to_json()["fit"] is False


def test_what_is_proposed_makes_the_folder_fit(folder: Path) -> None:
    red, green = np.array([128, 0, 0]), np.array([0, 128, 0])
    for split in ("train", "val"):
        for number in range(SCENES):
            path = folder / "masks" / split / f"{number}.png"
            mask = np.asarray(Image.open(path))[:, :, None]
            save(path, np.where(mask == 255, 0, np.where(mask == 1, green, red)))
    (proposal,) = check_dataset("folder", str(folder)).proposals
    # Black is a class before it is ignored.
    lines = [part for part in proposal.split("`") if ": [" in part]
    (folder / "classes.yaml").write_text("\n".join(lines))
    found = check_dataset("folder", str(folder))
    assert found.fit
    assert found.splits[0].classes.names == ("background", "low", "high")
    assert found.splits[0].pixels == [4, 70, 22]


def test_splits_that_do_not_open_are_told_beside_those_that_do(folder: Path) -> None:
    (folder / "masks" / "val" / "3.png").unlink()
    found = check_dataset("folder", str(folder))
    assert [split.split for split in found.splits] == ["train"]
    assert len(found.unopened) == 1
    assert "3.png has no mask in" in found.unopened[0]
    assert not found.fit
    assert check_dataset("folder", str(folder), ["train"]).fit
    # Told once, not once for each split.
    assert len(check_dataset("folder", str(folder / "none")).unopened) == 1


def test_one_of_val_and_test_is_enough_but_train_must_be_there(folder: Path) -> None:
    for kind in ("images", "masks"):
        (folder / kind / "val").rename(folder / kind / "test")
    found = check_dataset("folder", str(folder))
    assert found.fit
    assert found.splits[0].notes == ["There is no split 'val'; score on test (data.val_split=test)."]
    for kind in ("images", "masks"):
        (folder / kind / "train").rename(folder / kind / "practice")
    assert "has no split 'train'" in check_dataset("folder", str(folder)).unopened[0]
    assert check_dataset("folder", str(folder), ["practice", "test"]).fit
    assert "has no split 'val'" in check_dataset("folder", str(folder), ["practice", "val"]).unopened[0]


def test_splits_without_labels_are_unfit_unless_it_is_test(folder: Path) -> None:
    for kind in ("images", "masks"):
        (folder / kind / "test").mkdir()
    save(folder / "images" / "test" / "0.png", np.ones((4, 6, 3)))
    save(folder / "masks" / "test" / "0.png", np.full((4, 6), 255))
    found = check_dataset("folder", str(folder))
    assert (found.fit, found.unteachable, found.splits[2].unlabeled) == (True, [], 1)
    assert not check_dataset("folder", str(folder), ["test"]).fit
    for number in range(SCENES):
        save(folder / "masks" / "val" / f"{number}.png", np.full((4, 6), 255))
    found = check_dataset("folder", str(folder))
    assert (found.fit, found.splits[1].absent) == (False, ["low", "high"])
    assert found.unteachable == ["val: no pixel has a class; check masks and ignored values."]
    for number in range(SCENES):
        save(folder / "masks" / "train" / f"{number}.png", np.full((4, 6), 1))
    assert "train: 'high' fills 100 %" in check_dataset("folder", str(folder)).unteachable[1]


def test_a_name_without_a_pixel_is_unfit_where_the_user_gave_it(folder: Path) -> None:
    (folder / "classes.yaml").write_text("names: [low, high, none, never]\nignore: 255\n")
    found = check_dataset("folder", str(folder))
    assert found.unteachable == [
        "No mask of train, val has a pixel of never, none: take the name out of classes.yaml, or correct the values or "
        "colors of the class."
    ]
    assert "`names: [low, high]`" in found.proposals[0]
    # One that only val has is told and no more.
    save(folder / "masks" / "val" / "0.png", np.arange(24).reshape(4, 6) % 4)
    found = check_dataset("folder", str(folder))
    assert (found.fit, found.splits[0].absent) == (True, ["none", "never"])


def test_identical_images_of_two_splits_are_found_whatever_their_format(folder: Path) -> None:
    with Image.open(folder / "images" / "train" / "2.png") as image:
        image.save(folder / "images" / "val" / "0.bmp")
    (folder / "images" / "val" / "0.png").unlink()
    # Two of one split are no reason to doubt a score.
    save(folder / "images" / "train" / "1.png", np.asarray(Image.open(folder / "images" / "train" / "0.png")))
    found = check_dataset("folder", str(folder))
    assert (found.num_identical, found.identical) == (1, ["2 of train is 0 of val"])
    assert found.fit


def test_options_reach_the_data_set(folder: Path) -> None:
    for kind in ("images", "masks"):
        for path in (folder / kind / "train").iterdir():
            path.rename(folder / kind / path.name)
        for split in ("train", "val"):
            for path in (folder / kind / split).iterdir():
                path.unlink()
            (folder / kind / split).rmdir()
    found = check_dataset("folder", str(folder), val_fraction=0.25)
    assert [split.num_scenes for split in found.splits] == [3, 1]
    assert "leaves no choice" in check_dataset("folder", str(folder), classes="60").unopened[0]


def test_real_numbers_are_those_published_and_the_sheet_shows_scenes(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    found = check_dataset("voc2012", str(real_data("voc2012")), ["val"])
    (val,) = found.splits
    assert found.fit
    assert (val.num_scenes, val.absent, len(val.thumbnails)) == (50, [], THUMBNAILS)
    assert "not the published 1,449" in val.notes[0]
    write_contact_sheet(val, tmp_path / "val.png")
    with Image.open(tmp_path / "val.png") as sheet:
        assert sheet.width == 4 * 248 + 8
        assert sheet.height > 3 * 200


def test_a_process_that_is_killed_is_an_error_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: object) -> None:
        raise DataError("was killed")

    monkeypatch.setattr("scenescope.workflows.check.scan", killed)
    with pytest.raises(DataError, match="was killed"):
        check_dataset("folder", str(folder))
