"""The page in a real browser, where Chromium and its driver are installed (Debian: chromium and chromium-driver)."""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from scenescope.errors import ImageError
from scenescope.explore.knife import Cut, connected_area, rectangle
from scenescope.explore.own_class import own_class
from scenescope.explore.session import Session
from scenescope.explore.trace import attend
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from tests.explore.browser import canvas_pixels, chromium, needs_chromium
from tests.explore.conftest import served

NAMES = ["road", "sky", "car", "tree"]
pytestmark = needs_chromium


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

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def choose(self, name, value):
        Select(self.at(name)).select_by_value(value)
        self.idle()

    def pick(self, name, value):
        """Choose one of a row of choices, by its label."""
        self.driver.find_element(By.XPATH, f"//*[@id='{name}']//input[@value='{value}']/..").click()
        self.idle()

    def slide(self, name, value):
        self.run(
            """const slider = at(arguments[0]);
            slider.value = arguments[1];
            for (const kind of ["input", "change"]) slider.dispatchEvent(new Event(kind));""",
            name,
            value,
        )
        self.idle()

    def click(self, x, y, scene="scene"):
        """Click on a pixel of the image."""
        self.run(
            """const scene = at(arguments[2]), box = scene.getBoundingClientRect();
            const [x, y] = [(arguments[0] + .5) / scene.width, (arguments[1] + .5) / scene.height];
            scene.dispatchEvent(new MouseEvent("click",
              { clientX: box.left + x * box.width, clientY: box.top + y * box.height }));""",
            x,
            y,
            scene,
        )
        self.idle()

    def spot(self, x, y, scene="scene"):
        """Return where a pixel of the image lies from the middle of its canvas, as pointer actions take it."""
        return self.run(
            """const scene = at(arguments[2]), { width, height } = scene.getBoundingClientRect();
            return [(arguments[0] + .5) / scene.width * width - width / 2,
                    (arguments[1] + .5) / scene.height * height - height / 2].map(Math.round);""",
            x,
            y,
            scene,
        )

    def drag(self, *pixels):
        """Press on the first pixel, go over the others, release."""
        scene, (x, y) = self.at("scene"), self.spot(*pixels[0])
        actions = ActionChains(self.driver, duration=20).move_to_element_with_offset(scene, x, y).click_and_hold()
        for pixel in pixels[1:]:
            actions.move_to_element_with_offset(scene, *self.spot(*pixel))
        actions.release().perform()
        self.idle()

    def labels(self, number=0):
        """Return the labels that are shown in a pane."""
        shape = self.run("const { height, width } = state.panes[arguments[0]].image; return [height, width]", number)
        labels = self.run("return Array.from(labelsOf(state.panes[arguments[0]]))", number)
        return np.array(labels, np.uint8).reshape(shape)

    def pixels(self, name="scene"):
        return canvas_pixels(self.driver, name)


@pytest.fixture(scope="module")
def driver():
    with chromium(1200, 1000) as driver:
        yield driver


@pytest.fixture(scope="module")
def server(network, image):
    classes = Classes.named(NAMES)
    plain = create_model("fcn", backbone="resnet18", num_classes=4, output_stride=32)
    models = {"danet": Segmenter(network, classes), "fcn": Segmenter(plain, classes)}
    with served(Session(models, image, {"Noise (nobody, public domain)": image[:, ::-1].copy()})) as server:
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
    shown = page.run("return Array.from(numbers(state.points[0].answers[0].map))")
    view = attend(network, image)
    np.testing.assert_allclose(shown, view.position.maps([(50, 13)])[0].ravel(), rtol=1e-6)
    label = int(view.labels[13, 50])
    said, verdict = page.at("answer").text.split("\n")
    assert said.startswith(f"Pixel 50, 13: {NAMES[label]} ")
    assert verdict == own_class(view, (50, 13)).verdict(NAMES).replace("\u00a0", " ")
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#bars li")) > 0
    page.click(99, 69)
    assert (page.pixels() != after).any()
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#points figure")) == 2
    page.pick("map", "attended by")
    shown = page.run("return Array.from(numbers(state.points[1].answers[0].map))")
    np.testing.assert_allclose(shown, view.position.received([(50, 13)])[0].ravel(), rtol=1e-6)


