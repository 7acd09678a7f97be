"""What the tests in a real browser share."""

import contextlib
import shutil

import numpy as np
import pytest
from selenium import webdriver

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="Chromium and its driver are not installed (chromium, chromium-driver)"
)


@contextlib.contextmanager
def chromium(width, height):
    """Start Chromium with a window of this size for the length of a ``with`` block; it keeps all that it logs."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={width},{height}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def canvas_pixels(driver, name):
    """Return what a canvas of the page shows, H x W x 4 uint8."""
    text = driver.execute_script(
        """const canvas = at(arguments[0]);
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return [data.height, data.width, Array.from(data.data).join()];""",
        name,
    )
    return np.array(text[2].split(","), np.uint8).reshape(text[0], text[1], 4)
