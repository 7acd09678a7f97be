"""Which scenes a model has learned from, as far as its directory tells: it disbelieves their labels less."""

from __future__ import annotations

import json
from pathlib import Path

from scenescope.checkpoints.find import find_model
from scenescope.checkpoints.model_directory import CONFIG
from scenescope.config import DataSettings
from scenescope.data.catalog import open_dataset
from scenescope.data.dataset import SegmentationDataset
from scenescope.errors import ScenescopeError
from scenescope.old_names import renamed
from scenescope.settings_reader import read_settings

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
            record = _record(directory)
            if record is None:
                break
            data, start = record
            self._add(data, kind, root)
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


def _record(directory: Path) -> tuple[DataSettings, str | None] | None:
    """What a model was trained on and from which it began; None of one from elsewhere.

    Only these settings are read: others may be older than what is read today.
    """
    try:
        recipe = json.loads((directory / CONFIG).read_text(encoding="utf-8"))["training"]["recipe"]
        data = read_settings(DataSettings, renamed(recipe["data"], "data."), str(directory / CONFIG))
        start = recipe["train"].get("init_from", recipe["train"].get("start_from"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ScenescopeError):
        return None
    return data, None if start is None else str(start)


def _key(dataset: SegmentationDataset, index: int) -> Key:
    """What a scene is known by, also where it was moved or copied to: the name and the length of its image file."""
    files = dataset.files(index)
    if not files:
        return f"{dataset.root.strip() or 0} {dataset.name(index)}", 0  # no seed is seed 0
    try:
        return files[0].name, files[0].stat().st_size
    except OSError:
        return files[0].name, -1
