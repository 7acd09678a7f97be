"""Which scenes a model has learned from, as far as its directory tells: it disbelieves their labels less."""

from __future__ import annotations

import json
from pathlib import Path

from scenescope.checkpoints.find import find_model
from scenescope.checkpoints.model_directory import CONFIG
from scenescope.config import Config, DataSettings
from scenescope.data.catalog import open_dataset
from scenescope.data.dataset import SegmentationDataset
from scenescope.errors import ScenescopeError

Key = tuple[str, int]


class SeenScenes:
    """The scenes that a model was trained on.

    Args:
        directory: of the model; None, or that of an exported file, tells nothing.
        kind: of the data set that is judged.
        root: its folder, in which the model's own is looked for where it is no longer at its place.

    Attributes:
        complete: whether all is known that the model has learned from, with the model it began from.
    """

    def __init__(self, directory: Path | None, kind: str, root: str) -> None:
        self.complete = True
        self._keys: set[Key] = set()
        followed: set[Path] = set()
        while directory is not None and directory not in followed:
            followed.add(directory)
            recipe = _recipe(directory)
            if recipe is None:
                break
            self._add(recipe.data, kind, root)
            start = recipe.train.init_from
            if start is None:
                return
            if start.startswith("hub:"):  # nothing is downloaded because a file of strangers names it
                break
            try:
                directory = find_model(start)
            except ScenescopeError:
                break
        self.complete = False

    def __call__(self, dataset: SegmentationDataset, index: int) -> bool | None:
        """Whether a scene was trained on; None where that is not known."""
        return True if _key(dataset, index) in self._keys else (False if self.complete else None)

    def _add(self, data: DataSettings, kind: str, root: str) -> None:
        if data.kind != kind:
            return
        for place in (data.root, root):
            try:
                dataset = open_dataset(
                    kind,
                    place,
                    data.train_split,
                    val_fraction=data.val_fraction,
                    val_seed=data.val_seed,
                    classes=data.classes,
                )
            except ScenescopeError:
                continue
            self._keys |= {_key(dataset, index) for index in range(len(dataset))}
            return
        self.complete = False


def _recipe(directory: Path) -> Config | None:
    """The settings of the training that a model came from; None of one from elsewhere."""
    try:
        recipe = json.loads((directory / CONFIG).read_text(encoding="utf-8"))["training"]["recipe"]
        return Config.from_dict(recipe, str(directory / CONFIG)) if isinstance(recipe, dict) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ScenescopeError):
        return None


def _key(dataset: SegmentationDataset, index: int) -> Key:
    """What a scene is known by, also where it was moved or copied to: the name and the length of its image file."""
    files = dataset.files(index)
    if not files:
        return f"{dataset.root} {dataset.name(index)}", 0
    try:
        return files[0].name, files[0].stat().st_size
    except OSError:
        return files[0].name, -1