def test_opacity_and_filter(page, image):
    page.slide("opacity", 0)
    assert (page.pixels()[..., :3] == image).all()
    page.slide("opacity", 100)
    page.pick("show", "classes")
    painted = page.pixels()
    assert len(np.unique(painted.reshape(-1, 4), axis=0)) <= 4
    box = page.driver.find_element(By.CSS_SELECTOR, "#legend input")
    label = int(box.get_attribute("value"))
    box.click()
    labels = page.labels()
    assert (page.pixels()[labels == label][:, :3] == image[labels == label]).all()
    page.at("all").click()
    assert (page.pixels() == painted).all()
    page.driver.find_element(By.CSS_SELECTOR, "#legend button").click()
    ActionChains(page.driver).move_to_element(
        page.driver.find_element(By.TAG_NAME, "h1")
    ).perform()  # what the pointer is on shows alone
    assert (page.pixels()[labels != label][:, :3] == image[labels != label]).all()
    assert (page.pixels()[labels == label] == painted[labels == label]).all()


def test_a_class_is_cut_and_comes_back(page, network, image):
    """The labels painted are those that the library gives, and undo gives those of before."""
    page.slide("opacity", 100)
    before = page.pixels()
    view = attend(network, image)
    label = int(view.labels[13, 50])
    expected = view.cut(Cut(classes=[label]))
    assert expected.changed.any()
    page.pick("show", "image")
    page.pick("show", "attention")
    assert page.at("heatbar").is_displayed()
    page.pick("tool", "class")
    page.click(50, 13)
    assert not page.at("heatbar").is_displayed()  # what changes is seen in the classes
    palette = np.array(page.run("return state.models[state.model].palette"))
    assert (page.pixels()[..., :3] == palette[expected.labels]).all()
    count = int(expected.changed.sum())
    assert page.at("changed").text == f"{count:,} pixels ({100 * count / 7000:.2f} %) changed class."
    rows = [each.text for each in page.driver.find_elements(By.CSS_SELECTOR, "#moved tr")]
    others = expected.moved.copy()
    np.fill_diagonal(others, 0)
    old, new = np.unravel_index(others.argmax(), others.shape)
    assert rows[0] == f"{NAMES[old]} → {NAMES[new]} {expected.moved[old, new]:,}"
    assert page.at("cut-what").text == f"No pixel attends to: {NAMES[label]}."
    page.at("before").click()
    assert (page.pixels() == before).all()
    page.at("before").click()
    page.at("undo").click()
    page.idle()
    assert (page.pixels() == before).all()
    assert page.at("changed").text == ""
    assert not page.at("undo").is_enabled()


def test_a_rectangle_a_brush_and_an_area_cut_what_lies_under_them(page, network, image):
    view = attend(network, image)
    page.pick("tool", "rectangle")
    page.drag((20, 10), (60, 40))
    drawn = rectangle(view.labels.shape, 20, 10, 61, 41)
    assert (page.labels() == view.cut(Cut(drawn)).labels).all()
    page.at("reset").click()
    page.idle()
    assert (page.labels() == view.labels).all()
    page.pick("tool", "brush")
    page.drag((10, 60), (50, 60), (90, 60))
    mask = np.array(page.run("return Array.from(knife().mask)"), bool).reshape(70, 100)
    assert mask[60, 5:96].all()
    assert not mask[:40].any()
    assert (page.labels() == view.cut(Cut(mask)).labels).all()
    page.at("undo").click()
    page.idle()
    page.pick("tool", "area")
    page.click(50, 13)
    assert (page.labels() == view.cut(Cut(connected_area(view.labels, (50, 13)))).labels).all()
    page.pick("keep", "keep")
    assert (page.labels() == view.cut(Cut(connected_area(view.labels, (50, 13)), keep=True)).labels).all()
    for _ in range(2):
        page.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.CONTROL, "z")
        page.idle()
    assert (page.labels() == view.labels).all()


