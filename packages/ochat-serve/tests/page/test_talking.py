"""From the first visit on: asking, streaming, stopping, answering again, branching, going on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ochat_templates import Codec, Conversation, Message


def prompt(codec: Codec, *turns: str, system: str = "", condition: str = "") -> list[int]:
    """The ids of a conversation whose turns alternate."""
    roles = ("user", "assistant")
    messages = tuple(Message(role=roles[i % 2], content=t) for i, t in enumerate(turns))
    return codec.prompt(Conversation(messages=messages, system=system, condition=condition))


def test_the_first_visit_leads_to_the_first_answer(page: Any) -> None:
    assert page.one("#welcome").is_displayed()
    assert "GPT-4 wrote" in page.one("#welcome").text
    page.answers.to("sky", "Because of **scattering**.")
    page.all(".suggestions button")[0].click()
    assert "sky" in page.one("#input").get_attribute("value")
    page.click("#send")
    page.answered(1)
    assert page.texts(".message.user .text") == [
        "Why is the sky blue? Explain it to a ten-year-old."
    ]
    assert page.texts(".message.assistant .text") == ["Because of scattering."]
    assert page.texts(".message.assistant strong")[:1] == ["scattering"]
    assert page.texts(".message.assistant .tag") == ["GPT4"]
    facts = page.texts(".message.assistant .facts")[0]
    assert "tokens" in facts
    assert "tokens/s" in facts
    assert "first after" in facts
    assert page.conversations() == ["Why is the sky blue? Explain it to a ten-year-old."]
    assert page.browser.title.startswith("Why is the sky blue?")


def test_an_answer_is_shown_while_it_arrives_and_can_be_stopped(
    page_of: Callable[..., Any],
) -> None:
    page = page_of(tokens_per_second=60)
    page.answers.to("Talk", "word " * 800)
    page.send("Talk")
    page.wait(lambda: "word word" in page.texts(".message.assistant .text")[-1])
    assert page.one("#stop").is_displayed()
    page.press("\ue00c")  # Escape
    page.answered(1)
    page.wait(lambda: page.engine.aborted == 1)
    facts = page.texts(".message.assistant .facts")[-1]
    assert facts.endswith("stopped")
    assert "tokens/s" in facts
    assert page.one("#send").is_displayed()
    assert page.one("#input") == page.browser.switch_to.active_element


def test_answering_again_makes_a_second_version_beside_the_first(page: Any) -> None:
    page.answers.to("Name", "Anna")
    page.ask("Name one")
    page.answers.to("Name", "Berta")
    page.tool("assistant", "Answer again")
    page.wait(lambda: page.texts(".message.assistant .text") == ["Berta"])
    page.answered(1)
    assert page.texts(".branch") == ["2/2"]
    page.tool("assistant", "Earlier version")
    page.wait(lambda: page.texts(".message.assistant .text") == ["Anna"])
    assert page.texts(".branch") == ["1/2"]
    page.reload()
    page.wait(lambda: page.texts(".message.assistant .text") == ["Anna"])
    page.tool("assistant", "Later version")
    page.wait(lambda: page.texts(".message.assistant .text") == ["Berta"])


def test_an_edited_question_is_a_branch_and_the_old_one_stays_whole(
    page: Any, codec: Codec
) -> None:
    page.answers.to("One", "First answer")
    page.ask("One")
    page.ask("Second question")
    page.tool("user", "Edit", 0)
    field = page.one(".edit textarea")
    field.clear()
    field.send_keys("Two")
    page.click(".edit .primary")
    page.answered(1)
    assert page.texts(".message.user .text") == ["Two"]
    assert list(page.engine.requests[-1].prompt_ids) == prompt(codec, "Two", condition="GPT4")
    page.tool("user", "Earlier version")
    page.wait(lambda: page.texts(".message.user .text") == ["One", "Second question"])
    assert page.texts(".message.assistant .text") == ["First answer", "Yes."]


def test_editing_can_be_left_and_an_answer_can_be_rewritten(page: Any, codec: Codec) -> None:
    page.ask("Hello")
    page.tool("user", "Edit")
    page.press("\ue00c")
    page.wait(lambda: not page.all(".edit"))
    assert page.texts(".message.user .text") == ["Hello"]
    page.tool("assistant", "Edit")
    page.one(".edit textarea").send_keys(" No.")
    page.click(".edit .primary")
    page.wait(lambda: page.texts(".message.assistant .text") == ["Yes. No."])
    assert "written by you" in page.texts(".message.assistant .facts")[0]
    page.ask("Why?", answers=2)
    wanted = prompt(codec, "Hello", "Yes. No.", "Why?", condition="GPT4")
    assert list(page.engine.requests[-1].prompt_ids) == wanted


def test_an_answer_is_continued_where_it_ended(page: Any) -> None:
    page.answers.to("Count", "one, two")
    page.ask("Count")
    page.answers.to("one, two", "three")
    page.tool("assistant", "Continue this answer")
    page.wait(lambda: page.texts(".message.assistant .text") == ["one, two three"])
    page.answered(1)
    page.reload()
    page.wait(lambda: page.texts(".message.assistant .text") == ["one, two three"])


def test_condition_system_text_and_sampling_go_into_the_request(page: Any, codec: Codec) -> None:
    from selenium.webdriver.support.ui import Select

    Select(page.one("#condition")).select_by_value("GPT3")
    page.click("#toggle-settings")
    assert page.one('#settings input[value="GPT3"]').is_selected()
    page.one("#system").send_keys("Be brief.")
    page.one("#max-tokens").send_keys("40")
    page.one("#seed").send_keys("7")
    page.js(
        "const t = document.getElementById('temperature'); t.value = 0.2;"
        "t.dispatchEvent(new Event('input')); t.dispatchEvent(new Event('change'));"
    )
    page.js("document.querySelector('#settings details').open = true")
    page.one("#stop-texts").send_keys("END\n###")
    page.ask("First")
    page.ask("Second")
    wanted = prompt(codec, "First", "Yes.", "Second", system="Be brief.", condition="GPT3")
    last = page.engine.requests[-1]
    assert list(last.prompt_ids) == wanted
    sampling = last.sampling
    assert (sampling.temperature, sampling.max_tokens, sampling.seed) == (0.2, 40, 7)
    assert page.texts(".message.assistant .tag") == ["GPT3", "GPT3"]
    page.reload()
    assert page.js("return document.getElementById('condition').value") == "GPT3"


def test_a_stop_text_ends_the_answer(page: Any) -> None:
    page.answers.to("Go", "before END after")
    page.click("#toggle-settings")
    page.js("document.querySelector('#settings details').open = true")
    page.one("#stop-texts").send_keys("END\t")
    page.ask("Go")
    assert page.texts(".message.assistant .text") == ["before"]


def test_a_reload_in_the_middle_of_an_answer_keeps_what_had_come(
    page_of: Callable[..., Any],
) -> None:
    page = page_of(tokens_per_second=100)
    page.answers.to("Talk", "word " * 800)
    page.send("Talk")
    page.wait(lambda: page.texts(".message.assistant .text")[-1].count("word") > 40)
    page.reload()
    page.wait(lambda: "word word" in page.texts(".message.assistant .text")[-1])
    assert "unfinished" in page.texts(".message.assistant .facts")[-1]
    page.wait(lambda: page.engine.running == 0)


def test_the_meter_shows_the_servers_own_count(page: Any, codec: Codec) -> None:
    page.write("How many tokens are in this sentence?")
    wanted = len(prompt(codec, "How many tokens are in this sentence?", condition="GPT4"))
    page.wait(lambda: page.texts(".meter-label") == [f"{wanted} / 4,096"])
    assert page.one("#meter").get_attribute("aria-valuenow") == str(wanted)


def test_two_conditions_answer_side_by_side_and_one_is_kept(page: Any, codec: Codec) -> None:
    page.click("#toggle-compare")
    page.send("Which one?")
    page.answered(2)
    assert page.texts(".pair .tag") == ["GPT4", "GPT3"]
    asked = [list(each.prompt_ids) for each in page.engine.requests]
    both = [prompt(codec, "Which one?", condition=name) for name in ("GPT4", "GPT3")]
    assert sorted(asked) == sorted(both)
    left, right = page.all(".pair .message")
    assert left.location["y"] == right.location["y"]
    assert left.location["x"] + left.size["width"] <= right.location["x"]
    page.all(".pair .keep")[1].click()
    page.wait(lambda: not page.all(".pair"))
    assert page.texts(".message.assistant .tag") == ["GPT3"]
    page.click("#toggle-compare")
    page.ask("And now?", answers=2)
    assert page.texts(".message.assistant .tag") == ["GPT3", "GPT4"]


def test_a_saved_prompt_is_completed_after_a_slash_and_asks_for_its_variables(page: Any) -> None:
    page.click("#open-prompts")
    page.click(".dialog .primary")
    page.wait(lambda: len(page.all("dialog")) == 2)
    name, description, content = page.all("dialog:last-of-type input, dialog:last-of-type textarea")
    name.send_keys("Translate")
    description.send_keys("Into another language")
    content.send_keys("Translate into {{language}}: {{text}}")
    page.click("dialog:last-of-type .primary")
    page.wait(lambda: page.texts(".prompt strong") == ["Translate"])
    page.press("\ue00c")
    page.wait(lambda: not page.all("dialog"))
    page.write("/tran")
    page.wait(lambda: page.texts(".option strong") == ["Translate"])
    page.press("\ue007")  # Enter
    page.wait(lambda: len(page.all("dialog textarea")) == 2)
    language, text = page.all("dialog textarea")
    language.send_keys("French")
    text.send_keys("Good morning")
    page.click("dialog .primary")
    page.wait(
        lambda: page.one("#input").get_attribute("value") == "Translate into French: Good morning"
    )
    page.click("#send")
    page.answered(1)


def test_presets_bring_settings_back(page: Any) -> None:
    page.click("#toggle-settings")
    page.one("#system").send_keys("Speak like a pirate.\t")
    page.wait(lambda: page.js("return document.activeElement.id") != "system")
    page.all(".preset-actions button")[0].click()
    page.wait(lambda: page.all("dialog input"))
    page.one("dialog input").send_keys("Pirate\n")
    page.wait(lambda: page.texts(".preset > .quiet") == ["Pirate"])
    page.all(".preset-actions button")[1].click()
    page.wait(lambda: page.one("#system").get_attribute("value") == "")
    page.reload()
    page.click("#toggle-settings")
    page.click(".preset > .quiet")
    page.wait(lambda: page.one("#system").get_attribute("value") == "Speak like a pirate.")
