"""The status page in a real browser: true numbers, a key where one is asked for, pauses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ochat_serve import ServerSettings
from ochat_serve.testing import LocalServer

QUESTION = {"model": "openchat_v3.2", "messages": [{"role": "user", "content": "Hi"}]}
TILES = (
    "return Object.fromEntries([...document.querySelectorAll('.tile')].map((tile) => "
    "[tile.querySelector('h3').textContent, tile.querySelector('.value').firstChild.textContent]))"
)

ERROR_CELLS = (
    "return [...document.querySelectorAll('#errors tbody tr > *')].map((e) => e.textContent)"
)


def ask_for(page: Any, count: int, *, model: str = "openchat_v3.2", key: str | None = None) -> None:
    server = LocalServer(url=page.url)
    for _ in range(count):
        server.post("/v1/chat/completions", {**QUESTION, "model": model}, key=key)


def open_status(page: Any) -> None:
    page.browser.get(f"{page.url}/status")
    page.wait(lambda: page.one("#state").get_attribute("data-state") != "connecting")


def test_the_operator_sees_what_happened_and_what_happens(page: Any, codec: Any) -> None:
    ask_for(page, 3)
    ask_for(page, 2, model="gpt-9")
    open_status(page)
    assert page.one("#state").text == "serving openchat_v3.2"
    answer_tokens = 3 * (len(codec.encode_text("Yes.")) + 1)
    page.wait(lambda: page.js(TILES)["Tokens since the start"] == str(answer_tokens))
    error = ["2", "404", "model_not_found", "/v1/chat/completions"]
    page.wait(lambda: page.js(ERROR_CELLS)[1:5] == error)
    page.wait(lambda: "/v1/chat/completions 3 2 0" in page.texts("#requests tbody tr"))
    assert "Answers ended by: stop 3." in page.one("#requests").text
    assert codec.fingerprint.digest in page.one("#facts").text
    names = page.texts("#latency tbody th")
    assert names == ["First token", "Between tokens", "Whole answer"]
    # Seen again by itself, a moment later.
    ask_for(page, 4)
    page.wait(lambda: "/v1/chat/completions 7 2 0" in page.texts("#requests tbody tr"))
    assert float(page.js(TILES)["Generated"]) > 0
    cells = page.texts("#latency tbody td")
    assert len(cells) == 18
    assert all(cell.endswith(("ms", "s")) for cell in cells)


def test_requests_in_progress_are_seen_while_they_last(page_of: Callable[..., Any]) -> None:
    page = page_of(tokens_per_second=20)
    page.answers.to("Talk", "word " * 800)
    page.send("Talk")
    page.wait(lambda: "word word" in page.one(".message.assistant .answer").text)
    chat = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    open_status(page)
    assert page.js(TILES)["Answering"] == "1"
    status = page.browser.current_window_handle
    page.browser.switch_to.window(chat)
    page.click("#stop")
    page.answered(1)
    page.browser.switch_to.window(status)
    page.wait(lambda: page.js(TILES)["Answering"] == "0")
    page.browser.close()
    page.browser.switch_to.window(chat)


def test_a_closed_server_asks_for_the_key_of_the_chat_page(page_of: Callable[..., Any]) -> None:
    page = page_of(ServerSettings(api_keys=("sk-operator",)))
    page.expected = ["401"]
    open_status(page)
    page.wait(lambda: page.one("#key-form").is_displayed())
    assert not page.one("#report").is_displayed()
    page.one("#key").send_keys("sk-wrong\n")
    page.wait(lambda: "does not know this key" in page.one("#trouble").text)
    page.one("#key").clear()
    page.one("#key").send_keys("sk-operator\n")
    page.wait(lambda: page.one("#report").is_displayed())
    assert "invalid_api_key" in page.one("#errors").text
    assert page.js("return sessionStorage.getItem('ochat-key')") == "sk-operator"
    page.open()
    page.wait(lambda: page.one("#model").get_attribute("data-state") == "ready")


def test_it_rests_while_nobody_looks_and_says_when_the_server_is_gone(page: Any) -> None:
    open_status(page)
    page.js(
        "window.asked = 0; const real = window.fetch;"
        "window.fetch = (...all) => { window.asked += 1; return window.gone ? "
        "Promise.reject(new TypeError('gone')) : real(...all); };"
        "window.seen = (hidden) => { Object.defineProperty(document, 'hidden', "
        "{value: hidden, configurable: true}); "
        "document.dispatchEvent(new Event('visibilitychange')); };"
        "window.seen(true);"
    )
    before = page.js("return window.asked")
    page.browser.set_script_timeout(30)
    page.browser.execute_async_script("setTimeout(arguments[0], 2600)")
    assert page.js("return window.asked") == before
    page.js("window.gone = true; window.seen(false)")
    page.wait(lambda: page.one("#state").text == "not reached")
    assert "cannot be reached" in page.one("#trouble").text
    assert page.one("#tiles").is_displayed()
    page.js("window.gone = false")
    page.wait(lambda: page.one("#state").text == "serving openchat_v3.2")
    assert not page.one("#trouble").is_displayed()


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_reaches_beyond_the_window(page: Any, width: int) -> None:
    ask_for(page, 1, model="a-model-of-quite-a-long-name-that-is-not-here" * 3)
    override = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", override)
    try:
        open_status(page)
        page.wait(lambda: page.all("#errors table"))
        assert page.js("return document.documentElement.scrollWidth") <= width
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
