import numpy as np
import pytest
from PIL import Image

from scenescope.drawing.panels import Legend, Panel, draw_panels, save_panels

IMAGE = np.full((40, 60, 3), 128, np.uint8)
MAP = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_every_panel_has_its_title_its_scale_and_its_marks():
    rows = [
        [Panel("image", IMAGE, points=[(3, 4), (50, 30)]), Panel("map", IMAGE, MAP, [(3, 4)], first=7)],
        [Panel("bars", bars=np.array([0.1, 0.9], np.float32))],
    ]
    figure = draw_panels(rows, Legend(["road", "sky"], [(1, 2, 3), (4, 5, 6)]))
    figure.draw_without_rendering()  # lays it out
    titles = [axes.get_title() for axes in figure.axes]
    assert [title for title in titles if title] == ["image", "map", "bars"]
    image, painted = (next(axes for axes in figure.axes if axes.get_title() == title) for title in ("image", "map"))
    assert len(figure.axes) == 5  # two of them scales, of which one is unseen
    assert image.get_position().y0 == pytest.approx(painted.get_position().y0, abs=0.02)
    assert [text.get_text() for text in image.texts] == ["1", "2"]
    assert [text.get_text() for text in painted.texts] == ["7"]
    assert painted.images[1].get_clim() == (0, 11)
    # The map lies over the whole image, whatever its own size.
    assert painted.images[0].get_extent() == painted.images[1].get_extent()
    assert [text.get_text() for text in figure.legends[0].texts] == ["road", "sky"]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_formats(kind, tmp_path):
    path = tmp_path / f"figure.{kind}"
    save_panels([[Panel("costs $5 or $6", IMAGE, MAP)]], path)  # no formula
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert path.read_bytes().startswith(start)
    if kind == "png":
        with Image.open(path) as figure:
            assert figure.width == 600  # 3 inches at 200 dots
