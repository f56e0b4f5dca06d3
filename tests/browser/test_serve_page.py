"""The page of `nlp-transfer serve` in a real Chromium: type, see, send a file, download, wide and narrow."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import chromium
import pytest
from fake_translator import FakeTranslator
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from serving import FakeClassifier, api, running

from nlp_transfer.serving.limits import Limits

WAIT_SECONDS = 30
NASTY = "<img src=x onerror=alert(1)><b>bold</b>"


class Page:
    """The page as a person uses it."""

    def __init__(self, driver: webdriver.Chrome, url: str, downloads: Path) -> None:
        self.driver = driver
        self.url = url
        self.downloads = downloads
        driver.get(url)
        self.until(lambda: self.text("serving") != "")

    def find(self, id: str) -> Any:
        return self.driver.find_element(By.ID, id)

    def text(self, id: str) -> str:
        return str(self.find(id).text)

    def until(self, is_so: Callable[[], Any]) -> Any:
        return WebDriverWait(self.driver, WAIT_SECONDS, poll_frequency=0.05).until(lambda _: is_so())

    def all(self, selector: str) -> list[str]:
        """Return the texts of all such nodes, at one moment: the page may be about to replace them."""
        script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.innerText)"
        return list(self.driver.execute_script(script, selector))

    def ask(self, text: str) -> None:
        self.find("text").clear()
        self.find("text").send_keys(text, Keys.CONTROL, Keys.ENTER)

    def downloaded(self, name: str) -> str:
        """Wait for a download and return its text."""
        path = self.downloads / name
        self.until(path.exists)
        return path.read_text(encoding="utf-8")

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requested(self) -> set[str]:
        """Return the addresses that the browser asked since the last call, those within the page left out."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        urls = {event["request"]["url"] for event in sent}
        return {url for url in urls if not url.startswith(("data:", "blob:", "chrome:", "about:"))}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    started = chromium.start(tmp_path_factory.mktemp("profile"))
    yield started
    started.quit()


