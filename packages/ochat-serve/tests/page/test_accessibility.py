"""axe-core looks at every state of the pages, and an answer is used by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ochat_serve import ServerSettings

AXE = (Path(__file__).parents[1] / "vendor" / "axe.min.js").read_text(encoding="utf-8")
RUN = """
const done = arguments[0];
axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => done(violations
  .filter(({impact}) => impact === "serious" || impact === "critical")
  .flatMap(({id, help, nodes}) => nodes.slice(0, 3).map((node) =>
    `${id}: ${help}: ${node.target.join(" ")}: ${node.html.slice(0, 160)}: `
    + node.any.concat(node.all).map((check) => check.message).join(" ").slice(0, 200)))),
  (error) => done([`axe broke: ${error}`]));
"""
ANSWER = r"""# Title

Text with **bold**, `code`, a [link](https://example.org/a) and $x^2$, then מה שלומך.

## Part

| a | b |
|---|--:|
| one | $\frac{1}{2}$ |

$$\int_0^1 x\,dx + \sum_{k=1}^{100} \frac{a_k + b_k + c_k + d_k}{e_k + f_k + g_k} = \zeta(3) + \pi$$

- [x] done
- [ ] open

1. first
   > quoted

```python
def add(a: int) -> int:
    return a + 1  # a comment that is long enough to be scrolled on any phone there is
```

![picture](https://example.org/p.png)
"""


def faults(page: Any) -> list[str]:
    """Serious and critical faults of what is shown now."""
    page.browser.set_script_timeout(60)
    if page.js("return typeof window.axe") == "undefined":
        page.js(AXE)
    return page.browser.execute_async_script(RUN)


def dark(page: Any, value: str = "dark") -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": value}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


@pytest.fixture
def phone(page: Any) -> Iterator[Any]:
    override = {"width": 375, "height": 720, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", override)
    page.reload()
    yield page
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def read_answer(page: Any) -> None:
    page.answers.to("Everything", ANSWER)
    page.ask("Everything")
    page.wait(lambda: page.all(".answer .hljs-keyword") and len(page.all(".answer .katex")) == 3)


def test_a_fault_would_be_found(page: Any) -> None:
    page.js("document.querySelector('main, body').append(document.createElement('button'))")
    [found] = faults(page)
    assert found.startswith("button-name: ")


def test_the_empty_page_and_its_panels(page: Any) -> None:
    assert faults(page) == []
    page.click("#toggle-settings")
    page.wait(lambda: page.one("#settings").is_displayed())
    assert faults(page) == []
    page.click("#open-data")
    page.wait(lambda: page.all(".menu button"))
    assert faults(page) == []
    page.press("\ue00c")  # Escape
    page.click("#open-prompts")
    page.wait(lambda: page.all("dialog[open]"))
    assert faults(page) == []


def test_a_conversation_in_light_and_dark(page: Any) -> None:
    read_answer(page)
    assert faults(page) == []
    dark(page)
    try:
        assert faults(page) == []
    finally:
        dark(page, "light")


def test_a_conversation_on_a_phone(phone: Any) -> None:
    read_answer(phone)
    assert faults(phone) == []
    assert phone.js("return document.documentElement.scrollWidth") <= 375


def test_a_comparison(page: Any) -> None:
    page.click("#toggle-compare")
    page.wait(lambda: page.one("#compare").is_displayed())
    page.send("Compare this")
    page.wait(lambda: len(page.all(".pair .message")) == 2 and not page.all(".streaming"))
    assert faults(page) == []


def test_an_error_and_a_closed_server(page_of: Callable[..., Any]) -> None:
    page = page_of(ServerSettings(api_keys=("sk-axe",)), max_model_len=80)
    page.expected += ["401", "400"]
    page.wait(lambda: page.one("#banner").is_displayed())
    assert faults(page) == []
    page.browser.get(f"{page.url}/status")
    page.wait(lambda: page.one("#key-form").is_displayed())
    assert faults(page) == []
    page.one("#key").send_keys("sk-axe\n")
    page.wait(lambda: page.one("#report").is_displayed())
    page.open()
    page.send("too long " * 60)
    page.wait(lambda: page.all(".error-card:not([hidden])"))
    assert faults(page) == []


def test_the_status_page_in_light_and_dark(page: Any) -> None:
    page.ask("Hello")
    page.browser.get(f"{page.url}/status")
    page.wait(lambda: page.all("#requests table"))
    assert faults(page) == []
    dark(page)
    try:
        assert faults(page) == []
    finally:
        dark(page, "light")


def test_an_answer_is_copied_scrolled_and_followed_by_keyboard(page: Any) -> None:
    read_answer(page)
    page.js(
        "window.copied = []; Object.defineProperty(navigator, 'clipboard', "
        "{value: {writeText: async (text) => { window.copied.push(text); }}});"
    )
    page.js("document.querySelector('.answer').setAttribute('tabindex', '-1');")
    page.js("document.querySelector('.answer').focus()")
    seen = []
    for _ in range(8):
        page.press("\ue004")  # Tab
        seen.append(
            page.js(
                "const e = document.activeElement; return e.className || e.tagName.toLowerCase()"
            )
        )
        if seen[-1] == "copy":
            page.press("\ue007")  # Enter
            page.wait(lambda: page.one(".answer .copy").text == "Copied")
    assert {"a", "table", "copy", "pre"} <= set(seen)
    [copied] = page.js("return window.copied")
    assert copied.startswith("def add(a: int) -> int:\n    return a + 1")
    page.wait(lambda: page.one(".answer .copy").text == "Copy")


def test_headings_of_an_answer_go_on_where_the_page_stops(page: Any) -> None:
    read_answer(page)
    levels = page.js(
        "return [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')]"
        ".filter((e) => e.checkVisibility()).map((e) => Number(e.tagName[1]))"
    )
    # In the page's order the list of conversations comes first.
    outline = levels[levels.index(1) :]
    assert all(later - earlier <= 1 for earlier, later in pairwise(outline))
    assert outline[-2:] == [3, 4]
