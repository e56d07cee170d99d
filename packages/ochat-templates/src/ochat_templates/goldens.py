"""Golden cases: conversations with the exact ids that the published tokenizers give them.

They need no tokenizer here: whoever has one of these tokenizers holds it against them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from .conversation import Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCase:
    """A conversation with its exact ids.

    Attributes:
        template: The template's name.
        family: The vocabulary, as `families.toml` names it: `llama2`, `mistral_v1` or `llama3`.
        title: What it shows.
        source: Where the ids come from.
        conversation: What is encoded.
        prompt: The ids of the inference form of `asked`; empty where none are known.
        ids: The ids of the training form; empty where none are known.
        weights: The unshifted loss weight of each of `ids`.
    """

    template: str
    family: str
    title: str
    source: str
    conversation: Conversation
    prompt: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def asked(self) -> Conversation:
        """The conversation without its last answer, if it ends in one."""
        messages = self.conversation.messages
        if messages[-1].role == "assistant":
            messages = messages[:-1]
        return replace(self.conversation, messages=messages)


@cache
def golden_cases() -> tuple[GoldenCase, ...]:
    """Every golden case that this package ships."""
    return tuple(_read())


def _read() -> Iterator[GoldenCase]:
    text = (resources.files("ochat_templates") / "goldens.json").read_text(encoding="utf-8")
    for case in json.loads(text):
        yield GoldenCase(
            template=case["template"],
            family=case["family"],
            title=case["title"],
            source=case["source"],
            conversation=Conversation.from_json(case["conversation"]),
            prompt=tuple(case.get("prompt", ())),
            ids=tuple(case.get("ids", ())),
            weights=tuple(case.get("weights", ())),
        )
