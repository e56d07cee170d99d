"""The production engine: vLLM's AsyncLLM, driven with token ids.

A process of vLLM's runs the model. Tokenising, stop rules and text stay with the layers above, so
no tokenizer of the model's own is ever loaded: vLLM gets the bare tokens, to know which of them a
JSON schema allows.
"""

from __future__ import annotations

import argparse
import inspect
import math
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

# pyrefly: ignore[missing-import]
from vllm import SamplingParams as VllmSamplingParams

# pyrefly: ignore[missing-import]
from vllm.engine.arg_utils import AsyncEngineArgs

# pyrefly: ignore[missing-import]
from vllm.exceptions import VLLMError

# pyrefly: ignore[missing-import]
from vllm.inputs import tokens_input

# pyrefly: ignore[missing-import]
from vllm.lora.request import LoRARequest

# pyrefly: ignore[missing-import]
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

# pyrefly: ignore[missing-import]
from vllm.usage.usage_lib import UsageContext

# pyrefly: ignore[missing-import]
from vllm.v1.engine.async_llm import AsyncLLM

# pyrefly: ignore[missing-import]
from vllm.v1.engine.exceptions import EngineDeadError as VllmEngineDeadError

from ochat_serve.engine.adapters import vllm_arguments
from ochat_serve.engine.base import ALL_CAPABILITIES, TokenEvent, TokenLogprobs
from ochat_serve.engine.grammar import grammar_of
from ochat_serve.engine.vllm_stream import outputs_of
from ochat_serve.errors import EngineDeadError, EngineError, SetupError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    # pyrefly: ignore[missing-import]
    from vllm.logprobs import Logprob

    # pyrefly: ignore[missing-import]
    from vllm.outputs import RequestOutput

    from ochat_serve.engine.adapters import Adapter
    from ochat_serve.engine.base import SamplingParams
    from ochat_serve.engine.vocabulary import Vocabulary


_KNOWN = inspect.signature(VllmSamplingParams).parameters
# vLLM 0.32 has it, 0.26 has not.
_HAS_STREAM_INTERVAL = "stream_interval" in _KNOWN
# Made for one request and for nobody else, so vLLM need not copy them deeply.
_UNSHARED = {"skip_clone": True} if "skip_clone" in _KNOWN else {}

# llguidance on both engines: the same schema allows the same tokens.
_GRAMMAR_ARGUMENTS = ("--structured-outputs-config", '{"backend": "guidance"}')


class VllmEngine:
    """Streams tokens of a model run by vLLM."""

    name = "vllm"

    def __init__(
        self,
        folder: Path,
        *,
        max_model_len: int,
        dtype: str = "auto",
        shutdown_seconds: int = 0,
        engine_stats: bool = False,
        adapters: Sequence[Adapter] = (),
        vocabulary: Vocabulary | None = None,
        extra_arguments: Sequence[str] = (),
    ) -> None:
        """Choose what `start` will run.

        Args:
            folder: A Hugging Face model folder.
            max_model_len: Most tokens of prompt and answer together.
            dtype: `auto` (as saved), `float32`, `bfloat16` or `float16`.
            shutdown_seconds: How long vLLM's own process works on when it is told to stop.
            engine_stats: Whether vLLM gathers and logs its own statistics.
            adapters: Served beside the model, chosen by `SamplingParams.adapter`.
            vocabulary: Needed to hold answers to a JSON schema.
            extra_arguments: Further command line arguments of vLLM's engine, such as
                `--tensor-parallel-size 2`.

        Raises:
            SetupError: vLLM does not know one of the arguments.
        """
        self._arguments = _engine_arguments(
            [
                *("--model", str(folder), "--dtype", dtype),
                *("--max-model-len", str(max_model_len)),
                *(("--skip-tokenizer-init",) if vocabulary is None else _GRAMMAR_ARGUMENTS),
                *("--shutdown-timeout", str(shutdown_seconds)),
                *(() if engine_stats else ("--disable-log-stats",)),
                # Sampling defaults come from the request, not from the model's files.
                *("--generation-config", "vllm"),
                *vllm_arguments(adapters),
                *extra_arguments,
            ]
        )
        self._adapters = {
            # Counted from 1: vLLM keeps 0 for the model itself.
            adapter.name: LoRARequest(adapter.name, number, str(adapter.folder))
            for number, adapter in enumerate(adapters, start=1)
        }
        self._vocabulary = vocabulary
        bare = self._arguments.skip_tokenizer_init
        self.capabilities = ALL_CAPABILITIES - ({"json_schema"} if bare else set())
        self._llm: AsyncLLM | None = None
        self._running: set[str] = set()
        self.max_model_len = max_model_len

    async def start(self) -> None:
        """Start vLLM's process and wait until the model is loaded; see `Engine.start`.

        The event loop stands still meanwhile: vLLM ties its sockets to the loop it starts in.
        """
        try:
            self._llm = self._started()
        except (
            VLLMError,
            ValueError,
            RuntimeError,
            OSError,
            ImportError,
            NotImplementedError,
        ) as error:
            reason = " ".join(str(error).split())
            raise SetupError(
                f"vLLM cannot run {self._arguments.model} ({reason}); its own messages above say "
                "more. --engine transformers needs no vLLM."
            ) from error

    def _started(self) -> AsyncLLM:
        """All of vLLM's processes have read the tokens when this returns."""
        with TemporaryDirectory(prefix="ochat-serve-") as name:
            if self._vocabulary is not None and not self._arguments.skip_tokenizer_init:
                self._vocabulary.write(Path(name))
                self._arguments.tokenizer = name
            return AsyncLLM.from_engine_args(
                self._arguments, usage_context=UsageContext.OPENAI_API_SERVER
            )

    async def stop(self) -> None:
        """End requests that still run and vLLM's processes; see `Engine.stop`."""
        llm, self._llm = self._llm, None
        if llm is None:
            return
        if self._running and not llm.errored:
            await llm.abort(list(self._running))
        llm.shutdown()

    def check_health(self) -> None:
        """Raise `EngineDeadError` unless vLLM's process lives."""
        self._living()

    async def generate(
        self, prompt_ids: Sequence[int], sampling: SamplingParams, request_id: str
    ) -> AsyncGenerator[TokenEvent]:
        """Answer one prompt; see `Engine.generate`."""
        salt = sampling.cache_salt or None
        prompt = tokens_input(list(prompt_ids), cache_salt=salt)
        adapter = self._adapters[sampling.adapter] if sampling.adapter else None
        outputs = outputs_of(self._living(), prompt, _vllm_sampling(sampling), request_id, adapter)
        self._running.add(request_id)
        try:
            async with aclosing(outputs):
                first = True
                async for output in outputs:
                    event = _event(output, sampling, first=first)
                    first = False
                    yield event
                    if event.finish_reason is not None:
                        return
        except VllmEngineDeadError as error:
            raise EngineDeadError("vLLM's engine process died.") from error
        except (VLLMError, ValueError) as error:
            raise EngineError(f"vLLM failed on this request: {error}") from error
        finally:
            self._running.discard(request_id)

    @property
    def unfinished(self) -> int:
        """Requests that vLLM has not finished."""
        return 0 if self._llm is None else self._llm.output_processor.get_num_unfinished_requests()

    def _living(self) -> AsyncLLM:
        if self._llm is None:
            raise EngineDeadError("The vLLM engine is not running.")
        if self._llm.errored:
            raise EngineDeadError("vLLM's engine process died.")
        return self._llm


