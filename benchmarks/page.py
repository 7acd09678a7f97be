"""How long a click on the page takes, in a real browser: from the click to the map painted over the image.

    python benchmarks/page.py [--model MODEL] [--clicks 40]

The image is a generated scene of 640 x 480; its forward pass is done once, when it is opened. Needs Chromium and its
driver (Debian: chromium and chromium-driver). Writes benchmarks/page.md beside this file.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import threading
from pathlib import Path

import numpy as np
from measure import machine
from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from scenescope.data.catalog import open_dataset
from scenescope.explore.page import PageServer
from scenescope.explore.session import Session
from scenescope.inference.segmenter import Segmenter

PAGE = Path(__file__).with_name("page.md")
CLICK = """
const done = arguments[2], started = performance.now(), box = at("scene").getBoundingClientRect();
at("scene").dispatchEvent(new MouseEvent("click",
  { clientX: box.left + arguments[0] * box.width, clientY: box.top + arguments[1] * box.height }));
const answered = state.points[0];
(function look() {
  if (state.points[0] !== answered) requestAnimationFrame(() => done(performance.now() - started));
  else setTimeout(look, 1);
})();
"""


def main() -> None:
    """Click here and there, and write the page of results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="of the box when not given")
    parser.add_argument("--clicks", type=int, default=40)
    arguments = parser.parse_args()
    scene = Image.fromarray(open_dataset("scenes", "", "test")[0].image).resize((640, 480))
    segmenter = Segmenter.load(arguments.model)
    name = segmenter.network.config["name"]
    with PageServer(Session({name: segmenter}, np.asarray(scene)), port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        times = click(server.url, arguments.clicks)
        server.shutdown()
    middle, slow = statistics.median(times), sorted(times)[int(0.95 * len(times))]
    line = f"{arguments.clicks} clicks in {name}, image of 640 x 480: median {middle:.0f} ms, 95 % within {slow:.0f} ms"
    print(line)
    PAGE.write_text(
        "# A click on the page\n\nFrom the click to the painted map, in Chromium; the forward pass was done when the"
        f" image was opened. Target: 300 ms.\n\n{line}.\n\n    python benchmarks/page.py\n\n{machine()}\n"
    )


def click(url: str, count: int) -> list[float]:
    """Return the milliseconds of each of some clicks all over the image; the first, which warms up, is left out."""
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
        return [driver.execute_async_script(CLICK, x, y) for x, y in places][1:]
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
