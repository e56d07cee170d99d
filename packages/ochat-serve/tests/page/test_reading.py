"""Reading: very long answers, small windows, other scripts, no mouse, several models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ochat_serve import ScriptedEngine, ServedModel, build_app
from ochat_serve.testing import local_server
from ochat_templates import Codec

PARAGRAPH = (
    "## Part {n}\n\nA paragraph with **bold**, *italic* and `code`, which is as long as those that "
    "models write when they explain something at length, point by point and with care.\n\n"
    "- one thing\n- another thing, with a [link](https://example.com)\n\n"
    "```python\ndef part_{n}(value: int) -> int:\n    return value * {n}\n```\n\n"
)
# Counts what a reader would feel: long tasks, and the time between two frames.
WATCH_FRAMES = """
window.tasks = [];
new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((e) => e.duration)))
  .observe({type: "longtask"});
window.gaps = [];
let last = performance.now();
const frame = (now) => { window.gaps.push(now - last); last = now; requestAnimationFrame(frame); };
requestAnimationFrame(frame);
"""
NOTHING_OVERFLOWS = """
const wide = [...document.querySelectorAll("body *")].filter((each) => {
  const {left, right, width} = each.getBoundingClientRect();
  if (!width || each.closest("[hidden], .visually-hidden, pre, .skip")) return false;
  if (each.closest(".scroll, figure.code, .katex, table")) return false;
  return right > innerWidth + 1 || left < -1;
});
return [document.documentElement.scrollWidth - innerWidth, wide.map((e) => e.outerHTML)];
"""
STAND_APART = """
const boxes = [...document.querySelectorAll(".controls > *")].map((e) => e.getBoundingClientRect())
  .filter((box) => box.width > 0);
return boxes.every((box, i) => i === 0 || boxes[i - 1].right <= box.left + 0.5);
"""


@pytest.fixture
def sized(browser: Any) -> Any:
    """Set the window's size and whether it is a phone's; set back afterwards."""

    def size(width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    yield size
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def main_thread_seconds(browser: Any) -> float:
    """CPU time of the page's main thread, whatever else the machine does."""
    metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))


