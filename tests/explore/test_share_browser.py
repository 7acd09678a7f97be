"""The file to send in a real browser, where Chromium and its driver are installed, and no network is."""

import json

import numpy as np
import pytest
import torch
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from scenescope.explore.knife import Cut
from scenescope.explore.share import write_look
from scenescope.explore.trace import attend
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from tests.explore.browser import canvas_pixels, chromium, needs_chromium

pytestmark = needs_chromium
CLASSES = Classes.named(
    ["road", "sky", "</script><script>document.title = 'attacked'</script>", "<img src=x onerror=a>"]
)
TITLE = "\"><script>document.title = 'attacked'</script><img src=http://127.0.0.1:9/x.png>.jpg"


class Look:
    """What a user does, and what a user sees."""

    def __init__(self, driver, path):
        self.driver = driver
        driver.get(path.as_uri())
        self.until("document.querySelectorAll('#legend label').length && !document.body.hasAttribute('aria-busy')")

    def until(self, condition):
        WebDriverWait(self.driver, 60, poll_frequency=0.05).until(
            lambda driver: driver.execute_script(f"return Boolean({condition})"), condition
        )

    def at(self, name):
        return self.driver.find_element(By.ID, name)

    def ask(self, code, *arguments):
        return self.driver.execute_script(f"return {code}", *arguments)

    def click(self, x, y):
        """Click on a pixel of the image."""
        self.driver.execute_script(
            """const box = at("scene").getBoundingClientRect();
            const [x, y] = [(arguments[0] + .5) / look.width, (arguments[1] + .5) / look.height];
            at("scene").dispatchEvent(new MouseEvent("click",
              { clientX: box.left + x * box.width, clientY: box.top + y * box.height }));""",
            x,
            y,
        )

    def show(self, what):
        self.driver.find_element(By.CSS_SELECTOR, f'#show input[value="{what}"]').click()

    def pixels(self, name="scene"):
        return canvas_pixels(self.driver, name)


@pytest.fixture(scope="module")
def driver():
    with chromium(1200, 900) as driver:
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
        )
        yield driver


@pytest.fixture(scope="module")
def trace(network, image):
    return attend(network, image)


@pytest.fixture(scope="module")
def path(trace, tmp_path_factory):
    path = tmp_path_factory.mktemp("share") / "look.html"
    write_look(trace, CLASSES, path, title=TITLE, model="danet")
    return path


@pytest.fixture
def page(driver, path):
    driver.get_log("performance")
    driver.get_log("browser")
    page = Look(driver, path)
    yield page
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}, asked
    assert {url for url in asked if url.startswith("file:")} == {path.as_uri()}


@pytest.mark.parametrize("point", [(0, 0), (50, 13), (99, 69), (31, 8)])
def test_rows_and_columns_are_ours(page, trace, point):
    page.show("attends")
    page.click(*point)
    np.testing.assert_allclose(page.ask("Array.from(state.map)"), trace.position.maps([point]).ravel(), atol=1e-5)
    page.show("attended")
    np.testing.assert_allclose(page.ask("Array.from(state.map)"), trace.position.received([point]).ravel(), atol=1e-5)


@pytest.mark.parametrize("sharpness", [1.0, 100.0, 1000.0])
def test_sharpened_attention_is_ours_as_well(driver, image, tmp_path, sharpness):
    torch.manual_seed(0)
    network = create_model("danet", backbone="resnet18", num_classes=4, output_stride=8, align_corners=False)
    torch.nn.init.normal_(network.head.position.query.weight, std=sharpness)
    trace = attend(network, image)
    write_look(trace, CLASSES, tmp_path / "look.html", title="")
    page = Look(driver, tmp_path / "look.html")
    peaks, points = [], [(3, 5), (50, 13), (80, 60), (99, 69)]
    for point in points:
        mine, theirs = trace.position.maps([point])[0].ravel(), trace.position.received([point])[0].ravel()
        np.testing.assert_allclose(page.ask("Array.from(kinds.attends.map(arguments[0]))", point), mine, atol=1e-3)
        np.testing.assert_allclose(page.ask("Array.from(kinds.attended.map(arguments[0]))", point), theirs, atol=1e-3)
        peaks.append(mine.max())
    if sharpness > 1:
        assert max(peaks) > 0.9


def test_the_share_of_the_own_class_beside_what_it_covers(page, trace):
    own = trace.position
    cells = page.ask("Array.from(look.position.labels)")
    page.click(50, 13)
    label = int(trace.labels[13, 50])
    paid = own.maps([(50, 13)])[0].ravel()[np.array(cells) == label].sum()
    covers = (np.array(cells) == label).mean()
    text = page.at("answer").text
    assert text.startswith("Pixel 50, 13: ")
    for share in (paid, covers):
        shown = f"{100 * share:.{1 if share < 0.0995 else 0}f} %"
        assert shown in text or ("< 0.1 %" in text and share < 0.0005), (text, shown)
    shares = page.driver.find_elements(By.CSS_SELECTOR, "#shares > div")
    assert len(shares) == len(set(cells))


