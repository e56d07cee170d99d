"""Encoding with weights against bare SentencePiece, and against Transformers' chat template.

The bare side encodes the same pieces: every role prefix and every content, one call each. The
Transformers side is `apply_chat_template` with `return_assistant_tokens_mask`, over our own export.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, cast

import sentencepiece
from measuring import conversations, cpu_seconds, leave, parser, tokenizer_file, verdict

from ochat_templates import Codec, Conversation, load_codec

TEMPLATE = "openchat_v3.2"


def pieces(codec: Codec, chats: list[Conversation]) -> list[str]:
    """Every text that the codec has to encode, prefixes included."""
    texts: list[str] = []
    for chat in chats:
        condition = codec.template.resolve_condition(chat.condition, training=True)
        for message in chat.messages:
            texts += [p.text for p in codec.template.role_prefix(message.role, condition)]
            texts.append(message.content)
    return texts


def main() -> None:
    """Measures and prints both ratios."""
    arguments = parser(__doc__ or "").parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = tokenizer_file(arguments.tokenizer, Path(folder))
        codec = load_codec(file, TEMPLATE)
        chats = conversations(60, messages=6, characters=620)
        tokens = sum(codec.count(chat) for chat in chats)
        print(f"{len(chats)} conversations of {tokens / len(chats):.0f} tokens on average")
        bare = sentencepiece.SentencePieceProcessor(model_file=str(file))
        texts = pieces(codec, chats)
        fresh = load_codec(file, TEMPLATE)
        new, bare_once = cpu_seconds(
            1,
            lambda: [fresh.encode(chat) for chat in chats],
            lambda: [bare.encode(text) for text in texts],
        )
        print(f"the first time, no word remembered, encode / bare: {bare_once / new:.2f}")
        ours, theirs = cpu_seconds(
            arguments.rounds,
            lambda: [codec.encode(chat) for chat in chats],
            lambda: [bare.encode(text) for text in texts],
        )
        print(f"  encode with weights: {tokens / ours / 1e6:.2f} M tokens per CPU second")
        print(f"  bare SentencePiece:  {tokens / theirs / 1e6:.2f} M tokens per CPU second")
        first = verdict("rate of encode / bare SentencePiece", theirs / ours, at_least=0.9)
        second = against_transformers(codec, chats, file, Path(folder), arguments.rounds)
    leave(first, second)


def against_transformers(
    codec: Codec, chats: list[Conversation], file: Path, folder: Path, rounds: int
) -> bool:
    """Renders and masks the same conversations as Transformers does."""
    from transformers import AutoTokenizer

    from ochat_templates.export import export_tokenizer, jinja_template

    export_tokenizer(codec.template, file, folder / "export")
    tokenizer = cast(Any, AutoTokenizer.from_pretrained(folder / "export"))
    template = jinja_template(codec.template, file, flavor="train")
    rows = [
        [{"role": message.role, "content": message.content} for message in chat.messages]
        for chat in chats
    ]

    def render(row: list[dict[str, str]]) -> Any:  # noqa: ANN401
        return tokenizer.apply_chat_template(
            row,
            chat_template=template,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            condition="GPT3",
        )

    equal = all(
        render(row)["input_ids"] == codec.encode(chat).ids
        for row, chat in zip(rows, chats, strict=True)
    )
    print(f"  the same ids on both sides: {equal}")
    ours, theirs = cpu_seconds(
        rounds,
        lambda: [codec.encode(chat).weights() for chat in chats],
        lambda: [render(row) for row in rows],
    )
    return verdict("rate of encode / apply_chat_template with mask", theirs / ours, at_least=1.8)


if __name__ == "__main__":
    main()
