from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from scenescope.data.settings import AugmentSettings, DataSettings


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        (DataSettings, {"kind": "folder", "root": "DIR", "val_fraction": 0.2}),
        (DataSettings, {"kind": "pascal_context", "root": "DIR", "classes": 60}),
        (DataSettings, {"kind": "coco_stuff", "root": "DIR", "classes": "voc"}),
        (AugmentSettings, {"crop": [240, 320], "scale": [0.5, 2], "flip": 0.5, "hue": 0.1}),
    ],
)
def test_plain_values_are_taken_and_unknown_keys_refused(settings: type[Any], values: dict[str, Any]) -> None:
    adapter = TypeAdapter(settings)
    assert adapter.validate_python(values) == settings(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    )
    with pytest.raises(ValidationError, match="misspelt"):
        adapter.validate_python({**values, "misspelt": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"crop": [0, 320]},
        {"crop": [240]},
        {"scale": [0, 1]},
        {"scale": [2, 1]},
        {"flip": 1.5},
        {"brightness": -0.1},
        {"hue": 0.6},
        {"rare_class_share": 1.1},
        {"max_class_share": 0},
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        TypeAdapter(AugmentSettings).validate_python({"crop": [240, 320], **change})


@pytest.mark.parametrize("fraction", [0, 1, -0.5])
def test_val_fraction_lies_between_0_and_1(fraction: float) -> None:
    with pytest.raises(ValidationError, match="val_fraction"):
        TypeAdapter(DataSettings).validate_python({"kind": "folder", "val_fraction": fraction})


def test_settings_and_catalogue_load_no_torch() -> None:
    code = "import sys, scenescope.data.settings, scenescope.data.catalog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
