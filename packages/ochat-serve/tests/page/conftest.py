"""One real browser, and the page in it as a person handles it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ochat_serve import ScriptedEngine, ServerSettings
from ochat_serve.engine import SamplingParams
from ochat_serve.testing import LocalServer, wait_until
from ochat_templates import Codec

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-device-scale-factor=1",
    "--window-size=1280,800",
)
# Before anything of the page: what goes wrong in it is collected.
_WATCH = """
window.faults = [];
addEventListener("error", (event) => window.faults.push(String(event.message ?? event.type)), true);
addEventListener("unhandledrejection", (event) => window.faults.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => window.faults.push(event.violatedDirective));
"""
# Waiting for what a person sees, under however much load: this long it is broken.
_PATIENCE = 30.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here needs the browser."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser saves files."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Any]:
    """A headless Chromium; every test has an origin, and so a store, of its own."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    profile = tmp_path_factory.mktemp("profile")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*_ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        behaviour = {"behavior": "allow", "downloadPath": str(downloads)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
        yield driver
    finally:
        driver.quit()


class Answers:
    """What the scripted engine answers: by words of the question, else a plain "Yes."."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._known: list[tuple[str, str]] = []

    def to(self, words: str, answer: str) -> None:
        """Answer `answer` where the last question holds `words`."""
        self._known.insert(0, (words, answer))

    def __call__(self, prompt_ids: Sequence[int], _sampling: SamplingParams) -> list[int]:
        """The script of one prompt."""
        ends = [i for i, token in enumerate(prompt_ids) if token == self._codec.eot_id]
        begin = ends[-2] + 1 if len(ends) > 1 else 0
        question = self._codec.decode(prompt_ids[begin:])
        found = (answer for words, answer in self._known if words in question)
        return [*self._codec.encode_text(next(found, "Yes.")), self._codec.eot_id]


class Page:
    """The page, handled as a person would: by what is seen and by keys."""

    def __init__(
        self, browser: Any, answers: Answers, engine: ScriptedEngine, url: str, downloads: Path
    ) -> None:
        self.browser, self.answers, self.engine = browser, answers, engine
        self.url, self.downloads = url, downloads
        self.expected: list[str] = []

    def open(self) -> None:
        """Load the page and wait until it can be used."""
        self.browser.get(self.url)
        self.ready()

    def reload(self) -> None:
        """As with F5."""
        self.browser.refresh()
        self.ready()

    def ready(self) -> None:
        """Wait until the page has started and the server has answered, whatever it said."""
        self.wait(
            lambda: (
                self.js("return document.documentElement.dataset.ready") == "true"
                and self.js("return document.getElementById('model').dataset.state") != "connecting"
            )
        )

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait for something to be seen; elements may be replaced meanwhile."""
        from selenium.common.exceptions import (
            NoSuchElementException,
            StaleElementReferenceException,
        )

        def holds() -> bool:
            try:
                return bool(condition())
            except (NoSuchElementException, StaleElementReferenceException):
                return False

        wait_until(holds, seconds=_PATIENCE)

    def js(self, script: str, *arguments: object) -> Any:
        """Run a script in the page."""
        return self.browser.execute_script(script, *arguments)

    def one(self, selector: str) -> Any:
        """The first element of a selector."""
        return self.browser.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        """Every element of a selector."""
        return self.browser.find_elements("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of the elements, as they are shown."""
        return [each.text for each in self.all(selector)]

    def click(self, selector: str) -> None:
        """Click once it is there and can be clicked."""
        self.wait(lambda: self.one(selector).is_displayed() and self.one(selector).is_enabled())
        self.one(selector).click()

    def choose(self, label: str) -> None:
        """Choose an entry of the open menu."""
        self.wait(lambda: label in self.texts(".menu button"))
        next(each for each in self.all(".menu button") if each.text == label).click()

    def press(self, *keys: str) -> None:
        """Press keys together, wherever the focus is."""
        from selenium.webdriver import ActionChains

        chain = ActionChains(self.browser)
        for key in keys[:-1]:
            chain = chain.key_down(key)
        chain = chain.send_keys(keys[-1])
        for key in reversed(keys[:-1]):
            chain = chain.key_up(key)
        chain.perform()

    def write(self, text: str) -> None:
        """Write into the message field."""
        self.one("#input").send_keys(text)

    def send(self, text: str) -> None:
        """Write a message and send it."""
        self.write(text)
        self.click("#send")

    def ask(self, text: str, answers: int | None = None) -> None:
        """Send a message and wait for its answer."""
        before = len(self.all(".message.assistant"))
        self.send(text)
        self.answered(before + 1 if answers is None else answers)

    def answered(self, count: int) -> None:
        """Wait until that many answers are shown and none is arriving."""
        self.wait(
            lambda: (
                len(self.all(".message.assistant")) == count
                and not self.all(".streaming")
                and not self.one("#stop").is_displayed()
            )
        )

    def tool(self, role: str, label: str, index: int = -1) -> None:
        """Use a tool of a message."""
        self.wait(lambda: self.all(f'.message.{role} [aria-label="{label}"]'))
        self.all(f'.message.{role} [aria-label="{label}"]')[index].click()

    def conversations(self) -> list[str]:
        """The titles in the list."""
        return self.texts(".conversation .name")

    def menu_of(self, title: str) -> None:
        """Open the menu of a conversation in the list."""
        self.wait(lambda: title in self.conversations())
        self.one(f'[aria-label="More for {title}"]').click()

    def saved(self, name: str) -> Path:
        """The path of a saved file, once it is whole."""
        path = self.downloads / name
        self.wait(lambda: path.exists() and path.stat().st_size > 0)
        return path

    def faults(self) -> list[str]:
        """Everything that went wrong in the page, but for what the test expects."""
        logged = [e for e in self.browser.get_log("browser") if e["level"] == "SEVERE"]
        found = [e["message"] for e in logged] + (self.js("return window.faults") or [])
        return [each for each in found if not any(words in each for words in self.expected)]


@pytest.fixture
def answers(codec: Codec) -> Answers:
    """The script of the test's engine."""
    return Answers(codec)


@pytest.fixture
def page_of(
    browser: Any, answers: Answers, serve: Callable[..., LocalServer], downloads: Path
) -> Iterator[Callable[..., Page]]:
    """Open the page of a new server; at the end nothing may have gone wrong in it."""
    pages: list[Page] = []

    def make(settings: ServerSettings | None = None, **options: Any) -> Page:
        engine = ScriptedEngine(answers, **{"max_model_len": 4096, **options})
        browser.get_log("browser")  # what earlier tests left
        page = Page(browser, answers, engine, serve(engine, settings).url, downloads)
        page.open()
        pages.append(page)
        return page

    yield make
    faults = pages[-1].faults()
    browser.get("about:blank")  # before the server goes: its page would miss it
    assert faults == []


@pytest.fixture
def page(page_of: Callable[..., Page]) -> Page:
    """The page of a server with the plain settings."""
    return page_of()