def test_what_changed_is_outlined(page):
    count = """const { lines } = state.panes[0], context = lines.getContext("2d");
        const { data } = context.getImageData(0, 0, lines.width, lines.height);
        let count = 0;
        for (let index = 0; index < data.length; index += 4)
          count += data[index] > 200 && data[index + 1] < 100 && data[index + 2] > 200 && data[index + 3] > 200;
        return count;"""
    assert page.run(count) == 0
    page.slide("alpha", 0)
    page.slide("beta", 4)
    assert page.run("return state.panes[0].result.changed") > 0
    assert page.run(count) > 0
    page.at("before").click()
    assert page.run(count) == 0


def test_sliders_scale_what_was_learned(page, network, image):
    view = attend(network, image)
    page.slide("alpha", 2.5)
    page.slide("beta", 0)
    assert (page.labels() == view.cut(Cut(alpha=2.5, beta=0)).labels).all()
    said = [each.text for each in page.driver.find_elements(By.CSS_SELECTOR, "#scales output")]
    assert said == ["\u00d7 2.5", "off"]
    page.at("undo").click()
    page.idle()
    assert (page.labels() == view.cut(Cut(alpha=2.5)).labels).all()
    assert page.at("alpha").get_attribute("value") == "2.5"
    page.at("reset").click()
    page.idle()
    assert page.at("alpha").get_attribute("value") == "1"
    assert (page.labels() == view.labels).all()


def test_everything_cut_away_is_one_line(page, network, image):
    page.pick("tool", "rectangle")
    page.drag((0, 0), (99, 69))
    assert page.at("error").text.startswith("Everything is cut away")
    assert (page.labels() == attend(network, image).labels).all()
    page.at("undo").click()
    page.idle()
    assert not page.at("error").is_displayed()
    page.driver.get_log("browser")  # it notes the refusal


def test_a_pointer_is_told_class_and_probability(page, network, image):
    view = attend(network, image)
    label = int(view.labels[13, 50])
    scene = page.at("scene")
    ActionChains(page.driver).move_to_element_with_offset(scene, *page.spot(50, 13)).perform()
    said = f"{NAMES[label]} {100 * view.probabilities((50, 13))[label]:.0f}\u00a0%"
    page.until(f"state.panes[0].chip.textContent === {json.dumps(said)}")
    assert page.run("return !state.panes[0].chip.hidden")
    ActionChains(page.driver).move_to_element(page.driver.find_element(By.TAG_NAME, "h1")).perform()
    page.until("state.panes[0].chip.hidden")


def test_two_models_answer_one_click(page, server, image):
    page.choose("compare", "model:fcn")
    plain = attend(server.session.models["fcn"], image)
    assert (page.labels(1) == plain.labels).all()
    page.click(20, 40, "scene-2")
    first, *_, last = page.at("answer").text.split("\n")
    assert first.startswith("danet: Pixel 20, 40: ")
    assert last.startswith(f"fcn: Pixel 20, 40: {NAMES[plain.labels[40, 20]]} ")
    page.slide("alpha", 0)  # of which fcn has none
    assert (page.labels(1) == plain.labels).all()
    page.choose("compare", "")
    assert page.run("return [state.panes.length, state.points[0].answers.length]") == [1, 1]
    assert page.at("answer").text.startswith("Pixel 20, 40: ")


