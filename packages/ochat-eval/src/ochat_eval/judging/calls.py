"""One question to a judge, and what many of them will cost.

How they are asked is in `asking`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

# Tokens that an explained verdict takes; a guess, and told as one.
_EXPLAINED_TOKENS, _CHARACTERS_A_TOKEN = 300, 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to a judge.

    Attributes:
        name: What it is about, for people, such as `mt/81/turn 1`.
        body: The request of the chat API, without the model.
        answers: The answers in the order shown, for a scripted judge.
    """

    name: str
    body: dict[str, object]
    answers: tuple[str, ...]
    prompt_name: str = ""
    _digests: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def prompt(self) -> str:
        """What the user's message says."""
        messages = self.body["messages"]
        return str(messages[-1]["content"]) if isinstance(messages, list) else ""

    def request(self, model: str) -> bytes:
        """The body that is sent."""
        return orjson.dumps({"model": model, **self.body})

    def key(self, model: str) -> str:
        """A digest of the whole content: the same question to the same judge is asked once."""
        if model not in self._digests:
            content = orjson.dumps({"model": model, **self.body}, option=orjson.OPT_SORT_KEYS)
            self._digests[model] = hashlib.sha256(content).hexdigest()[:32]
        return self._digests[model]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What calls will cost, guessed from characters; prices are for a million tokens.

    Attributes:
        calls: To be made; those that are stored already are not among them.
        stored: Already there.
        prompt_tokens: About.
        completion_tokens: About.
    """

    calls: int
    stored: int
    prompt_tokens: int
    completion_tokens: int

    def cost(self, price_in: float, price_out: float) -> float:
        """In the prices' currency."""
        return (self.prompt_tokens * price_in + self.completion_tokens * price_out) / 1e6

    def sentence(self, price_in: float, price_out: float) -> str:
        """For a person."""
        said = (
            f"{self.calls} calls to the judge ({self.stored} more are stored): about "
            f"{self.prompt_tokens} tokens in, {self.completion_tokens} out"
        )
        cost = self.cost(price_in, price_out)
        return f"{said}, about {cost:.2f} at the prices given" if price_in or price_out else said


def estimate(calls: Sequence[Call], stored: int) -> Estimate:
    """What these calls will cost."""
    characters = sum(len(call.request("")) for call in calls)
    limits = [call.body.get("max_tokens") for call in calls]
    out = sum(
        min(x, _EXPLAINED_TOKENS) if isinstance(x, int) else _EXPLAINED_TOKENS for x in limits
    )
    return Estimate(
        calls=len(calls),
        stored=stored,
        prompt_tokens=round(characters / _CHARACTERS_A_TOKEN),
        completion_tokens=out,
    )
