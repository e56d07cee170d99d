"""How much of the browser's main thread a very long answer takes while it streams in.

Each kind of answer has 50,000 characters and comes in 2,000 pieces, four to a frame, into the
page's own renderer in a real headless Chromium. Printed are CPU times of the main thread's tasks
(from Chromium's own trace), as wall times say more of what else the machine does; a person feels
tasks from about 100 ms on. Then the same answer is shown at once, as after a reload.

    python benchmarks/page_stream.py [KIND...]
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from ochat_serve import ScriptedEngine, ServedModel, build_app
from ochat_serve.testing import local_server
from ochat_templates import load_codec
from ochat_templates.testing import train_sentencepiece

CHARACTERS, PIECES = 50_000, 2_000
SECTION = (
    "## Section {n}\n\nSome **bold** text with `code`, a [link](https://example.org/{n}) and words "
    "that go on for a while, as answers do. $x_{{{n}}}^2$ too.\n\n- item one\n- item **two**\n\n"
    "```python\ndef f{n}(x):\n    return x + {n}  # comment\n```\n\n| a | b |\n|---|---|\n"
    "| {n} | $\\frac{{1}}{{{n}}}$ |\n\n"
)
KINDS = {
    "sections with code, tables and formulas": ("", SECTION),
    "one list": ("", "- item {n} with **bold** and `code` in it\n"),
    "one numbered list with formulas": ("", "{n}. item with **bold**\n   - nested $x$\n"),
    "one table": ("| a | b | c |\n|---|---|---|\n", "| {n} | **bold** | `code` |\n"),
    "one block of code": ("```python\n", "def f{n}(x):\n    return [x + {n}]  # comment\n\n"),
    "one paragraph": ("", "words **bold** and `code` that never end, {n} "),
}
SHOW = """
const [text, pieces, done] = arguments;
const next = () => new Promise((go) => {
  const channel = new MessageChannel();
  channel.port1.onmessage = go;
  channel.port2.postMessage(0);
});
import("/page/render/answer.js").then(async ({ AnswerView }) => {
  const element = document.createElement("div");
  document.body.style.cssText = "display:block;overflow:auto";
  document.body.replaceChildren(element);
  const view = new AnswerView(element);
  for (let piece = 1; piece <= pieces; piece += 1) {
    view.update(text.slice(0, Math.round((piece * text.length) / pieces)));
    await (piece % 4 ? next() : new Promise(requestAnimationFrame));
  }
  await view.finish();
  await new Promise((go) => setTimeout(go, 300));
  done(element.querySelectorAll("*").length);
});
"""


def answer(kind: str) -> str:
    """The text of a kind."""
    head, part = KINDS[kind]
    text = head + "".join(part.format(n=n) for n in range(1, 3_000))
    return text[:CHARACTERS]


def open_browser() -> webdriver.Chrome:
    """A headless Chromium that traces its tasks."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    options.add_experimental_option(
        "perfLoggingPrefs", {"traceCategories": "toplevel,__metadata", "enableNetwork": False}
    )
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


class Trace:
    """What Chromium tells of its tasks; threads are named once, when they are first seen."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        """Follow a browser that was opened here."""
        self._browser = browser
        self._mains: set[tuple[int, int]] = set()

    def tasks(self) -> list[float]:
        """CPU milliseconds of the tasks on renderers' main threads since it was last asked."""
        log = self._browser.get_log("performance")
        messages = [json.loads(each["message"])["message"] for each in log]
        events = [m["params"] for m in messages if m["method"] == "Tracing.dataCollected"]
        self._mains |= {
            (e["pid"], e["tid"])
            for e in events
            if e["name"] == "thread_name" and e["args"]["name"].endswith("CrRendererMain")
        }
        return sorted(
            e["tdur"] / 1000
            for e in events
            if e["name"].endswith("RunTask") and (e["pid"], e["tid"]) in self._mains and "tdur" in e
        )


def measure(browser: webdriver.Chrome, trace: Trace, url: str, text: str, pieces: int) -> str:
    """A row of the table."""
    browser.get(f"{url}/status")
    trace.tasks()
    elements = browser.execute_async_script(SHOW, text, pieces)
    browser.get("data:,")  # the driver hands the trace over when a page is left
    tasks = trace.tasks()
    over = sum(task > 50 for task in tasks)
    return (
        f"{sum(tasks) / 1000:6.2f} {tasks[-1]:9.0f} {tasks[-3]:9.0f} {over:9d} {elements:9d}"
        if tasks
        else "no trace: this Chromium does not tell its tasks"
    )


def main() -> None:
    """Measure the kinds that are named, or all."""
    folder = Path(tempfile.mkdtemp())
    tokenizer = train_sentencepiece(["some words to learn from, a few"] * 20, folder / "t.model")
    model = ServedModel.of(load_codec(tokenizer, "openchat_v3.2"))
    engine = ScriptedEngine()
    print(f"{CHARACTERS} characters; CPU of the main thread\n")
    print(f"{'':52}  total   longest third long.  over 50ms elements")
    print(f"{'':52}      s        ms        ms")
    with local_server(build_app(engine, model), engine) as server:
        browser = open_browser()
        browser.set_script_timeout(300)
        trace = Trace(browser)
        try:
            for kind in sys.argv[1:] or KINDS:
                for how, pieces in (("streamed", PIECES), ("at once", 1)):
                    row = measure(browser, trace, server.url, answer(kind), pieces)
                    print(f"{kind + ', ' + how:52} {row}", flush=True)
        finally:
            browser.quit()
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
