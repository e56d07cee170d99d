"""What an engine is: prompt ids and sampling parameters in, token events out.

Text, templates and HTTP belong to other modules; an engine sees ids only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to choose the next token and when to end; every default is neutral.

    Generation ends at `stop_ids` and at `max_tokens`, never at an end-of-sequence id that the
    model's own files name: what ends a turn is the template's knowledge, given in `stop_ids`.
    That is why there is no `ignore_eos` here: to ignore the end of turn is to leave its id out.

    Attributes:
        max_tokens: Most tokens to generate, the stopping one included; at least 1.
        min_tokens: No id of `stop_ids` is chosen before so many tokens were.
        stop_ids: Ids that end the answer; the one that did is the last id of the last event.
        temperature: 0 takes the most probable token; otherwise logits are divided by it.
        top_p: Keep the smallest set of tokens whose probability reaches it; 1 keeps all.
        top_k: Keep so many most probable tokens; 0 keeps all.
        min_p: Keep tokens at least so probable relative to the best one; 0 keeps all.
        seed: Makes a sampled answer reproducible on the same engine; None draws anew.
        repetition_penalty: Above 1 discourages ids of prompt and answer; 1 is neutral.
        presence_penalty: Subtracted from the logit of every id already in the answer.
        frequency_penalty: Subtracted once for each time the id is already in the answer.
        logit_bias: Pairs of an id and what is added to its logit before anything else is done.
        logprobs: Report each token's log probability, and those of so many best ones; None
            reports nothing. They are the model's own, before penalties and temperature.
        prompt_logprobs: The same for the ids of the prompt.
        json_schema: A JSON schema, as text, that the answer must fulfil; None leaves it free.
        adapter: Name of an adapter that the engine was made with; "" is the model itself.
        stream_interval: After the first, an event may wait for so many tokens; the last never
            waits. Engines that cannot wait may ignore it: it changes no answer.
        cache_salt: Requests share cached prefixes only with requests of the same salt; "" is
            shared by all. An engine without such a cache honours it by having none.
    """

    max_tokens: int = 16
    min_tokens: int = 0
    stop_ids: tuple[int, ...] = ()
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    json_schema: str | None = None
    cache_salt: str = ""
    adapter: str = ""
    stream_interval: int = 1

    def requested(self) -> frozenset[str]:
        """Names of the fields that differ from their neutral value."""
        return frozenset(f.name for f in fields(self) if getattr(self, f.name) != f.default)


ALL_CAPABILITIES = frozenset(f.name for f in fields(SamplingParams))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprobs:
    """How probable a token was where it stands.

    Attributes:
        token_id: The token.
        logprob: Natural logarithm of its probability.
        top: The most probable ids there with theirs, best first.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


# Not frozen: one is made for every token of every stream, and freezing takes three times as long.
@dataclass(slots=True, kw_only=True)
class TokenEvent:
    """New token ids of one answer; not to be changed.

    Attributes:
        token_ids: Ids generated since the event before, in order; never empty unless finished.
        finish_reason: None while the answer goes on; `stop` or `length` on the last event.
        logprobs: One entry for each of `token_ids`, where they were asked for.
        prompt_logprobs: One entry for each id of the prompt but the first, on the first event.
        cached_tokens: Tokens of the prompt that were not computed anew, on the first event; None
            where the engine does not say.
    """

    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()
    prompt_logprobs: tuple[TokenLogprobs, ...] = ()
    cached_tokens: int | None = None


class Engine(Protocol):
    """Runs one model. All methods are called from one event loop."""

    @property
    def name(self) -> str:
        """The word that `--engine` takes."""
        ...

    @property
    def capabilities(self) -> frozenset[str]:
        """Fields of `SamplingParams` that this engine honours; others must stay neutral."""
        ...

    @property
    def max_model_len(self) -> int:
        """Most tokens that prompt and answer may have together."""
        ...

    async def start(self) -> None:
        """Load the model; afterwards requests may come.

        Raises:
            SetupError: The model cannot be loaded; the sentence says why and what to do.
        """
        ...

    async def stop(self) -> None:
        """End requests that still run and leave no thread or process; may be called twice."""
        ...

    def generate(
        self, prompt_ids: Sequence[int], sampling: SamplingParams, request_id: str
    ) -> AsyncGenerator[TokenEvent]:
        """Answer one prompt; closing the iterator early aborts the request.

        Args:
            prompt_ids: The whole prompt, at least one id, shorter than `max_model_len`.
            sampling: How to choose and when to end.
            request_id: A name unique among running requests.

        Raises:
            EngineDeadError: The engine takes no requests.
            EngineError: This request failed; others go on.
        """
        ...

    def check_health(self) -> None:
        """Return if requests can be taken.

        Raises:
            EngineDeadError: They cannot; the message says why.
        """
        ...