def test_two_images_in_one_model_and_keys_of_the_other(page, network, image):
    page.choose("compare", "image")
    page.driver.find_element(By.CSS_SELECTOR, "#examples button").click()
    page.until("state.panes[1].image.id !== state.panes[0].image.id && state.panes[1].seen")
    page.idle()
    first, second = attend(network, image), attend(network, image[:, ::-1].copy())
    assert (page.labels(0) == first.labels).all()
    assert (page.labels(1) == second.labels).all()
    page.click(20, 40, "scene-2")
    assert page.run("return state.points[0].answers.map(Boolean)") == [False, True]
    page.at("source").click()
    page.idle()
    assert (page.labels(1) == second.cut(Cut(source=first)).labels).all()
    page.pick("tool", "area")
    page.click(20, 40, "scene-2")  # which lies on this image, and not on that of the keys
    assert (page.labels(1) == second.cut(Cut(source=first)).labels).all()
    page.pick("tool", "class")
    page.click(20, 40, "scene-2")
    assert (page.labels(1) == second.cut(Cut(source=first, classes=[int(second.labels[40, 20])])).labels).all()
    assert (page.labels(0) == first.labels).all()


def test_an_example_is_opened_and_credited(page, network, image):
    page.click(20, 40)
    page.driver.find_element(By.CSS_SELECTOR, "#examples button").click()
    page.until("at('note').textContent !== ''")
    page.idle()
    assert page.at("note").text == "Noise (nobody, public domain)"
    assert (page.labels() == attend(network, image[:, ::-1].copy()).labels).all()
    assert page.run("return state.points.length") == 0


def test_pixels_are_chosen_among_and_forgotten(page):
    page.click(20, 40)
    page.click(70, 40)
    shown, _ = page.driver.find_elements(By.CSS_SELECTOR, "#points figure:first-child button")
    shown.click()
    assert page.at("answer").text.startswith("Pixel 20, 40:")
    page.driver.find_element(By.CSS_SELECTOR, "#points figure:first-child .bare").click()
    assert page.at("answer").text.startswith("Pixel 70, 40:")


def test_channels_are_sorted_by_their_answer(page, network, image):
    page.driver.find_element(By.CSS_SELECTOR, "#channels summary").click()
    page.click(20, 40)
    view = attend(network, image)
    expected = view.channel.responsive(int(view.labels[40, 20]), 1)[0]
    assert Select(page.at("channel")).first_selected_option.get_attribute("value") == str(expected)
    first = page.pixels("channel-map")
    page.at("next").click()
    page.idle()
    page.until("at('channel').selectedIndex === 1")
    assert (page.pixels("channel-map") != first).any()


def test_the_keyboard_does_what_the_mouse_does(page, network, image):
    page.at("scene").send_keys(Keys.ARROW_RIGHT, Keys.SHIFT + Keys.ARROW_DOWN)
    page.at("scene").send_keys(Keys.ENTER)
    page.until("state.points.length === 1")
    page.idle()
    assert page.at("answer").text.startswith("Pixel 60, 36:")
    view = attend(network, image)
    page.at("scene").send_keys("r", Keys.ENTER, 4 * Keys.ARROW_LEFT, 3 * Keys.ARROW_UP, Keys.ENTER)
    page.idle()
    assert (page.labels() == view.cut(Cut(rectangle(view.labels.shape, 20, 6, 61, 37))).labels).all()
    page.at("scene").send_keys(Keys.CONTROL, "z")
    page.idle()
    page.at("scene").send_keys("c", Keys.ENTER)
    page.idle()
    assert (page.labels() == view.cut(Cut(classes=[int(view.labels[6, 20])])).labels).all()


def test_a_photo_is_shown_while_it_is_segmented(page, server, monkeypatch, tmp_path):
    predict, go_on = server.session.predict, threading.Event()
    monkeypatch.setattr(server.session, "predict", lambda *asked: go_on.wait(60) and predict(*asked))
    Image.new("RGB", (64, 48), (200, 30, 30)).save(tmp_path / "red.png")
    page.at("file").send_keys(str(tmp_path / "red.png"))
    page.until("at('scene').width === 64")
    assert (page.pixels() == (200, 30, 30, 255)).all()
    assert page.run("return [state.panes[0].loading.hidden, state.panes[0].loading.textContent]") == [
        False,
        "Segmenting ...",
    ]
    go_on.set()
    page.idle()
    assert page.run("return state.panes[0].loading.hidden")


