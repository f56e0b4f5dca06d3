"""A real Chromium, and the pages that it opens, for the tests of the pages."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

REQUIRED = "NLP_TRANSFER_REQUIRE_BROWSER"
CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
# Nothing but the page itself may speak to the network, so the browser's own errands are switched off.
SWITCHES = (
    "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "disable-dev-shm-usage", "no-first-run",
    "disable-background-networking", "disable-component-update", "disable-sync", "disable-default-apps",
    "disable-extensions", "hide-scrollbars", "force-color-profile=srgb",
)  # fmt: skip


class Page:
    """One open page: its width, its colour scheme and medium can be changed."""

    def __init__(self, driver: webdriver.Chrome, path: Path) -> None:
        self.driver, self.path = driver, path
        driver.get_log("browser")
        driver.get_log("performance")
        driver.get(path.as_uri())

    def ask(self, script: str, *arguments: Any) -> Any:
        """Return what a script answers."""
        return self.driver.execute_script(f"return {script}", *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def set_width(self, width: int, *, height: int = 900) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def set_media(self, *, scheme: str = "light", medium: str = "screen") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": features})

    def requests(self) -> list[str]:
        """List what this page asked for since it was opened, images inside the file apart.

        The browser's own new tab, which may still be loading at its start, is another document.
        """
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        asked = [each["request"]["url"] for each in sent if each["documentURL"] == self.path.as_uri()]
        return [url for url in asked if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """List what the console says of this page."""
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in said if not message.startswith("chrome://")]


def start(profile: Path) -> webdriver.Chrome:
    """Start a headless Chromium with a profile of its own.

    Where there is none the test is skipped and says what to do; where one is required (`.ci/run`) it fails.
    """
    missing = [str(path) for path in (CHROMIUM, DRIVER) if not path.is_file()]
    if missing:
        advice = (
            f"the tests of the pages need a real browser and {', '.join(missing)} is not there: "
            "apt-get install -y chromium chromium-driver"
        )
        if os.environ.get(REQUIRED):
            pytest.fail(advice, pytrace=False)
        pytest.skip(advice)
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for switch in SWITCHES:
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(str(DRIVER)))
