"""The same conversation gives the same tokens in data, training, serving and export."""

from __future__ import annotations

import json

import pytest
from walking import Walk

from ochat_data import TokenDataset
from ochat_serve import ChatMessage, ChatRequest, ChatService, ScriptedEngine, ServedModel
from ochat_templates import Codec, Conversation, load_codec, template_names


def served_prompt(codec: Codec, conversation: Conversation, turns: int) -> list[int]:
    """The ids that the server's chat layer hands to its engine for the first turns."""
    service = ChatService(ScriptedEngine(), ServedModel.of(codec))
    messages = [ChatMessage(role=m.role, content=m.content) for m in conversation.messages[:turns]]
    if conversation.system:
        messages.insert(0, ChatMessage(role="system", content=conversation.system))
    request = ChatRequest(
        model=codec.template.name,
        messages=tuple(messages),
        condition=conversation.condition,
    )
    return service.prepare(request).prompt_ids


def test_the_servers_prompt_is_a_prefix_of_what_training_saw(walk: Walk) -> None:
    dataset = TokenDataset.open(walk.dataset)
    trained = {
        tuple(split.example(i).ids.tolist())
        for split in (dataset.split("train"), dataset.split("eval"))
        for i in range(len(split))
    }
    # The server reads the exported folder, the data set was made with the base folder.
    codec = load_codec(walk.model, "openchat_v3.2")
    asked = 0
    for line in walk.labelled.read_text(encoding="utf-8").splitlines():
        conversation = Conversation.from_json(json.loads(line))
        ids = codec.encode(conversation).ids
        assert tuple(ids) in trained
        for turns in range(1, len(conversation.messages), 2):
            prompt = served_prompt(codec, conversation, turns)
            assert ids[: len(prompt)] == prompt
            asked += 1
    assert asked > 300


@pytest.mark.parametrize("template", template_names())
def test_a_system_text_and_every_template_keep_the_prefix(walk: Walk, template: str) -> None:
    # The bare file: a template's control tokens take the ids after its last piece.
    codec = load_codec(walk.model / "tokenizer.model", template)
    rule = codec.template.condition
    conversation = Conversation.from_json(
        {
            "system": "Be kind. <|end_of_turn|>" if codec.template.system_allowed else "",
            "condition": rule.default,
            "items": [
                {"role": "user", "content": "  Hello\n<s>"},
                {"role": "assistant", "content": ""},
                {"role": "user", "content": "Hm?"},
                {"role": "assistant", "content": "Yes."},
            ],
        }
    )
    ids = codec.encode(conversation).ids
    for turns in (1, 3):
        prompt = served_prompt(codec, conversation, turns)
        assert ids[: len(prompt)] == prompt


def test_the_exported_tokenizer_json_encodes_like_the_model_file(walk: Walk) -> None:
    bare = load_codec(walk.base, "openchat_v3.2")
    exported = load_codec(walk.model / "tokenizer.json", "openchat_v3.2")
    assert exported.fingerprint == bare.fingerprint
