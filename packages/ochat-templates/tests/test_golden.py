"""Published token ids: the four examples of OpenChat's README and its 2024 test-suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ochat_templates import Conversation, Message, load_codec

HELLO = [Message(role="user", content="Hello")]
CHAT = [
    *HELLO,
    Message(role="assistant", content="Hi"),
    Message(role="user", content="How are you today?"),
]
USER, ASSISTANT = "402 7982 29946 4911 29901", "402 7982 29946 4007 22137 29901"
CONDITION_TURN = "4007 22137 338 402 7982 29946 32000"
README_EXAMPLES = {
    "v3.2 single": ("openchat_v3.2", HELLO, f"1 {USER} 15043 32000 {ASSISTANT}"),
    "v3.2 multi": (
        "openchat_v3.2",
        CHAT,
        f"1 {USER} 15043 32000 {ASSISTANT} 6324 32000 "
        f"{USER} 1128 526 366 9826 29973 32000 {ASSISTANT}",
    ),
    "v3.1 single": (
        "openchat_v3.1_llama2",
        HELLO,
        f"1 {CONDITION_TURN} 4911 29901 15043 32000 4007 22137 29901",
    ),
    "v3.1 multi": (
        "openchat_v3.1_llama2",
        CHAT,
        f"1 {CONDITION_TURN} 4911 29901 15043 32000 4007 22137 29901 6324 32000 "
        "4911 29901 1128 526 366 9826 29973 32000 4007 22137 29901",
    ),
}


@pytest.mark.parametrize("name", README_EXAMPLES)
def test_prompt_ids_are_those_of_the_published_readme(name: str, llama2_tokenizer: Path) -> None:
    template, messages, expected = README_EXAMPLES[name]
    codec = load_codec(llama2_tokenizer, template)
    ids = codec.prompt(Conversation(messages=tuple(messages), condition="GPT4"))
    assert ids == [int(token_id) for token_id in expected.split()]


def test_training_ids_and_weights_are_those_of_the_2024_test_suite(
    llama2_tokenizer: Path, test_data: Path
) -> None:
    codec = load_codec(llama2_tokenizer, "openchat_v3.2")
    gold = json.loads((test_data / "templates_gold.json").read_text(encoding="utf-8"))
    [case] = [case for case in gold["train_cases"] if case["type"] == "openchat_v3.2"]
    for index, conversation in enumerate(gold["train_conv"]):
        encoded = codec.encode(Conversation.from_json(conversation))
        assert encoded.ids == case["expected_tokens"][index]
        assert encoded.weights() == pytest.approx(case["expected_weights"][index])


def test_prompt_ids_are_those_of_the_2024_test_suite(
    llama2_tokenizer: Path, test_data: Path
) -> None:
    codec = load_codec(llama2_tokenizer, "openchat_v3.2")
    gold = json.loads((test_data / "templates_gold.json").read_text(encoding="utf-8"))
    [case] = [case for case in gold["inf_cases"] if case["type"] == "openchat_v3.2"]
    for index, conversation in enumerate(gold["inf_conv"]):
        assert codec.prompt(Conversation.from_json(conversation)) == case["expected_tokens"][index]
