"""Make the images of docs/gallery.md: ``python docs/make_gallery.py [--scenes-model demo/run/best]``.

Needs the models in the box, scikit-learn for its photograph, and for the page's own images Chromium and its driver.
"""

from __future__ import annotations

import argparse
import shutil
import threading
from pathlib import Path

from PIL import Image

from scenescope.checkpoints.find import models_in_box
from scenescope.data.catalog import open_dataset
from scenescope.data.images import read_image
from scenescope.explore.page import PageServer
from scenescope.explore.photographs import find_photographs
from scenescope.explore.session import Session
from scenescope.inference.segmenter import Segmenter
from scenescope.lab.photograph import find_photograph
from scenescope.workflows.attention import FigureOptions, draw_attention, find_inputs

PLACE = Path(__file__).resolve().parent / "gallery"
LARGEST = (1400, 1600)
"""Width and height of an image of the gallery, at most."""


def main() -> None:
    """Make all that can be made here, and say what cannot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scenes-model", type=Path, help="a model of the generated scenes, to show one of them as well"
    )
    parser.add_argument("--output", type=Path, default=PLACE)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    models = {name: Segmenter.load(name) for name in models_in_box()}
    if arguments.scenes_model is not None:
        demo = Segmenter.load(arguments.scenes_model)
        figure("scenes:", demo, arguments.output, "scene", received=True)
    photograph = find_photograph()
    for name, model in models.items():
        if photograph is None:
            print(f"{name}: no photograph, as scikit-learn is not installed")
        else:
            figure(str(photograph), model, arguments.output, Path(name).name)
    if shutil.which("chromedriver") is None:
        print("The page: no Chromium and driver here")
    else:
        screenshots(models, arguments.output)


def figure(source: str, model: Segmenter, output: Path, name: str, received: bool = False) -> None:
    """Draw the figure of one image."""
    subject = find_inputs([source], output, model, split="test", scenes=[], truth=None)[0]
    scratch = output / "scratch"
    draw_attention(subject, model, FigureOptions(received=received), scratch)
    keep(Image.open(scratch / f"{subject.name}_figure.png"), output / f"{name}.png")
    shutil.rmtree(scratch)


def screenshots(models: dict[str, Segmenter], output: Path) -> None:
    """Show the page after a click, and after a class is cut, on a desk and on a telephone."""
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait

    examples = {name: read_image(path) for name, path in find_photographs().items()}
    examples["A generated street"] = open_dataset("scenes", "", "test")[0].image
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1360,1000"):
        options.add_argument(argument)
    with PageServer(Session(models, next(iter(examples.values())), examples), port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))

        def until(script: str) -> None:
            WebDriverWait(driver, 120).until(lambda page: page.execute_script(f"return Boolean({script})"))

        def click(x: float, y: float) -> None:
            """Click at a place of the image, both 0..1."""
            driver.execute_script(
                """const scene = at("scene"), box = scene.getBoundingClientRect();
                scene.dispatchEvent(new MouseEvent("click", { clientX: box.left + arguments[0] * box.width,
                                                              clientY: box.top + arguments[1] * box.height }));""",
                x,
                y,
            )
            until("!document.body.hasAttribute('aria-busy')")

        try:
            driver.get(server.url)
            until("state.panes.length && state.panes[0].seen && !document.body.hasAttribute('aria-busy')")
            click(0.3, 0.85)
            for name, size in (("page", (1360, 1000)), ("page-phone", (412, 1000))):
                driver.set_window_size(*size)
                driver.save_screenshot(str(output / f"{name}.png"))
            driver.set_window_size(1360, 1000)
            driver.find_element("xpath", "//*[@id='tool']//input[@value='class']/..").click()
            click(0.5, 0.95)
            driver.save_screenshot(str(output / "page-cut.png"))
        finally:
            driver.quit()
            server.shutdown()


def keep(image: Image.Image, path: Path) -> None:
    """Save an image small, in 256 colors."""
    small = image.convert("RGB")
    small.thumbnail(LARGEST, Image.Resampling.LANCZOS)
    small.quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main()
