"""What the browser keeps: reload, search, folders, titles, deleting, files, many, two tabs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MANY = 500
# Puts conversations into the store as the page itself would.
FILL = """
const [count, done] = [arguments[0], arguments[1]];
indexedDB.open("ochat").onsuccess = ({target}) => {
  const change = target.result.transaction(["conversations", "messages"], "readwrite");
  for (let i = 0; i < count; i += 1) {
    const id = `many-${i}`;
    const when = Date.now() - i * 3_600_000;
    change.objectStore("conversations").put({
      id, title: `Conversation number ${i}`, named: true, folder: null, created: when,
      updated: when, leaf: `${id}-b`, settings: {model: "", condition: "", system: "",
        temperature: 0.7, top_p: 1, max_tokens: null, presence_penalty: 0, frequency_penalty: 0,
        stop: [], seed: null},
    });
    change.objectStore("messages").put({id: `${id}-a`, conversation: id, parent: null,
      role: "user", content: `Question ${i} ` + "about many things ".repeat(40), created: when});
    change.objectStore("messages").put({id: `${id}-b`, conversation: id, parent: `${id}-a`,
      role: "assistant", content: `needle${i} ` + "and a long answer ".repeat(80),
      created: when + 1, reason: "stop"});
  }
  change.oncomplete = () => { target.result.close(); done(); };
};
"""


def test_a_reload_keeps_conversations_settings_and_the_open_one(page: Any) -> None:
    page.answers.to("Remember", "I *do*.")
    page.ask("Remember me")
    page.click("#new-chat")
    page.ask("Another one", answers=1)
    page.click(".row:not(:has([aria-current])) .conversation")
    page.wait(lambda: page.texts(".message.user .text") == ["Remember me"])
    page.reload()
    page.wait(lambda: page.texts(".message.assistant .text") == ["I do."])
    assert sorted(page.conversations()) == ["Another one", "Remember me"]
    assert page.texts(".message.assistant .facts")[0] != ""


def test_a_draft_survives_a_reload(page: Any) -> None:
    page.ask("Hello")
    page.write("half a thou")
    page.reload()
    assert page.one("#input").get_attribute("value") == "half a thou"


def test_search_finds_titles_and_texts(page: Any) -> None:
    page.answers.to("apples", "They hold pectin.")
    page.ask("About apples")
    page.click("#new-chat")
    page.ask("About pears", answers=1)
    page.one("#search").send_keys("PECTIN")
    page.wait(lambda: page.conversations() == ["About apples"])
    page.one("#search").clear()
    page.one("#search").send_keys("pears about")
    page.wait(lambda: page.conversations() == ["About pears"])
    page.one("#search").send_keys(" nowhere")
    page.wait(lambda: "Nothing found." in page.one("#conversations").text)


def test_a_conversation_is_renamed_put_into_a_folder_and_taken_out(page: Any) -> None:
    page.ask("Something")
    page.menu_of("Something")
    page.choose("Rename …")
    page.wait(lambda: page.one("dialog input").get_attribute("value") == "Something")
    page.one("dialog input").clear()
    page.one("dialog input").send_keys("A better title\n")
    page.wait(lambda: page.conversations() == ["A better title"])
    assert page.one("#title").text == "A better title"
    page.menu_of("A better title")
    page.choose("New folder …")
    page.wait(lambda: page.all("dialog input"))
    page.one("dialog input").send_keys("Work\n")
    page.wait(lambda: page.texts(".folder .conversation .name") == ["A better title"])
    page.reload()
    page.wait(lambda: page.texts(".folder-name > span[dir]") == ["Work"])
    page.click(".folder-name")
    page.wait(lambda: page.conversations() == [])
    page.click(".folder-name")
    page.menu_of("A better title")
    page.choose("Out of the folder")
    page.wait(lambda: page.conversations() == ["A better title"] and not page.all(".folder li"))
    page.one('[aria-label="Folder Work"].icon-button').click()
    page.choose("Delete the folder")
    page.wait(lambda: not page.all(".folder"))
    assert page.conversations() == ["A better title"]


def test_deleting_can_be_undone(page: Any) -> None:
    page.ask("Keep this")
    page.menu_of("Keep this")
    page.choose("Delete")
    page.wait(lambda: page.conversations() == [] and page.one("#welcome").is_displayed())
    page.click(".toast .link")
    page.wait(lambda: page.conversations() == ["Keep this"])
    page.wait(lambda: page.texts(".message.assistant .text") == ["Yes."])
    page.tool("assistant", "Delete from here on")
    page.wait(lambda: not page.all(".message.assistant"))
    page.click(".toast .link")
    page.wait(lambda: page.texts(".message.assistant .text") == ["Yes."])
    page.menu_of("Keep this")
    page.choose("Delete")
    page.wait(lambda: page.conversations() == [])
    page.reload()
    assert page.conversations() == []


def test_the_list_is_used_by_keys(page: Any) -> None:
    page.ask("First")
    page.click("#new-chat")
    page.ask("Second", answers=1)
    page.press("\ue009", "k")
    page.press("\ue004")
    focused = "return document.activeElement.textContent"
    page.wait(lambda: page.js(focused) == "Second")
    page.press("\ue015")
    assert page.js(focused) == "First"
    page.press("\ue032")  # F2
    page.wait(lambda: page.all("dialog input"))
    page.press("Renamed")
    page.press("\ue007")
    page.wait(lambda: page.conversations() == ["Second", "Renamed"])
    page.wait(lambda: page.js(focused) == "Renamed")
    page.press("\ue017")  # Delete
    page.wait(lambda: page.conversations() == ["Second"])


def import_file(page: Any, path: Path) -> None:
    """As a person who chooses a file; the dialog of the system itself cannot be driven."""
    page.js("window.addEventListener('click', (e) => e.target.type === 'file' && "
            "e.preventDefault(), {capture: true})")  # fmt: skip
    page.click("#open-data")
    page.choose("Import …")
    page.wait(lambda: page.all('input[type="file"]'))
    page.one('input[type="file"]').send_keys(str(path))


def test_export_and_import_round_trip_with_branches_folders_and_prompts(
    page: Any, page_of: Callable[..., Any]
) -> None:
    page.answers.to("Name", "Anna")
    page.ask("Name one")
    page.answers.to("Name", "Berta")
    page.tool("assistant", "Answer again")
    page.wait(lambda: page.texts(".branch") == ["2/2"])
    page.answered(1)
    page.menu_of("Name one")
    page.choose("New folder …")
    page.wait(lambda: page.all("dialog input"))
    page.one("dialog input").send_keys("People\n")
    page.wait(lambda: page.all(".folder .conversation"))
    page.click("#open-data")
    page.choose("Export everything")
    saved = page.saved(f"openchat-{time.strftime('%Y-%m-%d', time.gmtime())}.json")
    data = json.loads(saved.read_text(encoding="utf-8"))
    assert data["version"] == 4
    assert data["folders"] == [{**data["folders"][0], "name": "People", "type": "chat"}]
    (item,) = data["history"]
    assert item["folderId"] == data["folders"][0]["id"]
    assert [m["content"] for m in item["messages"]] == ["Name one", "Berta"]
    assert item.keys() >= {"id", "name", "messages", "model", "prompt", "temperature", "folderId"}

    other = page_of()
    import_file(other, saved)
    other.wait(lambda: other.texts(".folder .conversation .name") == ["Name one"])
    other.click(".conversation")
    other.wait(lambda: other.texts(".message.assistant .text") == ["Berta"])
    other.tool("assistant", "Earlier version")
    other.wait(lambda: other.texts(".message.assistant .text") == ["Anna"])
    import_file(other, saved)
    other.wait(lambda: "1 already here" in other.one(".toast").text)
    assert other.conversations() == ["Name one"]


def test_a_file_of_openchat_ui_is_read(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "chatbot_ui_history.json"
    model = {"id": "openchat_3.5", "name": "OpenChat", "maxLength": 24576, "tokenLimit": 8192}
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "**Hello**"}]
    item = {
        "id": "b6b2e4f5",
        "name": "From before",
        "messages": turns,
        "model": model,
        "prompt": "Be kind.",
        "temperature": 0.5,
        "folderId": "f1",
    }
    folders = [
        {"id": "f1", "name": "Old", "type": "chat"},
        {"id": "p", "name": "x", "type": "prompt"},
    ]
    prompts = [{"id": "q1", "name": "Sum up", "description": "", "content": "Sum up: {{text}}",
                "model": model, "folderId": None}]  # fmt: skip
    data = {"version": 4, "history": [item], "folders": folders, "prompts": prompts}
    path.write_text(json.dumps(data), encoding="utf-8")
    import_file(page, path)
    page.wait(lambda: page.texts(".folder .conversation .name") == ["From before"])
    page.click(".conversation")
    page.wait(lambda: page.texts(".message.assistant .text") == ["Hello"])
    page.click("#toggle-settings")
    assert page.one("#system").get_attribute("value") == "Be kind."
    assert page.one("#temperature").get_attribute("value") == "0.5"
    page.write("/sum")
    page.wait(lambda: page.texts(".option strong") == ["Sum up"])


def test_a_file_that_is_none_is_refused_in_a_sentence(page: Any, tmp_path: Path) -> None:
    for name, text, words in (
        ("a.json", "{", "is not JSON"),
        ("b.json", '{"version": 4}', "has no list"),
    ):
        (tmp_path / name).write_text(text)
        import_file(page, tmp_path / name)
        page.wait(lambda words=words: words in page.one(".toast").text)
    assert page.conversations() == []


def test_a_conversation_is_saved_as_markdown(page: Any) -> None:
    page.answers.to("list", "- one\n- two")
    page.ask("A list, please")
    page.menu_of("A list, please")
    page.choose("Save as Markdown")
    text = page.saved("A list, please.md").read_text(encoding="utf-8")
    assert text.startswith("# A list, please\n\n## You\n\nA list, please\n")
    assert "## Assistant (openchat_v3.2, GPT4)\n\n- one\n- two\n" in text


def test_five_hundred_conversations_open_and_are_searched_quickly(page: Any) -> None:
    page.browser.execute_async_script(FILL, MANY)
    page.reload()
    assert len(page.all(".conversation")) == MANY
    times = page.js(
        "const [n] = performance.getEntriesByType('navigation');"
        "return [n.domInteractive, performance.getEntriesByName('ready')[0].startTime];"
    )
    # An idle machine needs a quarter of a second from the document to the list.
    assert times[1] - times[0] < 2_500
    page.one("#search").send_keys("needle437")
    page.wait(lambda: page.conversations() == ["Conversation number 437"])
    page.click(".conversation")
    page.wait(lambda: page.texts(".message.assistant .text")[0].startswith("needle437"))


def finished(page: Any) -> list[bool]:
    """Of each answer, whether it is there with its figures."""
    return ["first after" in facts for facts in page.texts(".message.assistant .facts")]


def test_two_tabs_stay_in_step(page: Any) -> None:
    first = page.browser.current_window_handle
    page.ask("In the first tab")
    page.browser.switch_to.new_window("tab")
    second = page.browser.current_window_handle
    try:
        page.open()
        page.wait(lambda: page.conversations() == ["In the first tab"])
        page.click(".conversation")
        page.ask("In the second tab", answers=2)
        page.browser.switch_to.window(first)
        page.wait(
            lambda: page.texts(".message.user .text") == ["In the first tab", "In the second tab"]
        )
        # The second tab has written all that it had to write.
        page.wait(lambda: finished(page) == [True, True])
        page.menu_of("In the first tab")
        page.choose("Rename …")
        page.wait(lambda: page.all("dialog input"))
        page.one("dialog input").clear()
        page.one("dialog input").send_keys("Both\n")
        page.wait(lambda: page.conversations() == ["Both"])
        page.browser.switch_to.window(second)
        page.wait(lambda: page.conversations() == ["Both"])
        page.menu_of("Both")
        page.choose("Delete")
        assert page.faults() == []
        page.browser.switch_to.window(first)
        page.wait(lambda: page.one("#welcome").is_displayed() and page.conversations() == [])
    finally:
        page.browser.switch_to.window(second)
        page.browser.close()
        page.browser.switch_to.window(first)
