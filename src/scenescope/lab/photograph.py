"""A real photograph for the demo, where scikit-learn is installed: its wheel carries one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

CREDIT = "photograph: china.jpg, danielbuechele, flickr.com/photos/danielbuechele/6061409035, CC BY 2.0"


def find_photograph() -> Path | None:
    """Return the file, or None without scikit-learn, which is not imported."""
    package = importlib.util.find_spec("sklearn")
    for place in (package.submodule_search_locations or []) if package is not None else []:
        path = Path(place) / "datasets" / "images" / "china.jpg"
        if path.is_file():
            return path
    return None
