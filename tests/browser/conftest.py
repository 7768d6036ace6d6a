"""Debian's Chromium with the machine's own driver: nothing is downloaded."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Browser:
    """A window on one page, which hears what the page says and asks for."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.shown: tuple[str, int] | None = None

    def open(self, path: Path, width: int = 1280) -> "Browser":
        """Show a file in a window of that many pixels, unless it is there; all charts drawn."""
        wanted = (path.as_uri(), width)
        if self.shown != wanted:
            self.shown = None
            self.command(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=900,
                deviceScaleFactor=1,
                mobile=width < 600,
            )
            self.command("Emulation.setTouchEmulationEnabled", enabled=width < 600)
            self.driver.get(wanted[0])
            self.run("document.querySelectorAll('.chart').forEach(draw)")
            self.until("[...document.querySelectorAll('.plot')].every(p => p._fullLayout)")
            self.shown = wanted
        return self

    def leave(self, url: str) -> None:
        """Go to a page that draws nothing."""
        self.shown = None
        self.driver.get(url)

    def command(self, name: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, arguments)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, seconds, 0.05).until(lambda _: self.run(f"return {condition}"))

    def point_at(self, selector: str, shows: str) -> None:
        """Move the mouse onto the first element that a selector finds; a narrow window is tapped.

        Until a condition is true: on a busy machine a window still scrolls, or draws, and takes no
        notice of the first moves.
        """
        from selenium.common.exceptions import TimeoutException

        find = "const e = document.querySelector(arguments[0]);"
        box = f"{find} const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]"
        for attempt in range(12):
            self.run(f"{find} e.scrollIntoView({{block: 'center', behavior: 'instant'}})", selector)
            self.run(
                "await new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))"
            )
            x, y, width, height = self.run(box, selector)
            at = {"x": x + width / 2, "y": y + height / 2}
            if self.run("return matchMedia('(pointer: coarse)').matches"):
                self.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[at])
                self.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            else:
                before = {"x": at["x"] + 20 + attempt, "y": at["y"] + 20}
                self.command("Input.dispatchMouseEvent", type="mouseMoved", **before)
                self.command("Input.dispatchMouseEvent", type="mouseMoved", **at)
            try:
                return self.until(shows, seconds=5)
            except TimeoutException:
                continue
        raise AssertionError(f"{selector} was pointed at, and never was {shows}")

    def complaints(self) -> list[str]:
        """What the console has said since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call that are neither the file nor inside it."""
        events = (json.loads(e["message"])["message"] for e in self.driver.get_log("performance"))
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        urls = [params["request"]["url"] for params in sent]
        return [url for url in urls if not url.startswith(("data:", "file:", "blob:"))]


@contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """A browser that keeps its own files in a folder."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def quiet(browser: Browser) -> Iterator[Callable[[], None]]:
    """A page that complains, or asks for anything, fails the test."""
    browser.complaints(), browser.requests()

    def check() -> None:
        assert browser.complaints() == []
        assert browser.requests() == []

    yield check
    check()
