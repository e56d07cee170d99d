"""What is exported gives the codec's ids through the real libraries, or says why it cannot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ochat_templates import (
    ConditionError,
    Conversation,
    ExportError,
    Message,
    Template,
    get_template,
)
from ochat_templates.export import export_jinja, export_tokenizer, jinja_template
from ochat_templates.export.rendering import (
    RenderingRefusedError,
    compile_jinja,
    render,
)
from ochat_templates.sampling import sample_conversations

REFUSED = "EXACT EXCEPT contents that spell a control token are refused"
WHITE_SPACE = "contents that start with white space after a prefix that ends in it"
DUMMY_PREFIX = (
    "openchat_v2",
    "openchat_v2_llama2",
    "openchat_llama2",
    "openchat_v3.1_llama2",
    "openchat_v3.2",
    "openchat_3.5",
    "openchat_3.6_moe",
    "chatml_8192",
    "zephyr",
    "zephyr_mistral",
)


@pytest.mark.parametrize("name", DUMMY_PREFIX)
@pytest.mark.parametrize("flavor", ["serve", "train"])
def test_every_format_with_a_dummy_prefix_is_exact_but_for_spelt_control_tokens(
    name: str, flavor: Any, sentencepiece_file: Path
) -> None:
    verdict, text = export_jinja(name, sentencepiece_file, None, flavor=flavor)
    assert str(verdict).startswith(REFUSED)
    assert [each.reason for each in verdict.exceptions] == [REFUSED.removeprefix("EXACT EXCEPT ")]
    assert verdict.checked > 400
    assert ("{%- generation -%}" in text) == (flavor == "train")
    assert str(verdict) in text.splitlines()[0]


@pytest.mark.parametrize("name", ["openchat_3.6", "llama3_instruct", "chatml", "gemma_it"])
@pytest.mark.parametrize("flavor", ["serve", "train"])
def test_byte_level_formats_are_exact_but_for_white_space_at_the_joint(
    name: str, flavor: Any, byte_level_file: Callable[[Template], Path]
) -> None:
    verdict, _ = export_jinja(name, byte_level_file(get_template(name)), None, flavor=flavor)
    assert verdict.kind == "EXACT EXCEPT"
    assert {each.reason for each in verdict.exceptions} <= {
        WHITE_SPACE,
        REFUSED.removeprefix("EXACT EXCEPT "),
        "answers that Transformers' mask cuts inside a character of several tokens",
    }
    assert WHITE_SPACE in str(verdict)


@pytest.mark.parametrize("flavor", ["serve", "train"])
@pytest.mark.parametrize("name", ["openchat", "openchat_8192"])
def test_the_first_format_has_no_string(name: str, flavor: Any, trap: Path, tmp_path: Path) -> None:
    output = tmp_path / "chat_template.jinja"
    with pytest.raises(ExportError, match="has no string that gives its tokens: NOT REPRESENTABLE"):
        export_jinja(name, trap, output, flavor=flavor)
    assert not output.exists()
    verdict, text = export_jinja(name, trap, output, flavor=flavor, force=True)
    assert verdict.kind == "NOT REPRESENTABLE"
    assert output.read_text() == text
    assert "NOT REPRESENTABLE" in text.splitlines()[0]


def test_opencoder_has_no_string_because_its_prefix_merges_with_the_content(
    byte_level_file: Callable[[Template], Path], tmp_path: Path
) -> None:
    file = byte_level_file(get_template("opencoder"))
    with pytest.raises(ExportError, match="NOT REPRESENTABLE"):
        export_tokenizer("opencoder", file, tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
    verdict = export_tokenizer("opencoder", file, tmp_path / "folder", force=True)
    assert verdict.kind == "NOT REPRESENTABLE"
    assert (tmp_path / "folder" / "tokenizer.json").exists()


def rows(conversation: Conversation) -> list[dict[str, str]]:
    system = [{"role": "system", "content": conversation.system}] if conversation.system else []
    return system + [{"role": m.role, "content": m.content} for m in conversation.messages]


def test_minijinja_renders_the_serving_flavour_alike(sentencepiece_file: Path) -> None:
    minijinja = pytest.importorskip("minijinja")
    for name in ("openchat_v3.1", "openchat_3.5", "zephyr", "chatml_8192"):
        text = jinja_template(name, sentencepiece_file)
        compiled = compile_jinja(text)
        environment = minijinja.Environment(trim_blocks=True, lstrip_blocks=True)
        chats = sample_conversations(get_template(name), seed=3, special_strings=False)
        for chat in islice(chats, 60):
            theirs = environment.render_str(
                text,
                messages=rows(chat),
                condition=chat.condition,
                add_generation_prompt=True,
            )
            assert theirs == render(compiled, chat, prompt=True).text


USER = {"role": "user", "content": "Hi"}
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "role": ("openchat_v3.2", {"messages": [{**USER, "role": "tool"}]}, "a role must be user or"),
    "late system": (
        "openchat_v3.2",
        {"messages": [USER, {**USER, "role": "system"}]},
        "system may stand only first",
    ),
    "no system": (
        "gemma_it",
        {"messages": [{**USER, "role": "system"}, USER]},
        "gemma_it has no system text",
    ),
    "parts": ("openchat_v3.2", {"messages": [{**USER, "content": []}]}, "must be text"),
    "special": (
        "openchat_v3.2",
        {"messages": [{**USER, "content": "a</s>b"}]},
        "spells a control token",
    ),
    "condition": ("openchat_v3.2", {"messages": [USER], "condition": "X"}, "one of GPT4, GPT3"),
    "forged condition": (
        "openchat_3.5",
        {"messages": [USER], "condition": "a <s>"},
        "the condition spells a control token",
    ),
    "long condition": (
        "openchat_3.5",
        {"messages": [USER], "condition": "x" * 101},
        "a condition is a short label",
    ),
    "two lines": ("openchat_3.5", {"messages": [USER], "condition": "a\nb"}, "short label"),
    "outer space": ("openchat_3.5", {"messages": [USER], "condition": " a"}, "short label"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_jinja_refuses_what_the_codec_refuses(
    name: str, sentencepiece_file: Path, byte_level_file: Callable[[Template], Path]
) -> None:
    template, variables, message = WRONG[name]
    file = sentencepiece_file
    if template == "gemma_it":
        file = byte_level_file(get_template(template))
    compiled = compile_jinja(jinja_template(template, file))
    with pytest.raises(RenderingRefusedError, match=message):
        compiled.render(variables)


def test_a_condition_of_ones_own_is_the_default(sentencepiece_file: Path) -> None:
    text = jinja_template("openchat_3.5", sentencepiece_file, condition="Math Correct")
    chat = Conversation(messages=(Message(role="user", content="Hi"),))
    rendered = render(compile_jinja(text), chat, prompt=True).text
    assert rendered.startswith("<s>Math Correct User: Hi<|end_of_turn|>")
    train = compile_jinja(jinja_template("openchat_3.5", sentencepiece_file, flavor="train"))
    assert render(train, chat, prompt=False).text.startswith("<s>User: Hi")
    with pytest.raises(ConditionError):
        jinja_template("openchat_v3.2", sentencepiece_file, condition="Math Correct")


ODD = """
schema = 1
name = "odd"
context_length = 64
[control]
bos = "<s>"
eot = "</s>"
prefix = ["<|sep|>"]
[roles]
user = "U<|sep|>"
assistant = "A:"
[turn]
suffix = "\\n"
[condition]
allowed = ["GPT4"]
inference = "GPT4"
training = "GPT4"
turn = "From {condition}"
[system]
allowed = true
[decode]
strip_leading_space = true
"""


def test_a_template_of_ones_own_with_everything_at_once_is_exact(
    sentencepiece_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "odd.toml"
    file.write_text(ODD)
    for flavor in ("serve", "train"):
        verdict, _ = export_jinja(str(file), sentencepiece_file, None, flavor=flavor)
        assert str(verdict).startswith(REFUSED)


@pytest.mark.parametrize("missing", ["jinja2.sandbox", "tokenizers"])
def test_a_missing_package_is_named(
    missing: str, sentencepiece_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ExportError, match=r"pip install 'ochat-templates\["):
        export_jinja("openchat_v3.2", sentencepiece_file, None)
