import dataclasses
import pickle
import random

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassConfusionMatrix

from scenescope.data.catalog import open_dataset
from scenescope.errors import ImageError, LabelError, ModelError
from scenescope.evaluation import evaluator
from scenescope.evaluation.boundary import BoundaryCounts
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.image_counts import ImageCounts
from scenescope.inference.predictor import InferenceSettings
from scenescope.inference.segmenter import Segmenter
from scenescope.lab import scenes as street_scenes
from scenescope.models.catalog import create_model


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_counts_equal_a_loop_for_any_batch_size(strongest, scenes, batch_size):
    assert evaluate(strongest, scenes, batch_size=batch_size).counts().tolist() == scenes.slow_matrix()


def test_only_neighbors_of_one_size_share_a_batch(strongest, scenes):
    evaluate(strongest, scenes, batch_size=2)
    assert strongest.batches == [(2, 3, 4, 6), (1, 3, 4, 6), (1, 3, 5, 3), (1, 3, 4, 6), (2, 3, 5, 3)]


@pytest.mark.parametrize("world_size", [2, 3, 10])
def test_shares_of_several_processes_add_up_to_the_whole(strongest, scenes, world_size):
    shares = [evaluate(strongest, scenes, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sum(share.counts() for share in shares).tolist() == scenes.slow_matrix()
    assert len(strongest.batches) == len(scenes)  # no image is looked at twice


@pytest.mark.parametrize(("batch_size", "world_size"), [(1, 1), (3, 1), (2, 3)])
def test_boundaries_are_counted_in_the_same_pass(strongest, scenes, batch_size, world_size):
    expected = BoundaryCounts(3)
    for scene in scenes.scenes:
        predictions = scene.image.argmax(-1)
        expected.update(torch.from_numpy(scene.labels)[None], torch.from_numpy(predictions)[None])
    total = torch.zeros_like(expected.counts)
    for rank in range(world_size):
        boundary = BoundaryCounts(3)
        evaluate(strongest, scenes, batch_size=batch_size, rank=rank, world_size=world_size, boundary=boundary)
        total += boundary.counts
    assert torch.equal(total, expected.counts)
    assert total.all()


@pytest.mark.parametrize(("batch_size", "world_size"), [(1, 1), (3, 1), (2, 3)])
def test_single_images_are_counted_in_the_same_pass(strongest, scenes, batch_size, world_size):
    total = np.zeros((len(scenes), 3, 3), int)
    for rank in range(world_size):
        images = ImageCounts(len(scenes), 3)
        evaluate(strongest, scenes, batch_size=batch_size, rank=rank, world_size=world_size, images=images)
        total += images.array()
    for scene, found in zip(scenes.scenes, total, strict=True):
        matrix = np.zeros((3, 3), int)
        for label, prediction in zip(scene.labels.flat, scene.image.argmax(-1).flat, strict=True):
            if label != 255:
                matrix[label, prediction] += 1
        assert found.tolist() == [matrix.sum(1).tolist(), matrix.sum(0).tolist(), matrix.diagonal().tolist()]


def test_more_memory_than_there_is_becomes_one_line(strongest, scenes, monkeypatch):
    monkeypatch.setattr(Segmenter, "labels", lambda *arguments: torch.empty(2**50))
    told = r"^An image of 6 x 4 pixels needs more memory than there is; scale it down, or .* --window 768\.$"
    with pytest.raises(ImageError, match=told):
        evaluate(strongest, scenes)


def test_settings_beside_those_of_a_segmenter_are_refused(strongest, scenes):
    segmenter = Segmenter(strongest, scenes.classes)
    with pytest.raises(ModelError, match=r"A Segmenter has settings of its own"):
        evaluate(segmenter, scenes, InferenceSettings(flip=True))


def test_real_masks_are_scored_at_their_own_size(real_data):
    camvid = open_dataset("camvid", str(real_data("camvid")), "val")
    dataset = dataclasses.replace(camvid, pairs=camvid.pairs[:2])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = create_model("fcn", backbone="test_resnet", num_classes=len(dataset.classes), output_stride=32)
    found = evaluate(network, dataset, InferenceSettings(window=200), batch_size=2)
    scored = sum(int((scene.labels != 255).sum()) for scene in map(dataset.__getitem__, range(2)))
    assert found.counts().sum() == scored > 340_000  # of 2 x 480 x 360 pixels
    segmenter = Segmenter(network, dataset.classes, settings=InferenceSettings(window=200))
    oracle = MulticlassConfusionMatrix(len(dataset.classes), ignore_index=255)
    for number in range(2):
        labels = segmenter.predict(dataset.files(number)[0]).labels
        oracle.update(torch.from_numpy(labels), torch.from_numpy(dataset[number].labels).long())
    # A pixel may be undecided between batches of 1 and 2.
    assert np.abs(found.counts() - oracle.compute().numpy()).sum() < 1e-4 * scored


def test_settings_reach_the_predictor(strongest, scenes):
    evaluate(strongest, scenes, InferenceSettings(window=3, stride=3))
    assert {shape[-2:] for shape in strongest.batches} == {(3, 3)}


def test_progress_counts_images_of_this_process(strongest, scenes):
    told = []
    evaluate(strongest, scenes, batch_size=2, rank=1, world_size=2, progress=lambda *counts: told.append(counts))
    assert told == [(0, 3), (1, 3), (3, 3)]  # images 1, 3, 5 of sizes 4x6, 5x3, 5x3


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_training_is_not_disturbed(strongest, scenes, num_workers):
    strongest.train()
    strongest.norm[0].eval()  # a frozen norm
    before = [module.training for module in strongest.modules()]
    random_state, numpy_state, torch_state = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    confusion = evaluate(strongest, scenes, num_workers=num_workers, batch_size=2)
    assert confusion.counts().tolist() == scenes.slow_matrix()
    assert [module.training for module in strongest.modules()] == before
    assert random.getstate() == random_state
    assert (np.random.get_state()[1] == numpy_state).all()
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_unfit_mask_is_told_in_one_line(strongest, scenes, num_workers):
    class Unfit(type(scenes)):
        def __getitem__(self, index):
            raise LabelError(f"masks/{index}.png holds 7")

    with pytest.raises(LabelError, match=r"^masks/0.png holds 7$"):
        evaluate(strongest, Unfit([(2, 2)]), num_workers=num_workers)


def test_a_model_of_other_classes_is_refused(strongest, scenes):
    strongest.num_classes = 5
    with pytest.raises(ModelError, match=r"5 classes .*memory.* 3"):
        evaluate(strongest, scenes)


@pytest.fixture
def streets(monkeypatch):
    """Return the first two generated street scenes."""
    monkeypatch.setitem(street_scenes.SPLITS, "val", 2)
    return street_scenes.ScenesDataset("", "val")


def test_spawned_workers_can_be_given_a_share(streets):
    # Spawning starts a process with torch, seconds; what can go wrong in this room is the pickling.
    share = pickle.loads(pickle.dumps(evaluator.Share(streets, range(1, 2))))
    image, labels, _ = share[0]
    assert len(share) == 1
    assert (image.permute(1, 2, 0).numpy() == streets[1].image).all()
    assert (labels.numpy() == streets[1].labels).all()
