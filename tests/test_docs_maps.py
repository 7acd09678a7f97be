"""Every command of docs/maps.md runs, in order, as it is printed; only the training is cut short."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from scenescope.checkpoints import find
from scenescope.cli.main import app
from scenescope.data.geometry import in_crs
from scenescope.recipes import reader
from tests.geotiff import write_map
from tests.test_readme import BLOCK, ROOT, box_of_short_recipes, short_recipe

PAGE = (ROOT / "docs/maps.md").read_text()


def layer(path: Path, width: int, *properties: dict[str, str]) -> None:
    """A layer of rectangles side by side."""
    features = []
    for number, each in enumerate(properties):
        left, right = number * width, (number + 1) * width
        corners = ((left, 0), (right, 0), (right, 250), (left, 250), (left, 0))
        ring = [[500_000 + x / 2, 5_500_000 - y / 2] for x, y in corners]
        geometry = in_crs({"type": "Polygon", "coordinates": [ring]}, "EPSG:32633", "OGC:CRS84")
        features.append({"type": "Feature", "properties": each, "geometry": geometry})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's example data, and short recipes."""
    monkeypatch.setattr(reader, "load_recipe", lambda name, overrides=(): short_recipe(name, [*overrides, *ALONE]))
    monkeypatch.setattr(find, "models_in_box", lambda: box_of_short_recipes(tmp_path / "box"))
    monkeypatch.setattr(find, "_tell_license", lambda: None)
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    write_map(tmp_path / "area.tif", random.integers(1, 255, (250, 400, 3)).astype("uint8"), nodata=0)
    (tmp_path / "mine").mkdir()
    write_map(tmp_path / "mine/area.tif", random.integers(1, 4000, (250, 1600, 4)).astype("uint16"))
    layer(tmp_path / "parcels.geojson", 400, {"name": "parcel 7"})
    layer(tmp_path / "mine/labels.geojson", 32, *[{"class": name} for name in ["field", "meadow", "road", "pond"] * 12])
    example = re.search(r"((?:    .+\n)+)", PAGE[PAGE.index("    names:") :])
    assert example is not None
    text = re.sub("^    ", "", example[1], flags=re.MULTILINE)
    (tmp_path / "mine/raster.yaml").write_text(
        f"{text}block: 128\nmargin: 10\nseed: 1\nsplits: {{train: 0.5, val: 0.5}}\n"
    )
    return tmp_path


ALONE = ("train.init_from=null",)


def test_every_command_runs(place: Path) -> None:
    commands = 0
    for block in BLOCK.finditer(PAGE):
        for line in filter(None, (line.strip() for line in block["shell"].splitlines())):
            program, *arguments = shlex.split(line, comments=True)
            assert program == "scenescope"
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
            commands += 1
    assert commands == len([line for line in PAGE.splitlines() if line.startswith("    scenescope ")]) == 8
    written = {path.name for path in (place / "out").iterdir()} - {".fingerprint"}
    assert written == {"area_labels.tif", "areas.geojson", "areas.gpkg", "areas.csv", "parcels.csv"}
    assert "parcel 7" in (place / "out/parcels.csv").read_text()
    assert (place / "out4/area_labels.tif").exists()
