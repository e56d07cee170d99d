"""What can go wrong: keys, a server that goes away, a full context, refused settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ochat_serve.testing
from ochat_serve import ScriptedEngine, ServedModel, ServerSettings, build_app
from ochat_serve.testing import local_server
from ochat_templates import Codec


def test_a_wrong_key_is_told_and_a_right_one_kept_in_the_browser(
    page_of: Callable[..., Any],
) -> None:
    page = page_of(ServerSettings(api_keys=("sk-page",)))
    page.expected.append("401")
    page.wait(lambda: "asks for an API key" in page.one("#banner").text)
    page.write("Hello")
    assert not page.one("#send").is_enabled()
    page.one("#banner-key").send_keys("sk-wrong\n")
    page.wait(lambda: "did not accept" in page.one("#banner").text)
    page.one("#banner-key").clear()
    page.one("#banner-key").send_keys("sk-page")
    page.click("#banner .check input")
    page.click("#banner .primary")
    page.wait(lambda: not page.one("#banner").is_displayed())
    page.click("#send")
    page.answered(1)
    page.browser.get_log("browser")
    page.expected.remove("401")
    page.reload()
    assert not page.one("#banner").is_displayed()
    assert "sk-page" not in page.browser.current_url


def test_the_server_goes_in_mid_answer_and_comes_back(
    page_of: Callable[..., Any], codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_of()
    page.expected += ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "503"]
    port = ochat_serve.testing.free_port()
    monkeypatch.setattr(ochat_serve.testing, "free_port", lambda: port)
    page.answers.to("Talk", "word " * 2000)

    def start(rate: float) -> Any:
        engine = ScriptedEngine(page.answers, tokens_per_second=rate, max_model_len=20_000)
        return local_server(build_app(engine, ServedModel.of(codec)), engine)

    with start(100.0) as server:
        page.url = server.url
        page.open()
        page.send("Talk")
        page.wait(lambda: "word word" in page.texts(".message.assistant .text")[-1])
    page.wait(lambda: page.one(".error-card").is_displayed())
    kept = page.texts(".message.assistant .text")[-1]
    assert kept.startswith("word word")
    page.wait(lambda: "asked again" in page.one("#banner").text)
    page.write("Are you there?")
    assert not page.one("#send").is_enabled()
    page.answers.to("word", "and the end.")
    with start(0.0):
        page.wait(lambda: not page.one("#banner").is_displayed())
        assert page.one("#input").get_attribute("value") == "Are you there?"
        page.click(".error-card button")
        page.wait(lambda: page.texts(".message.assistant .text")[-1].endswith("and the end."))
        assert page.texts(".message.assistant .text")[-1].startswith(kept.rstrip())
        page.answered(1)
        assert not page.one(".error-card").is_displayed()
        page.click("#send")
        page.answered(2)


def test_a_full_context_is_told_and_the_oldest_turns_can_be_left_out(
    page_of: Callable[..., Any], codec: Codec
) -> None:
    long = "many words here " * 6
    limit = int(2.7 * len(codec.encode_text(f"Second {long}")))
    page = page_of(max_model_len=limit)
    page.expected.append("400")
    page.ask(f"First {long}")
    page.ask(f"Second {long}")
    page.send(f"Third {long}")
    page.wait(lambda: page.one(".message:last-child .error-card").is_displayed())
    card = page.one(".message:last-child .error-card").text
    assert "no longer fits" in card
    assert f"{limit} tokens" in card
    page.wait(lambda: page.one("#meter").get_attribute("data-level") == "full")
    page.click(".message:last-child .error-actions button")
    page.answered(3)
    assert page.texts(".message.assistant .text")[-1] == "Yes."
    assert len(page.texts(".message.user .text")) == 3


def test_what_the_engine_cannot_do_is_told_with_the_way_out(page: Any) -> None:
    page.expected.append("400")
    page.click("#toggle-settings")
    page.js(
        "document.querySelector('#settings details').open = true;"
        "const p = document.getElementById('presence-penalty'); p.value = 1;"
        "p.dispatchEvent(new Event('input')); p.dispatchEvent(new Event('change'));"
    )
    page.send("Hello")
    page.wait(lambda: page.one(".error-card").is_displayed())
    assert "presence_penalty" in page.one(".error-card").text
    assert "not supported here" in page.one(".error-card").text
    page.all(".preset-actions button")[1].click()
    page.all(".error-actions button")[-1].click()
    page.answered(1)
    assert page.texts(".message.assistant .text") == ["Yes."]
    assert not page.one(".error-card").is_displayed()


def test_another_question_after_a_failed_one_is_a_branch_beside_it(
    page_of: Callable[..., Any],
) -> None:
    page = page_of(max_model_len=120)
    page.ask("Hello")
    page.expected.append("chat/completions")
    page.send("long words " * 40)
    page.wait(lambda: page.one(".message:last-child .error-card").is_displayed())
    page.write("Short")
    page.wait(lambda: page.one("#meter").get_attribute("data-level") == "fine")
    page.click("#send")
    page.answered(2)
    assert page.texts(".message.user .text") == ["Hello", "Short"]
    assert page.texts(".branch") == ["2/2"]


def test_a_question_without_an_answer_can_be_asked_again(page: Any) -> None:
    page.ask("Hello")
    page.tool("assistant", "Delete from here on")
    page.wait(lambda: not page.all(".message.assistant"))
    next(each for each in page.all(".message.user .tools .quiet")).click()
    page.answered(1)
    assert page.texts(".message.assistant .text") == ["Yes."]


def test_a_template_without_a_condition_offers_none(
    page_of: Callable[..., Any], tokenizer_file: Any, serve: Callable[..., Any]
) -> None:
    from ochat_templates import load_codec

    page = page_of()
    plain = load_codec(tokenizer_file, "openchat")
    page.url = serve(ScriptedEngine(plain.encode_text("Yes.")), served=plain).url
    page.open()
    assert not page.one("#condition").is_displayed()
    assert not page.one("#toggle-compare").is_displayed()
    page.ask("Hello")
    assert page.texts(".message.assistant .tag") == [""]
