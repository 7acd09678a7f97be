import hashlib
import subprocess
import sys

import numpy as np
import pytest

from scenescope.errors import DataError
from scenescope.lab.scenes import CLASSES, SPLITS, ScenesDataset

FINGERPRINT = """
import hashlib
from scenescope.lab.scenes import ScenesDataset
scene = ScenesDataset("7", "val")[12]
print(hashlib.sha256(scene.image.tobytes() + scene.labels.tobytes()).hexdigest())
"""


def digest(dataset: ScenesDataset, index: int) -> str:
    scene = dataset[index]
    return hashlib.sha256(scene.image.tobytes() + scene.labels.tobytes()).hexdigest()


def test_scene_is_the_same_in_another_process() -> None:
    outcome = subprocess.run([sys.executable, "-c", FINGERPRINT], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == digest(ScenesDataset("7", "val"), 12)


def test_scene_depends_on_nothing_drawn_before() -> None:
    dataset = ScenesDataset("", "train")
    first = digest(dataset, 5)
    np.random.seed(3)
    for index in range(4):
        dataset[index]
    assert digest(dataset, 5) == first


def test_seed_split_and_index_each_give_another_scene() -> None:
    digests = {digest(ScenesDataset(root, split), index) for root in ("0", "1") for split in SPLITS for index in (0, 1)}
    assert len(digests) == 2 * len(SPLITS) * 2


def test_splits_share_no_image() -> None:
    seen: dict[bytes, str] = {}
    for split in SPLITS:
        dataset = ScenesDataset("", split)
        for index in range(40):
            image = dataset[index].image.tobytes()
            assert seen.setdefault(image, split) == split


def test_empty_root_is_seed_zero() -> None:
    assert digest(ScenesDataset("", "val"), 3) == digest(ScenesDataset("0", "val"), 3)


def test_every_class_is_in_most_scenes_and_every_pixel_is_labeled() -> None:
    dataset = ScenesDataset("", "val")
    scenes = [dataset[index] for index in range(50)]
    counts = np.array([np.bincount(scene.labels.ravel(), minlength=256) for scene in scenes])
    assert not counts[:, len(CLASSES) :].any()
    present = (counts[:, : len(CLASSES)] >= 50).mean(axis=0)
    assert (present > 0.8).all(), dict(zip(CLASSES.names, present, strict=True))
    shares = counts.sum(axis=0)[: len(CLASSES)] / counts.sum()
    assert shares.max() < 0.4
    assert shares.min() > 0.02


def test_labels_lie_where_the_image_shows_the_thing() -> None:
    """Edges of labels fall on edges of the image: there, colors differ far more than inside the areas."""
    dataset = ScenesDataset("", "val")
    across, within = [], []
    for index in range(20):
        scene = dataset[index]
        step = abs(scene.image[:, 2:].astype(int) - scene.image[:, :-2]).mean(axis=2)
        edge = scene.labels[:, 2:] != scene.labels[:, :-2]
        across.append(step[edge].mean())
        within.append(step[~edge].mean())
    assert np.mean(across) > 2.5 * np.mean(within)


def test_sky_is_above_and_ground_below() -> None:
    dataset = ScenesDataset("", "val")
    labels = np.stack([dataset[index].labels for index in range(20)])
    sky, road = CLASSES.names.index("sky"), CLASSES.names.index("road")
    assert not (labels[:, 80:] == sky).any()
    assert not (labels[:, :40] == road).any()


def test_scene_has_the_promised_form() -> None:
    dataset = ScenesDataset("", "test")
    scene = dataset[99]
    assert (scene.image.shape, scene.image.dtype) == ((128, 192, 3), np.uint8)
    assert (scene.labels.shape, scene.labels.dtype) == ((128, 192), np.uint8)
    assert scene.name == dataset.name(99) == "test-099"
    assert dataset.files(99) == ()
    assert len(list(dataset)) == len(dataset) == 100


@pytest.mark.parametrize("index", [-1, 400])
def test_index_outside_is_refused(index: int) -> None:
    with pytest.raises(IndexError, match=rf"Scene {index} of 400 in split 'train'"):
        ScenesDataset("", "train")[index]


@pytest.mark.parametrize("root", ["data/camvid", "-1", "1.5", "²"])
def test_root_that_is_no_seed_says_what_to_write(root: str) -> None:
    with pytest.raises(DataError, match=r"scenes:.* is not a seed; write scenes: or scenes:7"):
        ScenesDataset(root, "train")


def test_unknown_split_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no split 'tain'; choose train, val, test\. Did you mean 'train'\?"):
        ScenesDataset("", "tain")
