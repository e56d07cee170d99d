"""What the page looks like in its main states: nothing may overflow, and the README shows it.

The pictures are kept where `OCHAT_SCREENSHOTS` names a folder; see the README.
"""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ochat_serve.testing import LocalServer

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
THEMES = ("light", "dark")
MOST_BYTES = 100_000
CODE = '''Two pointers walk through the lists, and the smaller head is taken each time:

```python
def merge(left: list[int], right: list[int]) -> list[int]:
    """Merge two sorted lists into one, in linear time."""
    merged: list[int] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    # One of both is used up; the rest of the other one is sorted already.
    return merged + left[i:] + right[j:]


def test_merge_keeps_everything_in_order() -> None:
    assert merge([1, 4, 9], [2, 3, 10]) == [1, 2, 3, 4, 9, 10]
    assert merge([], [5]) == [5]
```

1. `merged` grows by **one element a step**: at most `len(left) + len(right)` steps.
2. Equal elements come from `left` first: the merge is *stable*.
'''
MATHS = r"""The quadratic formula gives both roots of $ax^2 + bx + c = 0$ at once:

$$x_{1,2} = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}$$

How many there are is told by the *discriminant*, the part below the root:

| Discriminant | Roots | Example |
|---|---|---|
| $b^2 - 4ac > 0$ | two real ones | $x^2 - 3x + 2$ |
| $b^2 - 4ac = 0$ | one, twice | $x^2 - 2x + 1$ |
| $b^2 - 4ac < 0$ | two complex ones | $x^2 + x + 1$ |
"""
GPT4 = """**Yes, with care.** A tomato plant needs six hours of sun, a pot of at least ten
litres, and water every day in summer.

1. Choose a small sort, such as a cherry tomato.
2. Pinch out the side shoots.
3. Feed it every two weeks once it flowers.
"""
GPT3 = """Yes, you can grow tomatoes on a balcony. They need sun and water. Use a big pot
and good soil. You should also water them often.
"""
# A list that looks lived in; put into the store as the page itself would.
LIVED_IN = """
const [done] = [arguments[0]];
const titles = ["Holiday in the Harz", "Unit tests for the parser", "Letter to the landlord",
  "Bread without kneading", "Why do cats purr?", "Regular expressions"];
indexedDB.open("ochat").onsuccess = ({target}) => {
  const change = target.result.transaction(["conversations", "folders"], "readwrite");
  change.objectStore("folders").put({id: "f", name: "Work", created: 1, open: true});
  titles.forEach((title, i) => {
    const when = Date.now() - (i + 1) * 31 * 3_600_000;
    change.objectStore("conversations").put({id: `c${i}`, title, named: true,
      folder: i === 1 || i === 5 ? "f" : null, created: when, updated: when, leaf: null,
      settings: {}});
  });
  change.oncomplete = () => { target.result.close(); done(); };
};
"""
OVERFLOW = "return Math.max(0, document.documentElement.scrollWidth - innerWidth)"


class Camera:
    """Takes a state in both sizes and themes."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self._browser, self._folder = browser, folder

    def look(self, width: int, height: int, theme: str) -> None:
        """Give the window a size and a theme."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self._browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def take(self, name: str, scroll: str = "end") -> None:
        """Four pictures of what is shown now."""
        for size, (width, height) in SIZES.items():
            for theme in THEMES:
                self.look(width, height, theme)
                self._browser.execute_async_script(
                    "const [where, done] = arguments;"
                    "const region = document.getElementById('thread');"
                    "document.activeElement.blur();"
                    "const shown = () => { if (region) region.scrollTop = "
                    "where === 'end' ? region.scrollHeight : 0;"
                    "requestAnimationFrame(() => requestAnimationFrame(done)); };"
                    "document.fonts.ready.then(() => requestAnimationFrame(shown));",
                    scroll,
                )
                assert self._browser.execute_script(OVERFLOW) == 0, (name, size, theme)
                self._keep(f"{name}-{size}-{theme}.webp")

    def _keep(self, name: str) -> None:
        options = {"format": "webp", "quality": 75}
        picture = self._browser.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
        content = base64.b64decode(picture)
        assert 2_000 < len(content) < MOST_BYTES, name
        (self._folder / name).write_bytes(content)