def test_what_is_saved_says_what_it_shows(page):
    page.slide("opacity", 0)
    page.run("document.body.append(Object.assign(composed(), { id: 'saved' }))")
    saved = page.pixels("saved")
    assert saved.shape[1] == 200
    assert saved.shape[0] > 140
    palette = page.run("return state.models[state.model].palette")
    below = {tuple(pixel[:3]) for pixel in saved[140:].reshape(-1, 4).tolist()}
    shown = page.run("return [...at('legend').querySelectorAll('input')].map(box => +box.value)")
    assert shown
    assert all(tuple(palette[label]) in below for label in shown)


def test_every_control_has_a_name(page):
    unnamed = page.run(
        """return [...document.querySelectorAll("input, select, button, canvas[tabindex], [role=radiogroup]")]
          .filter(each => !each.getAttribute("aria-label") && !(each.labels && each.labels[0]
            && each.labels[0].textContent.trim()) && !each.textContent.trim())
          .map(each => each.outerHTML);"""
    )
    assert unnamed == []


def test_a_server_that_has_gone_is_said_so(driver, network, image):
    with served(Session({"danet": Segmenter(network, Classes.named(NAMES))}, image)) as server:
        page = Page(driver, server.url)
        page.run("fetch = () => Promise.reject(new TypeError('Failed to fetch'))")
        page.click(3, 3)
    assert page.at("error").text == "scenescope no longer answers; start it again with: scenescope page"


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
    for name in ("scene", "answer"):  # a tap and its answer on one screen
        assert page.run("return at(arguments[0]).getBoundingClientRect().bottom", name) <= 740, name
    page.pick("tool", "brush")
    page.click(20, 40)
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 360
    small = page.run(
        """return [...document.querySelectorAll("button, select, .choice label, .file")].map(each =>
          [each.textContent, each.getBoundingClientRect().height]).filter(([, height]) => height && height < 24);"""
    )
    assert small == []
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

    def slow(image, model):
        answer = predict(image, model)
        if model == "fcn":
            go_on.wait(60)
            answered.set()
        return answer

    monkeypatch.setattr(server.session, "predict", slow)
    expected = page.driver.execute_script("return Array.from(state.seen.labels)")
    Select(page.at("model")).select_by_value("fcn")
    Select(page.at("model")).select_by_value("danet")
    page.until("at('scene') && state.panes[0].predict >= 3 && state.model === 'danet'")
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
    page.run("choose(20, 40)")
    Select(page.at("model")).select_by_value("fcn")
    page.until("state.model === 'fcn'")
    go_on.set()
    page.idle()
    assert page.run("return state.points.length") == 0
    assert page.at("answer").text == ""


def test_a_model_that_fails_leaves_the_one_that_is_shown(page, server, monkeypatch):
    def fails(image, model):
        raise ImageError("This image is no longer kept; open it again.")

    monkeypatch.setattr(server.session, "predict", fails)
    page.choose("model", "fcn")
    assert page.at("error").text == "This image is no longer kept; open it again."
    assert page.driver.execute_script("return [state.model, at('model').value]") == ["danet", "danet"]
    page.driver.get_log("browser")  # it notes the refusal


def test_behind_a_proxy_that_shows_it_below_a_folder(driver, network, image):
    """As JupyterHub does; the browser knows another host, another port and a folder."""
    classes = Classes.named(NAMES)
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


def test_one_file_is_saved(page, server):
    page.run(
        "window.saved = null; URL.createObjectURL = blob => { blob.text().then(text => saved = text); return '#'; }"
    )
    page.at("share").click()
    page.until("saved !== null && !at('share').disabled")
    image = page.run("return state.panes[0].image.id")
    assert page.run("return saved") == server.session.share(image, page.run("return state.panes[0].model"))["html"]
