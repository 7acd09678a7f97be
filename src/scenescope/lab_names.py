"""What lives in ``scenescope.lab``: loaded by name when it is asked for, and not before."""

from __future__ import annotations

from importlib import import_module
from typing import Any

LAB = {
    "ablate": "scenescope.lab.commands.ablate:ablate",
    "demo": "scenescope.lab.commands.demo:demo",
    "submit": "scenescope.lab.commands.submit:submit",
    "explain_folder": "scenescope.lab.layout:explain_folder",
    "explain_unpaired": "scenescope.lab.layout:explain_unpaired",
    "open_scenes": "scenescope.lab.scenes:ScenesDataset",
    "propose": "scenescope.lab.label_suggestions:propose",
    "published_page": "scenescope.lab.published:as_page",
    "published_scores": "scenescope.lab.published:published_scores",
}


def from_lab(name: str) -> Any:
    """Load one of the names of ``LAB``."""
    module, _, attribute = LAB[name].partition(":")
    return getattr(import_module(module), attribute)