def test_a_cut_gives_the_labels_of_the_knife(page, trace):
    label = int(np.unique(page.ask("Array.from(look.position.labels)"))[0])
    lines = page.driver.find_elements(By.CSS_SELECTOR, "#cuts label")
    (line,) = [each for each in lines if f"Nobody attends to {CLASSES.names[label]}" in each.text]
    line.click()
    page.until("state.after")
    expected = trace.cut(Cut(classes=[label]))
    assert (np.array(page.ask("Array.from(state.after)")).reshape(70, 100) == expected.labels).all()
    assert "of the pixels get another class" in page.at("changed").text
    page.driver.find_element(By.CSS_SELECTOR, "#cuts input").click()  # as it is
    page.until("state.after === null")
    assert page.at("changed").text == "As it is."


def test_classes_are_painted_and_one_can_be_hidden(page, trace):
    page.driver.execute_script("at('clear').click(); at('opacity').value = 100; draw()")
    painted = page.pixels()[..., :3]
    assert (painted == np.array(CLASSES.palette)[trace.labels]).all()
    box = page.driver.find_element(By.CSS_SELECTOR, "#legend input")
    label = int(box.get_attribute("value"))
    box.click()
    hidden = page.pixels()[..., :3]
    assert (hidden[trace.labels != label] == painted[trace.labels != label]).all()
    assert (hidden[trace.labels == label] != painted[trace.labels == label]).any()


def test_the_keyboard_does_what_the_mouse_does(page):
    page.at("clear").click()
    page.at("scene").send_keys(Keys.ARROW_RIGHT, Keys.SHIFT + Keys.ARROW_DOWN)
    assert page.at("answer").text.startswith("Pixel 60, 36: ")
    assert page.ask("state.kept.length") == 0
    page.at("scene").send_keys(Keys.ENTER)
    assert page.ask("state.kept.map(kept => kept.point)") == [[60, 36]]
    page.at("scene").send_keys(*[Keys.ARROW_LEFT] * 9)
    assert page.at("answer").text.startswith("Pixel 0, 36: ")
    page.driver.find_element(By.CSS_SELECTOR, '#show input[value="attends"]').send_keys(Keys.ARROW_RIGHT)
    assert page.ask("state.show") == "attended"


def test_every_control_has_a_name(page):
    unnamed = page.ask(
        """[...document.querySelectorAll("input, select, button, canvas")].filter(each => !each.labels?.length
        && !each.getAttribute("aria-label") && !each.textContent.trim()).map(each => each.outerHTML)"""
    )
    assert unnamed == []


def test_channels_are_turned_over(page):
    page.click(20, 40)
    first = page.pixels("channel-map")
    page.at("next").click()
    assert page.ask("at('channel').selectedIndex") == 1
    assert (page.pixels("channel-map") != first).any()


def test_names_of_files_and_classes_run_nothing(page):
    page.click(20, 40)
    assert page.driver.title == f"{TITLE}: attention you can look into"
    assert page.driver.find_element(By.CSS_SELECTOR, "h1").text == TITLE
    assert page.ask("document.images.length") == 0
    assert page.ask("document.scripts.length") == 2
    names = page.ask("[...document.querySelectorAll('#shares .name')].map(each => each.textContent)")
    assert set(names) <= set(CLASSES.names)


@pytest.mark.parametrize(
    "code",
    [
        "fetch('http://127.0.0.1:9/').then(() => 1, () => 0)",
        "new Promise(done => { const image = new Image(); image.onload = () => done(1); image.onerror = () => done(0);"
        " image.src = 'http://127.0.0.1:9/x.png'; })",
        "new Promise(done => { const made = document.createElement('script'); made.textContent = 'window.ran = 1';"
        " document.body.append(made); done(window.ran || 0); })",
    ],
)
def test_the_policy_stops_what_gets_in_all_the_same(driver, path, code):
    """A script of the driver plays the intruder; the browser says that the policy refused."""
    Look(driver, path)
    driver.get_log("browser")
    assert driver.execute_async_script(f"({code}).then(arguments[0])") == 0
    said = [entry["message"] for entry in driver.get_log("browser")]
    assert any("Content Security Policy" in message for message in said), said


@pytest.mark.parametrize("dark", [False, True])
def test_a_telephone_shows_all_of_it_without_scrolling_sideways(page, dark):
    driver = page.driver
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    )
    page.click(20, 40)
    assert page.ask("document.documentElement.scrollWidth") <= 360
    paper = page.ask("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is not dark
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("name", ["sanet", "dranet", "fcn_se"])
def test_other_networks_show_what_they_have(driver, image, tmp_path, name):
    torch.manual_seed(0)
    trace = attend(create_model(name, backbone="test_resnet", num_classes=4, output_stride=16), image)
    write_look(trace, CLASSES, tmp_path / "look.html", title=name)
    driver.get_log("browser")
    page = Look(driver, tmp_path / "look.html")
    page.click(30, 40)
    if name == "sanet":
        for stage in (1, 4):
            mine = -trace.heads[stage - 1].distances([(30, 40)])[0].ravel()
            page.show(f"head{stage}")
            np.testing.assert_allclose(page.ask("Array.from(state.map)"), mine, atol=0.01 * np.abs(mine).max())
    if name == "dranet":
        mine = trace.position_centers.spread([(30, 40)])[0].ravel()
        np.testing.assert_allclose(page.ask("Array.from(state.map)"), mine, atol=1e-5)
    assert page.at("answer").text.startswith("Pixel 30, 40: ")
    assert f"This {name} has no position attention" in page.at("about").text
    page.driver.find_elements(By.CSS_SELECTOR, "#cuts input")[1].click()
    page.until("state.after")
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
