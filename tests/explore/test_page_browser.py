"""The page in a real browser, where Chromium and its driver are installed (Debian: chromium and chromium-driver)."""

import http.client
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from scenescope.errors import ImageError
from scenescope.explore.session import Session
from scenescope.explore.trace import attend
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from tests.explore.conftest import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="Chromium and its driver are not installed (chromium, chromium-driver)"
)


class Page:
    """What a user does, and what a user sees."""

    def __init__(self, driver, url):
        self.driver = driver
        driver.get(url)
        self.until("document.querySelectorAll('#legend label').length > 0")
        self.idle()

    def until(self, condition):
        WebDriverWait(self.driver, 60, poll_frequency=0.05).until(
            lambda driver: driver.execute_script(f"return Boolean({condition})"), condition
        )

    def idle(self):
        self.until("!document.body.hasAttribute('aria-busy')")

    def at(self, name):
        return self.driver.find_element(By.ID, name)

    def choose(self, name, value):
        Select(self.at(name)).select_by_value(value)
        self.idle()

    def click(self, x, y):
        """Click on a pixel of the image."""
        before = self.driver.execute_script("return state.request")
        self.driver.execute_script(
            """const box = at("scene").getBoundingClientRect();
            const [x, y] = [(arguments[0] + .5) / state.image.width, (arguments[1] + .5) / state.image.height];
            at("scene").dispatchEvent(new MouseEvent("click",
              { clientX: box.left + x * box.width, clientY: box.top + y * box.height }));""",
            x,
            y,
        )
        self.until(f"state.request > {before}")
        self.idle()

    def pixels(self, name="scene"):
        text = self.driver.execute_script(
            """const canvas = at(arguments[0]);
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return [data.height, data.width, Array.from(data.data).join()];""",
            name,
        )
        return np.array(text[2].split(","), np.uint8).reshape(text[0], text[1], 4)


@pytest.fixture(scope="module")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def server(network, image):
    classes = Classes.named(["road", "sky", "car", "tree"])
    plain = create_model("fcn", backbone="resnet18", num_classes=4, output_stride=32)
    models = {"danet": Segmenter(network, classes), "fcn": Segmenter(plain, classes)}
    with served(Session(models, image)) as server:
        yield server


@pytest.fixture
def page(driver, server):
    driver.get_log("performance")
    driver.get_log("browser")
    page = Page(driver, server.url)
    yield page
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_load_click_and_see_the_map_of_that_pixel(page, network, image):
    before = page.pixels()
    assert before.shape == (70, 100, 4)
    page.click(50, 13)
    after = page.pixels()
    assert (before != after).any()
    shown = page.driver.execute_script("return Array.from(numbers(state.points[0].map))")
    view = attend(network, image)
    np.testing.assert_allclose(shown, view.position.maps([(50, 13)])[0].ravel(), rtol=1e-6)
    label = int(view.labels[13, 50])
    said = page.at("answer").text
    assert said.startswith(f"Pixel 50, 13: {['road', 'sky', 'car', 'tree'][label]} ")
    page.click(99, 69)
    assert (page.pixels() != after).any()
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#points figure")) == 2
    page.choose("map", "attended by")
    shown = page.driver.execute_script("return Array.from(numbers(state.points[1].map))")
    np.testing.assert_allclose(shown, view.position.received([(50, 13)])[0].ravel(), rtol=1e-6)


def test_opacity_filter_and_compare(page, image):
    page.driver.execute_script("at('opacity').value = 0; draw()")
    assert (page.pixels()[..., :3] == image).all()
    page.driver.execute_script("at('opacity').value = 100; draw()")
    page.choose("show", "classes")
    painted = page.pixels()
    assert len(np.unique(painted.reshape(-1, 4), axis=0)) <= 4
    box = page.driver.find_element(By.CSS_SELECTOR, "#legend input")
    label = int(box.get_attribute("value"))
    box.click()
    labels = np.array(page.driver.execute_script("return Array.from(state.seen.labels)")).reshape(70, 100)
    assert (page.pixels()[labels == label][:, :3] == image[labels == label]).all()
    page.choose("compare", "channel")
    assert "get another class without channel attention" in page.at("changed").text


def test_channels_are_sorted_by_their_answer(page, network, image):
    page.click(20, 40)
    view = attend(network, image)
    expected = view.channel.responsive(int(view.labels[40, 20]), 1)[0]
    assert Select(page.at("channel")).first_selected_option.get_attribute("value") == str(expected)
    first = page.pixels("channel-map")
    page.at("next").click()
    page.idle()
    page.until("at('channel').selectedIndex === 1")
    assert (page.pixels("channel-map") != first).any()


