"""A token dataset and a small model with weights for benchmarks that train for real.

The text is Python's own manual, cut into questions and answers whose lengths follow one of the
ShareGPT-like distributions of `bench`.
"""

from __future__ import annotations

import random
from pathlib import Path
from pydoc_data.topics import topics
from typing import TYPE_CHECKING

import torch
from bench import Distribution, write_llama
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from ochat_data import Record, TokenizeOptions, write_token_dataset
from ochat_templates import Codec, Conversation, Message, load_codec
from ochat_templates.testing import train_sentencepiece

if TYPE_CHECKING:
    from collections.abc import Sequence

TEMPLATE = "openchat_v3.2"


def make_base(
    folder: Path, *, hidden: int, layers: int, pieces: int, longest: int, seed: int = 0
) -> Codec:
    """A model folder with a tokenizer trained on the manual and freshly initialised weights."""
    folder.mkdir(parents=True)
    train_sentencepiece(topics.values(), folder / "tokenizer.model", vocab_size=pieces)
    codec = load_codec(folder, TEMPLATE)
    write_llama(folder, vocabulary=codec.vocab_size, hidden=hidden, layers=layers, longest=longest)
    torch.manual_seed(seed)
    disable_progress_bar()
    config = AutoConfig.from_pretrained(folder)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return codec


def write_dataset(
    folder: Path,
    codec: Codec,
    distribution: Distribution,
    *,
    conversations: int,
    divisor: int,
    seed: int,
) -> None:
    """Conversations of one exchange, whose lengths are the distribution's over `divisor`."""
    longest = distribution.longest // divisor
    lengths = distribution.spread(conversations, divisor=divisor, seed=seed)
    cuts = _Cuts(codec, seed)
    records = [cuts.record(max(24, int(length)), index) for index, length in enumerate(lengths)]
    options = TokenizeOptions(max_length=longest, truncation="cut")
    write_token_dataset(folder, records, codec, options)


class _Cuts:
    """Random places of the manual, as conversations of about so many tokens."""

    def __init__(self, codec: Codec, seed: int) -> None:
        self._text = "\n".join(topics.values())
        self._random = random.Random(seed)  # noqa: S311 - a seed, not a secret
        self._per_token = len(self._text) / len(codec.encode_text(self._text))

    def record(self, tokens: int, number: int) -> Record:
        """A fifth of the tokens asks, the rest answers."""
        characters = max(10, int((tokens - 12) * self._per_token))
        asked = characters // 5
        start = self._random.randrange(len(self._text) - characters)
        cut = self._text[start : start + characters]
        messages: Sequence[Message] = (
            Message(role="user", content=cut[:asked]),
            Message(role="assistant", content=cut[asked:]),
        )
        conversation = Conversation(messages=tuple(messages), condition="GPT4")
        return Record.create(conversation, source=str(number))
