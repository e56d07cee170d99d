"""Log probabilities of tokens as texts, for those who ask for them.

How they are laid out in JSON is `ochat_serve.http`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ochat_serve.engine import TokenLogprobs
    from ochat_templates import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredToken:
    """A token and its log probability; None where there is nothing before it.

    Attributes:
        text: What it spells; a control token its name, half a character U+FFFD.
        data: Its UTF-8 bytes; None for a control token.
        logprob: Natural logarithm of its probability.
        top: The most probable tokens at its place, best first.
    """

    text: str
    data: bytes | None
    logprob: float | None
    top: tuple[ScoredToken, ...] = ()


def scored_token(codec: Codec, token: int, entry: TokenLogprobs | None = None) -> ScoredToken:
    """A token with what the engine reported of it, if it did."""
    data = codec.token_bytes[token] if token < len(codec.token_bytes) else None
    if data is None:
        text = next((name for name, i in codec.control_ids.items() if i == token), "")
    else:
        text = data.decode("utf-8", "replace")
    if entry is None:
        return ScoredToken(text=text, data=data, logprob=None)
    top = tuple(_named(codec, other, logprob) for other, logprob in entry.top)
    return ScoredToken(text=text, data=data, logprob=entry.logprob, top=top)


def _named(codec: Codec, token: int, logprob: float) -> ScoredToken:
    plain = scored_token(codec, token)
    return ScoredToken(text=plain.text, data=plain.data, logprob=logprob)
