"""The page of a run in a real browser, opened from a file and used as a person would."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ochat_eval import Question, rescore
from ochat_eval.__main__ import main
from ochat_eval.store import Response, RunFolder

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"
)
NASTY = "</script><script>document.title = 'taken'</script><!-- <b>&amp;\u2028"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A thousand graded items: a fifth wrong, some gated, one that would like to be markup."""
    questions = [
        Question(
            id=f"q{i}",
            group=("physics", "history")[i % 2],
            family="choice",
            prompt=f"Question {i} 😀: which of them? {NASTY if i == 7 else ''}"
            + (" SECRET-PROMPT" if i % 100 == 3 else ""),
            labels=("B",),
            options=("A", "B", "C", "D"),
            gated=i % 100 == 3,
        )
        for i in range(1000)
    ]
    manifest = {"schema_version": 1, "config": {"model": "m<i>", "condition": ""},
                "suite": {"name": "s", "digest": "d"}, "tasks": {"t": {"version": 1}}}  # fmt: skip
    folder = RunFolder.prepare(tmp_path / "run", manifest, questions)
    with folder:
        for i, question in enumerate(questions):
            letter = "C" if i % 5 == 2 or i % 100 == 3 else "B"
            secret = "SECRET-ANSWER" if question.gated else ""
            text = f"Let me think 😀. The answer is ({letter}). {secret}"
            folder.append(Response(key=question.key, id=question.id, text=text))
    rescore(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium that keeps its network log."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update",
                     "--disable-sync", "--disable-dev-shm-usage", "--window-size=1200,800",
                     f"--user-data-dir={tmp_path / 'profile'}"):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


@needs_browser
def test_a_wrong_answer_is_two_clicks_away(run_folder: Path, browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(run_folder), "--html", str(page)]) == 0
    browser.get(page.as_uri())
    assert browser.title == "default condition / m<i>"
    assert "79.0 % right of 1000" in find(browser, "#figures").text
    assert len(browser.find_elements("css selector", "#list button")) == 1000

    find(browser, "#filters button[data-status=incorrect]").click()
    rows = browser.find_elements("css selector", "#list button")
    assert len(rows) == 210
    wrong = next(row for row in rows if "q7" in row.text.split())
    wrong.click()

    assert NASTY.split("\u2028")[0] in find(browser, "#detail .prompt").text
    assert find(browser, "#detail mark").text.strip("() ") in ("C", "answer is (C")
    assert find(browser, "#detail .extracted").text == "C"
    assert find(browser, "#detail .rule").text
    assert "😀" in find(browser, "#detail .response").text
    browser.save_screenshot(str(tmp_path / "page.png"))
    problems = [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]
    assert problems == []
    assert browser.title == "default condition / m<i>"


@needs_browser
def test_search_group_keys_and_theme_work(run_folder: Path, browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(run_folder), "--html", str(page)]) == 0
    browser.get(page.as_uri())
    find(browser, "#search").send_keys("q997")
    assert len(browser.find_elements("css selector", "#list button")) == 1
    find(browser, "#search").send_keys("\ue003" * 4)  # backspace
    find(browser, "#group option[value=history]").click()
    assert len(browser.find_elements("css selector", "#list button")) == 500
    find(browser, "#list button").click()
    find(browser, "#list button").send_keys("\ue015")  # arrow down
    assert "q3" not in find(browser, "[aria-current=true]").text, "a gated id is not shown"
    assert "history" in find(browser, "#detail").text
    before = find(browser, "body").value_of_css_property("background-color")
    find(browser, "#theme").click()
    assert find(browser, "body").value_of_css_property("background-color") != before


def test_gated_items_are_not_in_the_file_unless_revealed(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(run_folder), "--html", str(page)]) == 0
    assert "10 gated items redacted" in capsys.readouterr().out
    text = page.read_text()
    assert "SECRET" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert text.count("</script>") == 3
    assert main(["report", str(run_folder), "--html", str(page), "--reveal"]) == 0
    assert "SECRET-PROMPT" in page.read_text()
    assert "SECRET-ANSWER" in page.read_text()


def test_a_page_is_of_one_run(run_folder: Path, tmp_path: Path) -> None:
    two = [str(run_folder), str(run_folder)]
    assert main(["report", *two, "--html", str(tmp_path / "p.html")]) == 1
    assert main(["report", *two, "--markdown"]) == 0
