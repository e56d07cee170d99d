"""The verdict of an export tells every difference that a rendering can have."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tokenizers import Tokenizer

from ochat_templates import (
    Codec,
    Conversation,
    Template,
    get_template,
    load_codec,
)
from ochat_templates.export import export_jinja
from ochat_templates.export.rendering import Rendered, tokenized
from ochat_templates.export.verdict import judge

REFUSED = "EXACT EXCEPT contents that spell a control token are refused"


def encoded(codec: Codec, chat: Conversation, prompt: bool) -> tuple[list[int], list[bool]]:
    """What an exact string would give."""
    if prompt:
        return codec.prompt(chat), []
    form = codec.encode(chat)
    return form.ids, [weight > 0 for weight in form.weights()]


def test_other_ids_and_other_masks_are_told_by_the_verdict(sentencepiece_file: Path) -> None:
    codec = load_codec(sentencepiece_file, "openchat_v3.2")

    def shorter(chat: Conversation, prompt: bool) -> tuple[list[int], None]:
        return encoded(codec, chat, prompt)[0][:-1], None

    def unmasked(chat: Conversation, prompt: bool) -> tuple[list[int], list[bool]]:
        ids, mask = encoded(codec, chat, prompt)
        return ids, [False] * len(mask)

    def unmasked_unless_ascii(chat: Conversation, prompt: bool) -> tuple[list[int], list[bool]]:
        ids, mask = encoded(codec, chat, prompt)
        ascii_only = all(message.content.isascii() for message in chat.messages)
        return ids, mask if ascii_only else [False] * len(mask)

    spellings = frozenset({"\ue000"})
    for encode, trains, expected in (
        (shorter, False, "NOT REPRESENTABLE: .* on \\[\\] instead of \\["),
        (unmasked, True, "NOT REPRESENTABLE: .* other tokens are marked as generated"),
        (unmasked_unless_ascii, True, "EXACT EXCEPT answers that Transformers' mask cuts"),
    ):
        verdict = judge(codec, encode, trains=trains, joint=" ", spellings=spellings)
        assert re.match(expected, str(verdict))
    exact = judge(codec, partial(encoded, codec), trains=False, joint=" ", spellings=spellings)
    assert (exact.kind, str(exact).partition(" (")[0]) == ("EXACT", "EXACT")


def test_a_mask_that_cannot_be_right_is_told(sentencepiece_file: Path, tmp_path: Path) -> None:
    """A user message that is trained as well has no generation mark to carry it."""
    file = tmp_path / "greedy.toml"
    file.write_text(
        'schema = 1\nname = "greedy"\ncontext_length = 64\n[control]\nbos = "<s>"\neot = "</s>"\n'
        '[roles]\nuser = "U:"\nassistant = "A:"\n[weights]\nuser = 1\nassistant = 0\n'
        "[decode]\nstrip_leading_space = true\n"
    )
    verdict, text = export_jinja(str(file), sentencepiece_file, None, flavor="train")
    assert verdict.kind == "EXACT EXCEPT"
    assert text.index("{%- generation -%}") < text.index('== "assistant"')


def test_a_tokenizer_without_the_joint_merge_is_exact_for_opencoder(
    byte_level_tokenizer: Callable[[Template], Tokenizer], tmp_path: Path
) -> None:
    """The verdict is measured: where no piece crosses the joint, the string is exact."""
    template = get_template("opencoder")
    file = tmp_path / "tokenizer.json"
    byte_level_tokenizer(template).save(str(file))
    verdict, _ = export_jinja(template, file, None)
    assert verdict.kind == "EXACT EXCEPT"


def test_a_mark_on_text_that_has_no_token_marks_nothing(tokenizers_file: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizers_file))
    ids, mask = tokenized(tokenizer, Rendered(text="a", generated=((5, 9),)))
    assert len(ids) == len(mask)
    assert not any(mask)