def test_an_answer_of_fifty_thousand_characters_does_not_jank(
    page_of: Callable[..., Any],
) -> None:
    answer = ""
    while len(answer) < 50_000:
        answer += PARAGRAPH.format(n=answer.count("## ") + 1)
    page = page_of(tokens_per_second=20_000, tokens_per_event=25, max_model_len=200_000)
    page.answers.to("Everything", answer)
    page.browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    page.js(WATCH_FRAMES)
    before = main_thread_seconds(page.browser)
    page.ask("Everything")
    used = main_thread_seconds(page.browser) - before
    tasks, gaps = sorted(page.js("return window.tasks")), sorted(page.js("return window.gaps"))
    last = PARAGRAPH.format(n=answer.count("## "))
    assert last.split("\n")[0][3:] in page.one(".message.assistant .text").text[-800:]
    # Measured on two busy cores: 3.1 s of CPU time, 17 ms between frames, longest task 111 ms.
    # Rendering all again with every chunk takes minutes of CPU time and tasks of half a second.
    assert used < 12
    assert gaps[len(gaps) // 2] < 50
    assert tasks == [] or tasks[len(tasks) // 2] < 250


@pytest.mark.parametrize(("width", "height"), [(390, 844), (320, 640), (820, 1180)])
def test_nothing_overflows_on_small_windows(
    page: Any, sized: Callable[[int, int], None], width: int, height: int
) -> None:
    wide = "| a | b | c | d | e | f |\n|---|---|---|---|---|---|\n" + "| some words " * 6 + "|\n"
    page.answers.to("wide", f"{wide}\n```\n{'x' * 300}\n```\n\n{'y' * 200} $${'a+' * 60}b$$\n")
    page.answers.to("other", "short")
    sized(width, height)
    page.reload()
    assert page.js(NOTHING_OVERFLOWS) == [0, []]
    page.ask("wide " + "z" * 150)
    assert page.js(NOTHING_OVERFLOWS) == [0, []]
    page.click("#toggle-compare")
    page.send("other")
    page.answered(3)
    assert page.js(NOTHING_OVERFLOWS) == [0, []]
    page.click("#toggle-settings")
    assert page.js(NOTHING_OVERFLOWS) == [0, []]
    page.press("\ue00c")
    page.click("#show-sidebar")
    assert page.js(NOTHING_OVERFLOWS) == [0, []]
    assert page.js("return document.getElementById('middle').inert") is True
    page.click(".conversation")
    page.wait(lambda: not page.one("#sidebar").is_displayed())
    assert page.one("#input").is_displayed()


def test_right_to_left_text_runs_right_to_left(page: Any) -> None:
    hebrew = "שלום, מה שלומך?"
    page.answers.to("שלום", f"{hebrew}\n\n- אחת\n- שתיים\n\nAnd in English.\n\n```\ncode\n```\n")
    page.ask(hebrew)
    direction = "return getComputedStyle(document.querySelector(arguments[0])).direction"
    assert page.js(direction, ".message.user .text") == "rtl"
    assert page.js(direction, ".message.assistant .text p") == "rtl"
    assert page.js(direction, ".message.assistant .text li") == "rtl"
    assert page.js(direction, ".message.assistant .text pre") == "ltr"
    english = (
        "return getComputedStyle([...document.querySelectorAll('.answer p')].at(-1)).direction"
    )
    assert page.js(english) == "ltr"
    page.write("שלום")
    assert page.js(direction, "#input") == "rtl"


def test_shift_and_enter_begin_a_new_line_and_enter_sends(page: Any) -> None:
    page.write("one")
    page.press("\ue008", "\ue007")
    page.write("two")
    assert page.texts(".message") == []
    page.press("\ue007")
    page.answered(1)
    assert page.texts(".message.user .text") == ["one\ntwo"]


def test_everything_can_be_done_without_a_mouse(page: Any) -> None:
    enter, tab, escape, down, alt, control = (
        "\ue007", "\ue004", "\ue00c", "\ue015", "\ue00a", "\ue009",
    )  # fmt: skip

    def focus() -> str:
        return page.js(
            "const e = document.activeElement; if (e === document.body) return '';"
            "return e.getAttribute('aria-label') || e.textContent.trim() || e.id"
        )

    def go_to(label: str) -> None:
        for _ in range(80):
            if focus().startswith(label):
                return
            page.press(tab)
        raise AssertionError(f"{label} cannot be reached; the focus is on {focus()}")

    page.press("Hi")
    page.press(enter)
    page.answered(1)
    go_to("Skip to the message field")
    page.press(enter)
    page.wait(lambda: page.js("return document.activeElement.id") == "input")
    page.press(alt, "r")
    page.wait(lambda: page.texts(".branch") == ["2/2"])
    page.answered(1)
    go_to("Earlier version")
    page.press(enter)
    page.wait(lambda: page.texts(".branch") == ["1/2"])
    go_to("More for Hi")
    page.press(enter)
    page.wait(lambda: focus() == "Rename …")
    page.press(down)
    assert focus() == "Save as Markdown"
    page.press("\ue013")
    page.press(enter)
    page.wait(lambda: page.all("dialog input"))
    page.wait(lambda: page.js("return document.activeElement.tagName") == "INPUT")
    page.press("New title")
    page.press(enter)
    page.wait(lambda: page.conversations() == ["New title"])
    page.press(alt, "s")
    page.wait(lambda: focus() == "Close the settings")
    page.press(alt, "s")
    page.wait(lambda: not page.one("#settings").is_displayed())
    assert focus() == "Settings"
    page.press("?")
    page.wait(lambda: page.texts("dialog h2") == ["Keyboard shortcuts"])
    page.press(escape)
    page.wait(lambda: not page.all("dialog"))
    page.press(control, "k")
    page.wait(lambda: page.js("return document.activeElement.id") == "search")
    page.press(alt, "n")
    page.wait(lambda: page.one("#welcome").is_displayed())
    assert page.js("return document.activeElement.id") == "input"
    go_to("New title")
    page.press(enter)
    page.wait(lambda: page.texts(".message.user .text") == ["Hi"])


def test_the_theme_is_chosen_and_kept(page: Any) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    page.click("#toggle-settings")
    colours = {}
    for theme in ("light", "dark"):
        page.js("document.getElementById(arguments[0]).click()", f"theme-{theme}")
        colours[theme] = page.js(ground)
    assert colours["light"] != colours["dark"]
    page.reload()
    assert page.js(ground) == colours["dark"]


def test_an_adapter_is_chosen_and_compared_with_its_model(
    page_of: Callable[..., Any], codec: Codec, sized: Callable[[int, int], None]
) -> None:
    from selenium.webdriver.support.ui import Select

    page = page_of()
    engine = ScriptedEngine(page.answers)
    engine.capabilities = engine.capabilities | {"adapter"}
    model = ServedModel.of(codec, "toy").with_adapters("poet")
    with local_server(build_app(engine, model), engine) as server:
        page.url = server.url
        page.open()
        assert [o.text for o in Select(page.one("#model-choice")).options] == [
            "openchat_v3.2",
            "poet",
        ]
        Select(page.one("#model-choice")).select_by_value("poet")
        page.ask("Hello")
        assert engine.requests[-1].sampling.adapter == "poet"
        assert page.texts(".message.assistant .tag") == ["GPT4 · poet"]
        page.wait(lambda: page.one("#meter").is_displayed())
        for width in (320, 390, 1280):
            sized(width, 800)
            assert page.js(STAND_APART) is True
        page.click("#toggle-compare")
        Select(page.one('[aria-label="First model"]')).select_by_value("openchat_v3.2")
        page.send("And both?")
        page.answered(3)
        assert sorted(r.sampling.adapter for r in list(engine.requests)[-2:]) == ["", "poet"]
        page.browser.get("about:blank")