def test_the_keyboard_does_what_the_mouse_does(page):
    page.at("scene").send_keys(Keys.ARROW_RIGHT, Keys.SHIFT + Keys.ARROW_DOWN)
    page.at("scene").send_keys(Keys.ENTER)
    page.until("state.points.length === 1")
    page.idle()
    assert page.at("answer").text.startswith("Pixel 60, 36:")


def test_an_upload_a_broken_one_and_another_model(page, tmp_path):
    Image.new("L", (64, 48), 200).save(tmp_path / "gray.png")
    page.at("file").send_keys(str(tmp_path / "gray.png"))
    page.until("at('scene').width === 64")
    page.idle()
    assert page.at("note").text == "L made RGB"
    (tmp_path / "broken.png").write_bytes((tmp_path / "gray.png").read_bytes()[:60])
    page.at("file").send_keys(str(tmp_path / "broken.png"))
    page.until("!at('error').hidden")
    assert page.at("error").text.startswith("Cannot read broken.png: ")
    page.choose("model", "fcn")
    assert not page.at("channels").is_displayed()
    page.click(3, 3)
    assert page.at("answer").text.startswith("Pixel 3, 3:")
    page.driver.get_log("browser")  # it notes the refusal of the broken image, which is as it should be


def test_a_telephone_shows_all_of_it_without_scrolling_sideways(page):
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    )
    page.click(20, 40)
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 360
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_is_asked_of_any_other_machine(page, server):
    page.click(20, 40)
    events = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert any(url.endswith("/query") for url in asked)
    assert all(url.startswith((server.url, "data:", "blob:")) for url in asked), asked


def test_an_answer_that_comes_late_is_not_shown_under_another_model(page, server, monkeypatch):
    """Choose one model and then another: what the first says comes last."""
    predict, answered, go_on = server.session.predict, threading.Event(), threading.Event()

    def slow(image, model, without=""):
        answer = predict(image, model, without)
        if model == "fcn":
            go_on.wait(60)
            answered.set()
        return answer

    monkeypatch.setattr(server.session, "predict", slow)
    expected = page.driver.execute_script("return Array.from(state.seen.labels)")
    Select(page.at("model")).select_by_value("fcn")
    Select(page.at("model")).select_by_value("danet")
    page.until("state.model === 'danet' && at('compare-label').hidden === false")
    go_on.set()
    assert answered.wait(60)
    page.idle()
    assert page.driver.execute_script("return Array.from(state.seen.labels)") == expected
    assert page.driver.execute_script("return [state.model, at('model').value]") == ["danet", "danet"]
    assert page.at("channels").is_displayed()


def test_a_click_on_the_model_before_is_not_shown_under_the_next(page, server, monkeypatch):
    ask, go_on = server.session.query_pixel, threading.Event()

    def slow(*arguments):
        answer = ask(*arguments)
        go_on.wait(60)
        return answer

    monkeypatch.setattr(server.session, "query_pixel", slow)
    page.driver.execute_script("choose(20, 40)")
    Select(page.at("model")).select_by_value("fcn")
    page.until("state.model === 'fcn'")
    go_on.set()
    page.idle()
    assert page.driver.execute_script("return state.points.length") == 0
    assert page.at("answer").text == "No pixel chosen yet."


def test_a_model_that_fails_leaves_the_one_that_is_shown(page, server, monkeypatch):
    def fails(image, model, without=""):
        raise ImageError("This image is no longer kept; open it again.")

    monkeypatch.setattr(server.session, "predict", fails)
    page.choose("model", "fcn")
    assert page.at("error").text == "This image is no longer kept; open it again."
    assert page.driver.execute_script("return [state.model, at('model').value]") == ["danet", "danet"]
    page.driver.get_log("browser")  # it notes the refusal


def test_behind_a_proxy_that_shows_it_below_a_folder(driver, network, image):
    """As JupyterHub does; the browser knows another host, another port and a folder."""
    classes = Classes.named(["road", "sky", "car", "tree"])
    with served(Session({"danet": Segmenter(network, classes)}, image), host_names=["localhost"]) as inner:

        class Proxy(BaseHTTPRequestHandler):
            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                connection = http.client.HTTPConnection(*inner.server_address)
                connection.request(self.command, self.path.removeprefix("/user/me/proxy/1"), body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self):
                self.pass_on()

            def do_POST(self):
                self.pass_on()

            def log_message(self, *arguments):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
            thread = threading.Thread(target=proxy.serve_forever)
            thread.start()
            page = Page(driver, f"http://localhost:{proxy.server_address[1]}/user/me/proxy/1/")
            page.click(50, 13)
            assert page.at("answer").text.startswith("Pixel 50, 13:")
            proxy.shutdown()
            thread.join()
