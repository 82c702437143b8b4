"""Does the page do in a real browser what it promises: by mouse, keyboard and finger, wide and narrow?"""

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app.program import GARMENTS
from app.served import FAST, Server, serving
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import Select, WebDriverWait

WIDTHS = (390, 1280)
DRESS, BAG = (str(GARMENTS / name) for name in ("dress.jpg", "bag.jpg"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("fashion-mnist", FAST, "cifar10") as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture
def page(server: Server, browser: WebDriver) -> Iterator["Page"]:
    opened = Page(browser, server.address)
    yield opened
    assert opened.errors() == []


class Page:
    """The page in a browser."""

    def __init__(self, browser: WebDriver, address: str) -> None:
        self.browser, self.address = browser, address
        self.resize(1280)
        browser.get_log("browser")
        browser.get(address)

    def resize(self, width: int) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def find(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def choose(self, *photos: str) -> list[str]:
        self.find("#files").send_keys("\n".join(photos))
        return self.answers(len(photos))

    def answers(self, count: int) -> list[str]:
        """Wait for so many answers, and return their headings, or what they complain of."""

        def there(_: object) -> bool:
            busy = self.find("#answers").get_attribute("aria-busy") != "false"
            return not busy and self.run("return document.querySelectorAll('article').length") == count

        WebDriverWait(self.browser, 30).until(there)
        return self.run(
            "return [...document.querySelectorAll('article')].map(a => a.querySelector('h2, p').textContent)"
        )

    def status(self) -> str:
        return self.find("#status").text

    def errors(self) -> list[str]:
        """Return the errors in the console, but for answers of the service that say that a photo is bad."""
        severe = [line["message"] for line in self.browser.get_log("browser") if line["level"] == "SEVERE"]
        return [message for message in severe if "status of 422" not in message]


def test_a_photo_is_shown_with_what_it_is_how_sure_and_why(page: Page):
    assert page.choose(DRESS) == ["dress.jpg: Dress, 99.3 %"]
    assert page.status() == "dress.jpg: Dress, 99.3 %"  # which a screen reader reads
    assert page.run("return [...document.querySelectorAll('meter')].map(m => m.value)")[0] == pytest.approx(
        0.993, abs=0.005
    )
    assert re.fullmatch(r"fashion-mnist took \d+ ms, and the whole answer \d+ ms\.", page.find(".time").text)
    assert "became 28×28 pixels, light and dark swapped, which are resized to 131×131" in page.find("figcaption").text
    assert "the framed, highest cell is its logit" in page.find("figcaption").text
    coloured = (
        "const c = arguments[0]; const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let n = 0; for (let i = 0; i < d.length; i += 4) n += Math.abs(d[i] - d[i + 2]) > 8; return n"
    )
    plain, over = page.browser.find_elements(By.CSS_SELECTOR, "article canvas")
    WebDriverWait(page.browser, 5).until(lambda _: page.run(coloured, over) > 10_000)
    assert page.run(coloured, plain) == 0


def test_another_class_can_be_chosen_by_keyboard(page: Page):
    page.choose(DRESS)
    second = page.browser.find_elements(By.CSS_SELECTOR, ".bars button")[1]
    before = page.run("return document.querySelector('canvas.map').toDataURL()")
    second.send_keys(Keys.ENTER)
    assert second.get_attribute("aria-pressed") == "true"
    assert second.text in page.find("canvas.map").get_attribute("aria-label")
    WebDriverWait(page.browser, 5).until(
        lambda _: page.run("return document.querySelector('canvas.map').toDataURL()") != before
    )


def test_everything_is_reached_by_keyboard_and_has_a_name(page: Page):
    page.choose(DRESS)
    page.run("document.activeElement.blur()")
    reached: list[str] = []
    for _ in range(30):
        webdriver.ActionChains(page.browser).send_keys(Keys.TAB).perform()
        active = page.browser.switch_to.active_element
        reached.append(active.accessible_name)
        if "the API" in active.text:
            break
    for name in ("Model", "Choose photos", "Draw", "Dress", "Model card of cifar10", "the API"):
        assert name in reached
    assert all(reached)


def test_another_model_is_asked_of_the_same_photos(page: Page):
    page.choose(DRESS, BAG)
    Select(page.find("#model")).select_by_value(FAST)
    WebDriverWait(page.browser, 30).until(lambda _: page.status().startswith(f"{FAST} answered for 2"))
    assert [answer.partition(",")[0] for answer in page.answers(2)] == ["dress.jpg: Dress", "bag.jpg: Bag"]
    assert "have one cell" in page.find("figcaption").text
    assert not page.find("canvas.map").is_displayed()
    Select(page.find("#model")).select_by_value("cifar10")
    assert "airplane, automobile" in page.find("#classes").text
    WebDriverWait(page.browser, 30).until(lambda _: page.status().startswith("cifar10 answered for 2"))
    assert "Blue is for the class" in page.find("figcaption").text


def test_bad_photos_are_said_between_the_good_ones(page: Page, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Image.new("1", (12_000, 12_000)).save(tmp_path / "many pixels.png")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(51_000_000)
    (tmp_path / "<b>bold.png").write_bytes(b"hello")
    photos = [tmp_path / name for name in ("broken.png", "many pixels.png", "huge.jpg", "<b>bold.png")]
    answers = page.choose(DRESS, *map(str, photos), BAG)
    assert answers[0].startswith("dress.jpg: Dress")
    assert answers[-1].startswith("bag.jpg: Bag")
    for answer, expected in zip(
        answers[1:-1],
        (
            "broken.png: it cannot be decoded",
            "many pixels.png: 12000 x 12000 pixels",
            "huge.jpg: more than 50 MB",
            "<b>bold.png: not a",
        ),
        strict=True,
    ):
        assert answer.startswith(expected)
    assert page.status() == "fashion-mnist answered for 2 of 6 photos."
    assert page.run("return document.querySelectorAll('article b').length") == 0


GIVE = """
const [kind, base64] = arguments, bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], "given.jpg", { type: "image/jpeg" }));
const event = kind === "paste"
  ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
  : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
document.getElementById("drop").dispatchEvent(event);
return event.defaultPrevented;
"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_a_photo_can_be_pasted_and_dropped(page: Page, kind: str):
    prevented = page.run(GIVE, kind, base64.b64encode(Path(DRESS).read_bytes()).decode())
    assert prevented == (kind == "drop")  # else the photo would take the place of the page
    assert page.answers(1)[0].startswith("given.jpg: Dress")


def test_a_drawing_can_be_classified(page: Page):
    page.find("#draw").click()
    canvas = page.find("#canvas")
    pen = webdriver.ActionChains(page.browser)
    pen.move_to_element_with_offset(canvas, -60, -100).click_and_hold()
    for across, down in ((0, 200), (120, 0), (0, -200), (-30, 0), (0, 150), (-60, 0), (0, -150)):
        pen.move_by_offset(across, down)
    pen.release().perform()
    page.find("#classify").click()
    [answer] = page.answers(1)
    assert answer.startswith("drawing.png: ")
    dark = (
        "const c = document.getElementById('canvas'), d = c.getContext('2d').getImageData(0, 0, 280, 280).data;"
        "let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] < 128; return n"
    )
    assert page.run(dark) > 5000
    page.find("#clear").click()
    assert page.run(dark) == 0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_can_be_read_wide_and_narrow_light_and_dark(page: Page, width: int, scheme: str):
    page.resize(width)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    page.choose(DRESS)
    for details in page.browser.find_elements(By.TAG_NAME, "details"):
        page.run("arguments[0].open = true", details)
    assert page.run("return document.documentElement.scrollWidth") <= width
    heights = "return [...document.querySelectorAll('button, select, summary')].map(e => e.offsetHeight || 99)"
    assert min(page.run(heights)) >= 24  # what a finger hits
    colours = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    ink, paper = (brightness(colour) for colour in page.run(colours))
    assert (ink - paper > 150) if scheme == "dark" else (paper - ink > 150)


def brightness(colour: str) -> float:
    parts = [float(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
    return sum(parts) / 3


def test_the_model_card_is_there(page: Page):
    page.find("details summary").click()
    assert "Network in Network" in page.find(".modelcard").text
    assert "license: mit" not in page.find(".modelcard").text


def test_the_api_has_a_page_that_loads_nothing_from_elsewhere(page: Page):
    page.browser.get_log("performance")
    page.browser.get(f"{page.address}/docs")
    WebDriverWait(page.browser, 20).until(lambda _: "/api/predict" in page.find("#swagger-ui").text)
    asked = [line["message"] for line in page.browser.get_log("performance") if 'requestWillBeSent"' in line["message"]]
    assert asked
    assert all(page.address in line or '"url":"data:' in line for line in asked)
