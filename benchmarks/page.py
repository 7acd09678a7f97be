"""How long a click and a cut on the page take, in a real browser: until the answer is painted over the image.

    python benchmarks/page.py [--model MODEL] [--image PHOTO] [--times 40]

The image is scaled to 480 x 360; its forward pass is done once, when it is opened. Cuts are strokes of the brush here
and there, classes, and both scales. Needs Chromium and its driver (Debian: chromium and chromium-driver). Writes
benchmarks/page.md beside this file. Below stands what a click needs without the browser where there are many classes
and positions, in DANets of random weights on noise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from measure import machine
from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from scenescope.data.catalog import open_dataset
from scenescope.data.images import read_image
from scenescope.explore.page import PageServer
from scenescope.explore.photographs import find_photographs
from scenescope.explore.session import Session
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

PAGE = Path(__file__).with_name("page.md")
SIZE = 480, 360
MANY_CLASSES, LARGE = 150, 1024
PAINTED = """
const done = arguments[2], x = arguments[0], y = arguments[1], started = performance.now();
(function look() {
  if (ready()) requestAnimationFrame(() => done(performance.now() - started));
  else setTimeout(look, 1);
})();
"""
CLICK = """
const box = at("scene").getBoundingClientRect(), answered = state.points[0];
const ready = () => state.points[0] !== answered;
at("scene").dispatchEvent(new MouseEvent("click",
  { clientX: box.left + arguments[0] * box.width, clientY: box.top + arguments[1] * box.height }));
"""
CUT = """
const pane = state.panes[0], width = pane.image.width, height = pane.image.height, before = pane.result;
const ready = () => pane.result !== before && !pane.cutting && !pane.stale;
"""
CUTS = {
    "brush": "stroke(pane, [arguments[0] * width, arguments[1] * height], [width / 2, height / 2]); settle();",
    "class": "pick('tool', 'class'); act(pane, ~~(arguments[0] * width), ~~(arguments[1] * height));",
    "alpha": "knife().alpha = 4 * arguments[0]; settle();",
    "beta": "knife().beta = 4 * arguments[1]; settle();",
}


def main() -> None:
    """Click and cut here and there, and write the page of results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="of the box when not given")
    parser.add_argument("--image", type=Path, help="a photograph that an installed package carries when not given")
    parser.add_argument("--times", type=int, default=40, help="clicks, and cuts of each kind")
    arguments = parser.parse_args()
    path = arguments.image or next(iter(find_photographs().values()), None)
    pixels = read_image(path) if path is not None else open_dataset("scenes", "", "test")[0].image
    segmenter = Segmenter.load(arguments.model)
    name = segmenter.network.config["name"]
    load = os.getloadavg()[0]
    with PageServer(Session({name: segmenter}, np.asarray(Image.fromarray(pixels).resize(SIZE))), port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        times = ask(server.url, arguments.times)
        server.shutdown()
    times["all cuts"] = [each for kind in CUTS for each in times[f"cut: {kind}"]]
    rows = "\n".join(
        f"| {kind} | {len(found)} | " + " | ".join(f"{each:.0f}" for each in _summary(found)) + " |"
        for kind, found in times.items()
    )
    text = (
        "# A click and a cut on the page\n\nMilliseconds until the answer is painted, in Chromium on the same machine,"
        " and those of them that a CPU computed for the server; the forward pass was done when the image was opened."
        f" Targets: 300 for a click, 150 for 95 % of the cuts.\n\n{name}, image of {SIZE[0]} x {SIZE[1]}:\n\n"
        "| what | times | median | 95 % within | median, CPU | 95 % within, CPU |\n|---|---|---|---|---|---|\n"
        f"{rows}\n\nWithout the browser, {MANY_CLASSES} classes, {LARGE} x {LARGE}; target: 50.\n\n"
        "| output stride | positions | times | median | 95 % within |\n|---|---|---|---|---|\n"
        + "".join(many_classes(stride, arguments.times) for stride in (16, 8))
    )
    print(text)
    PAGE.write_text(
        f"{text}\n    python benchmarks/page.py\n\n{machine()} {torch.get_num_threads()} threads for the network; the"
        f" load of the machine was {load:.1f} when it began, and with more than 2 others had a part of each"
        " millisecond.\n"
    )


def many_classes(output_stride: int, count: int) -> str:
    """Return a row of the milliseconds of clicks on a network of many classes, without the first, which warms up."""
    network = create_model(
        "danet", num_classes=MANY_CLASSES, backbone="resnet50", pretrained=False, output_stride=output_stride
    )
    names = [f"class {number}" for number in range(MANY_CLASSES)]
    noise = np.random.default_rng(0).integers(0, 256, (LARGE, LARGE, 3), np.uint8)
    session = Session({"danet": Segmenter(network, Classes.named(names))}, noise)
    image, found = session.start()["image"]["id"], []
    for x, y in np.random.default_rng(0).integers(0, LARGE, (count + 1, 2)).tolist():
        started = time.perf_counter()
        session.query_pixel(image, "danet", (x, y), "attends to")
        found.append(1000 * (time.perf_counter() - started))
    median, most = _spread(found[1:])
    return f"| {output_stride} | {(LARGE // output_stride) ** 2:,} | {count} | {median:.1f} | {most:.1f} |\n"


def _spread(milliseconds: Sequence[float]) -> tuple[float, float]:
    """Return the median, and what 95 % are within."""
    return statistics.median(milliseconds), sorted(milliseconds)[int(0.95 * len(milliseconds))]


def _summary(found: list[tuple[float, float]]) -> Iterator[float]:
    """Yield median and 95 % of the milliseconds in all, then of those of the CPU."""
    for milliseconds in zip(*found, strict=True):
        yield from _spread(milliseconds)


def ask(url: str, count: int) -> dict[str, list[tuple[float, float]]]:
    """Return milliseconds, and those of the server's CPU, of clicks and cuts all over the image.

    The first of each, which warms up, is left out.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.set_script_timeout(60)
        driver.get(url)
        WebDriverWait(driver, 60).until(lambda page: page.execute_script("return Boolean(state.seen)"))
        places = np.random.default_rng(0).uniform(0.02, 0.98, (count + 1, 2)).tolist()

        def timed(script: str, x: float, y: float) -> tuple[float, float]:
            before = time.process_time()
            taken: float = driver.execute_async_script(script + PAINTED, x, y)
            return taken, 1000 * (time.process_time() - before)

        times = {"click": [timed(CLICK, x, y) for x, y in places][1:]}
        for kind, act in CUTS.items():
            found = []
            for x, y in places:
                found.append(timed(CUT + act, x, y))
                driver.execute_script("knife().classes.clear(); if (knife().mask) knife().mask.fill(0);")
            times[f"cut: {kind}"] = found[1:]
        return times
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
