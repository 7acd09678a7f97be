"""Trained models for scenescope, for non-commercial use; see LICENSE and NOTICE."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent

MODELS = {
    name: _HERE / name
    for name in ("camvid-danet-lite0", "camvid-sanet-lite0")
    if (_HERE / name / "config.json").is_file()
}
"""The directory of each model by its name; the first is the one that is used when none is named."""

NOTICE = (
    "The models in the box were trained on CamVid and are for non-commercial use (CC BY-NC 4.0;"
    " credit: Brostow, Fauqueur, Cipolla 2009)."
)
"""Said once by whoever loads one of them."""
