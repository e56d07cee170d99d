"""The chat page in a real browser, used as a person would."""

from __future__ import annotations

import json
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from ochat_serve import ScriptedEngine, ServerSettings
from ochat_serve.testing import LocalServer, wait_until
from ochat_templates import Codec

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium that keeps its network log."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--window-size=1200,800",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def by_id(browser: Any, name: str) -> Any:
    return browser.find_element("id", name)


def texts(browser: Any, selector: str) -> list[str]:
    return [each.text for each in browser.find_elements("css selector", selector)]


def send(browser: Any, text: str) -> None:
    wait_until(lambda: by_id(browser, "model").text not in ("connecting …", "not connected"))
    by_id(browser, "input").send_keys(text)
    by_id(browser, "send").click()


def answered(browser: Any, count: int = 1) -> None:
    wait_until(
        lambda: (
            len(texts(browser, ".message.assistant")) == count
            and not browser.find_elements("css selector", ".streaming")
        )
    )


def requested_hosts(browser: Any) -> set[str]:
    """Where the browser sent requests over a network; its own start page is of other schemes."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
    urls = [urllib.parse.urlsplit(each["request"]["url"]) for each in sent]
    return {url.netloc for url in urls if url.scheme in ("http", "https", "ws", "wss")}


@pytest.mark.browser
@needs_browser
def test_a_message_is_sent_and_the_answer_is_streamed(
    browser: Any, serve: Callable[..., LocalServer], codec: Codec
) -> None:
    evil = '<script>document.title="x"</script><img src=https://example.com/x onerror=alert(1)>'
    script = [*codec.encode_text(f"{evil}\nLine two, 你好."), codec.eot_id]
    engine = ScriptedEngine(script, tokens_per_second=200)
    server = serve(engine)
    browser.get(server.url)
    send(browser, "Hello there")
    answered(browser)
    assert texts(browser, ".message.user .text") == ["Hello there"]
    assert texts(browser, ".message.assistant .text") == [f"{evil}\nLine two, 你好."]
    assert texts(browser, ".message.assistant .tag") == ["GPT4"]
    assert f"{len(script)} tokens" in texts(browser, ".facts")[-1]
    assert browser.title == "OpenChat"
    assert browser.get_log("browser") == []
    assert requested_hosts(browser) == {server.url.removeprefix("http://")}


@pytest.mark.browser
@needs_browser
def test_condition_system_text_and_history_are_sent(
    browser: Any, serve: Callable[..., LocalServer], codec: Codec
) -> None:
    from selenium.webdriver.support.ui import Select

    engine = ScriptedEngine([*codec.encode_text("Yes."), codec.eot_id])
    browser.get(serve(engine).url)
    wait_until(lambda: by_id(browser, "model").text == "openchat_v3.2")
    Select(by_id(browser, "condition-select")).select_by_value("GPT3")
    by_id(browser, "toggle-settings").click()
    by_id(browser, "system").send_keys("Be brief.")
    send(browser, "First")
    answered(browser)
    send(browser, "Second")
    answered(browser, 2)
    from ochat_templates import Conversation, Message

    turns = (("user", "First"), ("assistant", "Yes."), ("user", "Second"))
    expected = Conversation(
        messages=tuple(Message(role=r, content=c) for r, c in turns),
        system="Be brief.",
        condition="GPT3",
    )
    assert list(engine.requests[-1].prompt_ids) == codec.prompt(expected)
    assert engine.requests[-1].sampling.temperature == 0.7
    by_id(browser, "new-chat").click()
    assert texts(browser, ".message") == []


@pytest.mark.browser
@needs_browser
def test_stop_aborts_the_engine_and_keeps_what_came(
    browser: Any, serve: Callable[..., LocalServer], codec: Codec
) -> None:
    engine = ScriptedEngine(codec.encode_text("word " * 500), tokens_per_second=50)
    browser.get(serve(engine).url)
    send(browser, "Talk")
    wait_until(lambda: "word word" in texts(browser, ".message.assistant .text")[-1])
    by_id(browser, "stop").click()
    answered(browser)
    assert "stopped" in texts(browser, ".facts")[-1]
    wait_until(lambda: engine.aborted == 1, seconds=5)
    assert by_id(browser, "send").is_displayed()


@pytest.mark.browser
@needs_browser
def test_a_missing_key_is_asked_for_and_an_error_gives_the_question_back(
    browser: Any, serve: Callable[..., LocalServer], codec: Codec
) -> None:
    engine = ScriptedEngine([*codec.encode_text("Yes."), codec.eot_id], max_model_len=60)
    server = serve(engine, ServerSettings(api_keys=("sk-page",)))
    browser.get(server.url)
    wait_until(lambda: by_id(browser, "notice").is_displayed())
    assert "API key" in by_id(browser, "notice").text
    by_id(browser, "toggle-settings").click()
    by_id(browser, "api-key").send_keys("sk-page\t")
    wait_until(lambda: by_id(browser, "model").text == "openchat_v3.2")
    send(browser, "too long " * 40)
    wait_until(lambda: "maximum context length is 60" in by_id(browser, "notice").text)
    assert texts(browser, ".message") == []
    assert by_id(browser, "input").get_attribute("value") == "too long " * 40
    by_id(browser, "input").clear()
    send(browser, "Hi")
    answered(browser)
    assert texts(browser, ".message.assistant .text") == ["Yes."]


def test_the_page_forbids_everything_from_elsewhere(serve: Callable[..., LocalServer]) -> None:
    import http.client

    server = serve()
    for path in ("/", "/page/app.js", "/page/stream.js", "/page/app.css", "/page/icon.svg"):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        assert "default-src 'none'" in str(response.getheader("content-security-policy"))
        assert response.getheader("x-content-type-options") == "nosniff"
        response.read()
        connection.close()


def test_the_page_never_makes_markup_of_text() -> None:
    folder = resources.files("ochat_serve") / "page"
    for name in ("app.js", "stream.js", "index.html"):
        source = (folder / name).read_text(encoding="utf-8")
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "http://",
            "https://",
            " onclick",
            "eval(",
        ):
            assert forbidden not in source
