"""The data sets by name, and how ``KIND:ROOT`` is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from scenescope.bands import BandRule
from scenescope.data.ade20k import open_ade20k
from scenescope.data.camvid import open_camvid
from scenescope.data.cityscapes import open_cityscapes
from scenescope.data.coco_stuff import CHOICES as COCO_STUFF_CHOICES
from scenescope.data.coco_stuff import open_coco_stuff
from scenescope.data.dataset import FileDataset, SegmentationDataset
from scenescope.data.folder import open_folder
from scenescope.data.folds import open_fold
from scenescope.data.pascal_context import CHOICES as PASCAL_CONTEXT_CHOICES
from scenescope.data.pascal_context import open_pascal_context
from scenescope.data.raster_dataset import open_raster
from scenescope.data.raster_yaml import FILE as RASTER_YAML
from scenescope.data.voc2012 import open_voc2012
from scenescope.errors import DataError, nearest
from scenescope.lab_names import from_lab


def _open_scenes(root: str, split: str) -> SegmentationDataset:
    dataset: SegmentationDataset = from_lab("open_scenes")(root, split)
    return dataset


DATASETS: dict[str, Callable[[str, str], SegmentationDataset]] = {
    "scenes": _open_scenes,
    "folder": open_folder,
    "raster": open_raster,
    "camvid": open_camvid,
    "cityscapes": open_cityscapes,
    "voc2012": open_voc2012,
    "pascal_context": open_pascal_context,
    "coco_stuff": open_coco_stuff,
    "ade20k": open_ade20k,
}
"""Kind of data set to the function that opens a split of it, given root and split."""

CLASS_CHOICES: dict[str, tuple[str, ...]] = {
    "pascal_context": PASCAL_CONTEXT_CHOICES,
    "coco_stuff": COCO_STUFF_CHOICES,
}
"""The kinds whose classes are a choice, the default first; their functions take ``classes`` besides."""


def parse_source(source: str) -> tuple[str, str]:
    r"""Split ``KIND:ROOT``, such as ``camvid:DIR``, at the first colon into kind and root.

    Raises:
        DataError: no colon, an unknown kind, or a Windows path such as ``C:\photos`` without a kind.
    """
    kind, colon, root = source.partition(":")
    if not colon:
        if kind in DATASETS:
            raise DataError(f"{source!r} lacks its folder; write {kind}:{'' if kind == 'scenes' else 'DIR'}.")
        meant = "raster" if (Path(source) / RASTER_YAML).is_file() else "folder"
        raise DataError(f"{source!r} does not say what kind of data set it is; write {meant}:{source} ({_known()}).")
    if len(kind) == 1:
        raise DataError(f"{source!r} is a Windows path without a kind of data set; write folder:{source} ({_known()}).")
    _require_known(kind)
    return kind, root


def open_dataset(
    kind: str,
    root: str,
    split: str,
    *,
    val_fraction: float | None = None,
    val_seed: int = 0,
    classes: str | int | None = None,
    rule: BandRule | None = None,
) -> SegmentationDataset:
    """Open a split of a data set.

    Args:
        kind: a key of ``DATASETS``.
        root: its folder; for ``scenes`` a seed or nothing.
        split: such as ``train`` or ``val``, or a fold of one (see ``open_fold``).
        val_fraction: for ``folder`` only; see ``open_folder``.
        val_seed: the seed of that draw.
        classes: for the kinds in ``CLASS_CHOICES`` only; see ``open_pascal_context`` and ``open_coco_stuff``.
        rule: how images are seen, in the place of what the data set declares itself.

    Raises:
        DataError: an unknown kind or split, no folder given, or a data set that is not fit to use.
    """
    if rule is not None:
        dataset = open_dataset(kind, root, split, val_fraction=val_fraction, val_seed=val_seed, classes=classes)
        if not isinstance(dataset, FileDataset):
            raise DataError(
                f"bands and range are declared, but {kind}: makes its images itself. Remove data.bands and data.range."
            )
        return replace(dataset, rule=rule)
    _require_known(kind)
    if kind != "scenes" and not root.strip():
        raise DataError(f"{kind}: needs the folder of the data set; write {kind}:DIR, or in a recipe data.root=DIR.")
    if val_fraction is not None and kind != "folder":
        raise DataError(f"val_fraction is for folder: data sets; {kind}: has splits of its own. Remove val_fraction.")
    if classes is not None and kind not in CLASS_CHOICES:
        choices = "; ".join(f"{other}: {', '.join(known)}" for other, known in CLASS_CHOICES.items())
        raise DataError(f"classes={classes} is given, but {kind}: leaves no choice ({choices}). Remove classes.")

    def open_split(name: str) -> SegmentationDataset:
        if val_fraction is not None:
            return open_folder(root, name, val_fraction=val_fraction, val_seed=val_seed)
        if classes is None:
            return DATASETS[kind](root, name)
        open_with = open_pascal_context if kind == "pascal_context" else open_coco_stuff
        return open_with(root, name, classes=str(classes))

    return open_fold(split, open_split)


def _require_known(kind: str) -> None:
    if kind not in DATASETS:
        raise DataError(f"Unknown kind of data set {kind!r}; {_known()}.{nearest(kind, DATASETS)}")


def _known() -> str:
    return f"known are {', '.join(f'{kind}:' for kind in DATASETS)}"