@pytest.fixture
def open_page(driver: webdriver.Chrome, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Return a function that serves models and opens their page; its complaints are none at the end."""
    with ExitStack() as stack:

        def opened(models: dict[str, Any], *, width: int = 1280, limits: Limits | None = None) -> Page:
            url = stack.enter_context(running(stack.enter_context(api(models, limits))))
            folder = tmp_path / "downloads"
            behaviour = {"behavior": "allow", "downloadPath": str(folder)}
            driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get("about:blank")
            driver.get_log("performance")
            return Page(driver, url, folder)

        yield opened
        driver.get("about:blank")


@pytest.mark.parametrize("width", [390, 1280])
def test_type_and_see_labels_of_two_models_and_download_them(open_page: Any, width: int) -> None:
    page = open_page({"base": FakeClassifier(), "adapted": FakeClassifier()}, width=width)
    assert page.text("serving") == "Labels by base, adapted"
    page.find("lines").click()
    page.ask(f"{'x' * 80}\n{NASTY}")
    page.until(lambda: page.all(".source"))
    assert page.all(".source") == ["x" * 80, NASTY]
    assert page.all(".answer h3") == ["base", "adapted"] * 2
    assert page.all(".answer .label") == ["long", "long", "short", "short"]
    assert page.all(".bar")[0].split() == ["long", "80.0", "%"]
    fill = page.driver.find_element(By.CSS_SELECTOR, ".bar.best .fill").rect["width"]
    track = page.driver.find_element(By.CSS_SELECTOR, ".bar.best .track").rect["width"]
    page.until(lambda: 0.7 < fill / track < 0.85)
    assert page.text("state") == "2 texts answered."
    columns = [node.rect["x"] for node in page.driver.find_elements(By.CSS_SELECTOR, ".answer")[:2]]
    assert (columns[0] == columns[1]) == (width == 390)
    page.find("save-csv").click()
    assert page.downloaded("results.csv").splitlines()[1].startswith(f"{'x' * 80},long,0.8,")
    page.find("save-jsonl").click()
    assert json.loads(page.downloaded("results.jsonl").splitlines()[1])["text"] == NASTY
    assert page.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert page.complaints() == []
    assert {url.partition("/api")[0].rstrip("/") for url in page.requested()} == {page.url}


@pytest.mark.parametrize("width", [390, 1280])
def test_translations_stand_side_by_side_and_a_model_can_be_left_out(open_page: Any, width: int) -> None:
    page = open_page({"parent": FakeTranslator(), "adapted": FakeTranslator("¡{}!".format)}, width=width)
    page.ask("Save\n\nOpen")
    page.until(lambda: page.all(".answer p"))
    assert page.all(".answer p") == ["«Save»\n\n«Open»", "¡Save!\n\n¡Open!"]
    page.driver.find_element(By.CSS_SELECTOR, "input[value=parent]").click()
    page.ask("Close")
    page.until(lambda: page.all(".answer p") == ["¡Close!"])
    assert page.complaints() == []


@pytest.mark.parametrize("width", [390, 1280])
def test_send_a_file_see_how_far_it_is_and_fetch_the_result(
    open_page: Any, tmp_path: Path, width: int
) -> None:
    gate = threading.Event()

    def wait(texts: Any) -> None:
        if "row 40" in texts:
            assert gate.wait(WAIT_SECONDS)

    page = open_page({"adapted": FakeClassifier(before=wait)}, width=width)
    (tmp_path / "reviews.csv").write_text("text,n\n" + "".join(f"row {row},{row}\n" for row in range(64)))
    page.find("file").send_keys(str(tmp_path / "reviews.csv"))
    page.until(lambda: page.text("job-rows") == "32 of 64")
    assert page.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    gate.set()
    page.until(lambda: page.find("job-done").is_displayed())
    assert page.text("job-message") == "64 rows answered"
    assert not page.find("job").is_displayed()
    page.find("job-result").click()
    lines = page.downloaded("reviews.labelled.csv").splitlines()
    assert lines[0] == "text,n,label,score,probability_short,probability_long"
    assert (len(lines), lines[64][:9]) == (65, "row 63,63")
    assert page.complaints() == []
    assert {url.partition("/api")[0].rstrip("/") for url in page.requested()} == {page.url}


def test_drop_a_catalogue_and_fetch_it_filled(open_page: Any) -> None:
    page = open_page({"adapted": FakeTranslator()})
    content = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "Save"\nmsgstr ""\n'
    page.driver.execute_script(
        "const data = new DataTransfer(); data.items.add(new File([arguments[0]], 'gl.po'));"
        "const dropped = {dataTransfer: data, bubbles: true, cancelable: true};"
        "byId('drop').dispatchEvent(new DragEvent('drop', dropped));",
        content,
    )
    page.until(lambda: page.find("job-done").is_displayed())
    assert page.text("job-message") == "1 filled and marked fuzzy, 0 kept as they were"
    page.find("job-result").click()
    assert 'msgid "Save"\nmsgstr "«Save»"' in page.downloaded("gl.translated.po")


def test_what_cannot_be_answered_is_told_in_the_page(open_page: Any, tmp_path: Path) -> None:
    page = open_page({"adapted": FakeClassifier()}, limits=Limits(text_characters=100, file_bytes=2000))
    page.find("go").click()
    assert page.text("ask-error") == "Type or paste a text first."
    page.ask("x" * 101)
    page.until(lambda: "101 characters, at most 100" in page.text("ask-error"))
    page.ask("x")
    page.until(lambda: not page.find("ask-error").is_displayed())
    (tmp_path / "a.csv").write_text("words\nx\n")
    page.find("file").send_keys(str(tmp_path / "a.csv"))
    page.until(lambda: "columns: words" in page.text("file-error"))
    page.find("column").send_keys("words")
    page.find("file").send_keys(str(tmp_path / "a.csv"))
    page.until(lambda: page.find("job-done").is_displayed())
    assert not page.find("file-error").is_displayed()
    (tmp_path / "b.csv").write_text("words\n" + "x" * 2000)
    page.find("file").send_keys(str(tmp_path / "b.csv"))
    page.until(lambda: "this server takes; divide it" in page.text("file-error"))
    refused = [line for line in page.complaints() if "422" not in line]
    assert refused == []


def test_a_server_that_is_gone_is_told_in_the_page(open_page: Any) -> None:
    page = open_page({"adapted": FakeClassifier()})
    page.driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    page.ask("x")
    page.until(lambda: "cannot be reached" in page.text("ask-error"))
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**offline, "offline": False})
    page.driver.get_log("browser")


def test_the_page_works_from_the_keyboard_alone(open_page: Any) -> None:
    page = open_page({"base": FakeClassifier(), "adapted": FakeClassifier()})
    order = []
    for _ in range(9):
        focused = page.driver.switch_to.active_element
        order.append(focused.get_attribute("id") or focused.get_attribute("value") or focused.tag_name)
        focused.send_keys(Keys.TAB)
    assert order == ["text", "base", "adapted", "lines", "go", "choose", "column", "summary", "body"]
    page.find("text").send_keys("abc")
    page.find("go").send_keys(Keys.ENTER)
    page.until(lambda: page.all(".source") == ["abc"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("selector", ["body", ".hint", "button.main", "#serving"])
def test_text_stands_out_from_its_ground(open_page: Any, scheme: str, selector: str) -> None:
    page = open_page({"adapted": FakeClassifier()})
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    colours = page.driver.execute_script(
        """
        const node = document.querySelector(arguments[0]);
        let ground = node;
        while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
        return [getComputedStyle(node).color, getComputedStyle(ground).backgroundColor];
        """,
        selector,
    )
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert contrast(*colours) >= 4.5


def contrast(*colours: str) -> float:
    """Return the contrast ratio of two `rgb(r, g, b)` colours (WCAG 2.2, 1.4.3)."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour[4:-1].split(",")]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted(map(luminance, colours))
    return (high + 0.05) / (low + 0.05)