def _engine_arguments(arguments: list[str]) -> AsyncEngineArgs:
    """VLLM's own command line, with a wrong argument as an error to report and not an exit."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    AsyncEngineArgs.add_cli_args(parser)
    try:
        known, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise SetupError(f"vLLM's engine does not accept {error}.") from error
    if unknown:
        raise SetupError(f"Neither ochat-serve nor vLLM's engine knows {' '.join(unknown)}.")
    return AsyncEngineArgs.from_cli_args(known)


def _vllm_sampling(sampling: SamplingParams) -> VllmSamplingParams:
    """The same parameters in vLLM's words; nothing but `stop_ids` may end an answer."""
    structured = None
    if sampling.json_schema is not None:
        structured = StructuredOutputsParams(grammar=grammar_of(sampling.json_schema))
    return VllmSamplingParams(
        structured_outputs=structured,
        max_tokens=sampling.max_tokens,
        # vLLM would also bar the end of turn where the request does not stop at it.
        min_tokens=sampling.min_tokens if sampling.stop_ids else 0,
        stop_token_ids=list(sampling.stop_ids),
        ignore_eos=True,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        seed=sampling.seed,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logit_bias=dict(sampling.logit_bias) or None,
        logprobs=sampling.logprobs,
        prompt_logprobs=sampling.prompt_logprobs,
        detokenize=False,
        **({"stream_interval": sampling.stream_interval} if _HAS_STREAM_INTERVAL else {}),
        output_kind=RequestOutputKind.DELTA,
        **_UNSHARED,
    )


def _event(output: RequestOutput, sampling: SamplingParams, *, first: bool) -> TokenEvent:
    completion = output.outputs[0]
    reason = completion.finish_reason
    if reason not in (None, "stop", "length"):
        raise EngineDeadError(f"The engine stopped before the answer was finished ({reason}).")
    ids = tuple(completion.token_ids)
    cached = output.num_cached_tokens if first else None
    if completion.logprobs is None and output.prompt_logprobs is None:
        return TokenEvent(token_ids=ids, finish_reason=reason, cached_tokens=cached)
    entries = completion.logprobs or ()
    prompt = zip(output.prompt_token_ids[1:], (output.prompt_logprobs or [])[1:], strict=False)
    best, prompt_best = sampling.logprobs or 0, sampling.prompt_logprobs or 0
    return TokenEvent(
        token_ids=ids,
        finish_reason=reason,
        logprobs=tuple(_logprobs(i, entry, best) for i, entry in zip(ids, entries, strict=False)),
        prompt_logprobs=tuple(_logprobs(i, entry, prompt_best) for i, entry in prompt),
        cached_tokens=cached,
    )


def _logprobs(token: int, entry: Mapping[int, Logprob], best: int) -> TokenLogprobs:
    """One position; vLLM's entry has the token itself beside the best ones."""
    ranked = sorted(
        (each.rank, i, each.logprob)
        for i, each in entry.items()
        if each.rank <= best and each.logprob > -math.inf
    )
    return TokenLogprobs(
        token_id=token, logprob=entry[token].logprob, top=tuple((i, p) for _, i, p in ranked)
    )
