"""Freely licensed photographs to try a model on, where packages that carry them are installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_CARRIED = {
    "Summer Palace (danielbuechele, CC BY 2.0)": ("sklearn", "datasets/images/china.jpg"),
    "Flower (vultilion, CC BY 2.0)": ("sklearn", "datasets/images/flower.jpg"),
    "Grace Hopper (US Navy, public domain)": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
"""What and by whom: in which package, and where in it."""


def find_photographs() -> dict[str, Path]:
    """Return the files that are here by what they show and who took them; no package is imported."""
    found = {}
    for name, (package, place) in _CARRIED.items():
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec is not None else []:
            if (path := Path(folder) / place).is_file():
                found[name] = path
    return found
