"""A model folder as Transformers reads it, against a codec that follows the rule."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ochat_templates.codec import Codec
from ochat_templates.errors import TokenizerError
from ochat_templates.sampling import sample_conversations, sample_texts

from .chat_template_checks import check_chat_template
from .comparing import (
    DOUBLE_BOS,
    FORGED,
    NO_SPACE_AFTER_CONTROL,
    Comparison,
    Difference,
    causes_of,
)
from .rendering import render_prompt
from .report import shown
from .tokenizer_checks import TEXTS_PER_CONVERSATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder's tokenizer as Transformers makes it."""

    path: Path
    tokenizer: Any

    def encode(self, text: str) -> list[int]:
        """As a serving stack encodes a rendered string."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def encode_split(self, text: str) -> list[int]:
        """As a careful program encodes somebody's text."""
        encoding = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(encoding["input_ids"])


def open_folder(path: Path) -> Folder:
    """Loads a folder's tokenizer by `AutoTokenizer`.

    Raises:
        TokenizerError: Transformers is missing, or cannot load it.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise TokenizerError("--hf needs: pip install 'ochat-templates[transformers]'") from error
    if not path.is_dir():
        raise TokenizerError(f"{path} is no folder; --hf takes a model folder")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except Exception as error:  # Transformers raises whatever its files make it raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TokenizerError(f"Transformers cannot load the tokenizer in {path}: {reason}") from (
            error
        )
    return Folder(path=path, tokenizer=tokenizer)


def check_folder(
    codec: Codec, folder: Folder, comparison: Comparison, *, seed: int, cases: int
) -> list[str]:
    """Compares every way in which a folder's tokenizer is used; returns notes."""
    if not _check_control_tokens(codec, folder, comparison):
        return []
    template = codec.template
    count = cases * TEXTS_PER_CONVERSATION
    plain = islice(sample_texts(template, seed, special_strings=False), count)
    comparison.compare(
        f"texts alone, as {type(folder.tokenizer).__name__} encodes them",
        codec,
        [(text, codec.encode_text(text)) for text in plain if not _spells(codec, text)],
        folder.encode,
    )
    spelt = [text for text in islice(sample_texts(template, seed), count) if _spells(codec, text)]
    comparison.compare(
        "texts that spell control tokens, with split_special_tokens",
        codec,
        [(text, codec.encode_text(text)) for text in spelt],
        folder.encode_split,
    )
    chats = [
        replace(chat, messages=chat.messages[:-1])
        for chat in islice(sample_conversations(template, seed, special_strings=False), cases)
    ]
    rendered = [(render_prompt(codec, chat), codec.prompt(chat)) for chat in chats]
    representable = [(text, ids) for text, ids in rendered if text is not None]
    name = f"whole conversations as one string ({len(chats) - len(representable)} have none)"
    comparison.compare(name, codec, representable, folder.encode)
    check_chat_template(codec, folder.tokenizer, chats, comparison)
    notes = [*_notes(codec, folder, spelt), *_double_bos(codec, folder, representable)]
    if NO_SPACE_AFTER_CONTROL in comparison.counts:
        notes += _legacy_flag(folder)
    return notes


def _check_control_tokens(codec: Codec, folder: Folder, comparison: Comparison) -> bool:
    """Whether the folder has every control token under the same id."""
    vocabulary = folder.tokenizer.get_vocab()
    template = codec.template
    found: list[Difference] = []
    for token in template.control_tokens:
        theirs, ours = vocabulary.get(token), codec.control_ids[token]
        if theirs is None:
            kind = "end-of-turn" if token == template.eot else "control"
            found.append(([f"missing {kind} token"], f"{token!r} is no token of {folder.path}"))
        elif theirs != ours:
            found.append((["other control id"], f"{token!r} has the id {theirs} and not {ours}"))
    comparison.record("control tokens and their ids", len(template.control_tokens), found)
    return not found


def _spells(codec: Codec, text: str) -> bool:
    return any(token in text for token in codec.control_ids)


def _notes(codec: Codec, folder: Folder, spelt: Sequence[str]) -> list[str]:
    """What text becomes when nobody asks for splitting, and when the backend's flag is set."""
    notes: list[str] = []
    forged = [t for t in spelt if FORGED in _causes(codec, folder.encode, t)]
    if forged:
        notes.append(
            f"{FORGED} unless split_special_tokens is given: {shown(forged[0])} "
            f"({len(forged)} of {len(spelt)} such texts)"
        )
    backend = getattr(folder.tokenizer, "_tokenizer", None)
    if backend is None or not hasattr(backend, "encode_special_tokens"):
        return notes
    before = backend.encode_special_tokens

    def with_flag(text: str) -> list[int]:
        backend.encode_special_tokens = True
        return list(folder.tokenizer(text, add_special_tokens=False)["input_ids"])

    try:
        reset = [text for text in spelt if FORGED in _causes(codec, with_flag, text)]
    finally:
        backend.encode_special_tokens = before
    if reset:
        notes.append(
            "flag reset: Transformers sets encode_special_tokens back inside its call, so a "
            f"program that relies on it lets text forge control tokens: {shown(reset[0])}"
        )
    return notes


def _causes(codec: Codec, encode: Callable[[str], list[int]], text: str) -> list[str]:
    got, expected = encode(text), codec.encode_text(text)
    return causes_of(codec, got, expected) if got != expected else []


def _double_bos(
    codec: Codec, folder: Folder, rendered: Sequence[tuple[str, Sequence[int]]]
) -> list[str]:
    for text, ids in rendered[:1]:
        got = list(folder.tokenizer(text)["input_ids"])
        if DOUBLE_BOS in causes_of(codec, got, ids):
            return [
                f"{DOUBLE_BOS}: a rendered conversation opens with the BOS, and this tokenizer "
                "adds another unless add_special_tokens=False is given"
            ]
    return []


def _legacy_flag(folder: Folder) -> list[str]:
    """Why there is no space after a control token, where the folder's own file says it."""
    file = folder.path / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    said = {None: "has no 'legacy' key", False: "says 'legacy': false"}.get(config.get("legacy"))
    if said is None or "Llama" not in type(folder.tokenizer).__name__:
        return []
    return [f"legacy flag: {file} {said}, so Transformers 5 puts none after a control token"]
