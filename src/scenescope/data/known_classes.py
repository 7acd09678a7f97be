"""The classes of the published data sets, for models whose files do not say what their numbers mean."""

from __future__ import annotations

from scenescope.data.ade20k import CLASSES as ADE20K
from scenescope.data.camvid import CLASSES as CAMVID
from scenescope.data.cityscapes import CLASSES as CITYSCAPES
from scenescope.data.coco_stuff import CLASSES as COCO_STUFF
from scenescope.data.pascal_context import CLASSES_59, CLASSES_60
from scenescope.data.voc2012 import CLASSES as VOC
from scenescope.labels import Classes

KNOWN: dict[str, tuple[Classes, ...]] = {
    "cityscapes": (CITYSCAPES,),
    "voc2012": (VOC,),
    "pascal_context": (CLASSES_59, CLASSES_60),
    "ade20k": (ADE20K,),
    "coco_stuff": (COCO_STUFF,),
    "camvid": (CAMVID,),
}
"""Kind of data set to its classes; no two have as many."""


def classes_by_count(num_classes: int) -> tuple[str, Classes] | None:
    """Return the kind of data set with so many classes, and these; None where there is none."""
    found = ((kind, classes) for kind, choices in KNOWN.items() for classes in choices if len(classes) == num_classes)
    return next(found, None)