@pytest.fixture
def camera(browser: Any, tmp_path: Path) -> Iterator[Camera]:
    """Pictures into the folder that was asked for, or one that is thrown away."""
    folder = Path(os.environ.get("OCHAT_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    camera = Camera(browser, folder)
    camera.look(*SIZES["desktop"], "light")
    yield camera
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_empty_page_and_answers_look_whole(page_of: Callable[..., Any], camera: Camera) -> None:
    page = page_of(max_model_len=8192, tokens_per_second=900)
    page.browser.execute_async_script(LIVED_IN)
    page.reload()
    camera.take("empty", scroll="start")
    camera.look(*SIZES["desktop"], "light")
    page.answers.to("merges", CODE)
    page.ask("Write a Python function that merges two sorted lists, with a test.")
    page.wait(lambda: page.all("figure.code [class^='hljs-']"))
    camera.take("code")
    camera.look(*SIZES["desktop"], "light")
    page.click("#new-chat")
    page.answers.to("quadratic", MATHS)
    page.ask("How do I solve quadratic equations?", answers=1)
    page.wait(lambda: page.all(".katex"))
    camera.take("maths")


def test_a_comparison_looks_whole(page_of: Callable[..., Any], camera: Camera) -> None:
    page = page_of(max_model_len=8192, tokens_per_second=900)
    page.browser.execute_async_script(LIVED_IN)
    page.reload()
    for condition, answer in (("GPT4", GPT4), ("GPT3", GPT3)):
        page.answers.to(f"{condition} Assistant:", answer)
    page.click("#toggle-compare")
    page.send("Can I grow tomatoes on a balcony?")
    page.answered(2)
    assert page.texts(".pair .text") != [page.texts(".pair .text")[0]] * 2
    camera.take("comparison")


def test_an_error_looks_whole(page_of: Callable[..., Any], camera: Camera) -> None:
    page = page_of(max_model_len=512)
    page.expected.append("400")
    page.browser.execute_async_script(LIVED_IN)
    page.reload()
    page.answers.to("story", "Once there was a lighthouse at the end of the world. " * 4)
    page.ask("Tell me a long story, please.")
    page.send("And now tell it again with all its details. " * 10)
    page.wait(lambda: page.one(".message:last-child .error-card").is_displayed())
    page.wait(lambda: page.one("#meter").get_attribute("data-level") == "full")
    camera.take("error")


def test_the_status_view_looks_whole(page_of: Callable[..., Any], camera: Camera) -> None:
    page = page_of(tokens_per_second=300)
    page.answers.to("story", "Once there was a lighthouse at the end of the world. " * 3)
    server, over = LocalServer(url=page.url), threading.Event()
    question = [{"role": "user", "content": "Tell me a story."}]

    def load() -> None:
        server.post("/v1/chat/completions", {"model": "gpt-5", "messages": question})
        while not over.is_set():
            server.post("/v1/chat/completions", {"model": "openchat_v3.2", "messages": question})

    def watched() -> float:
        found = re.search(r"watched for ([\d.]+) s", page.one("#tiles").text)
        return float(found[1]) if found else 0.0

    with ThreadPoolExecutor(max_workers=3) as pool:
        for _ in range(3):
            pool.submit(load)
        try:
            page.browser.get(f"{page.url}/status")
            page.wait(lambda: re.search(r"Generated\s+[1-9]", page.one("#tiles").text))
            page.wait(lambda: page.all("#errors td"))
            page.wait(lambda: watched() >= (24 if os.environ.get("OCHAT_SCREENSHOTS") else 2))
            camera.take("status")
        finally:
            over.set()
