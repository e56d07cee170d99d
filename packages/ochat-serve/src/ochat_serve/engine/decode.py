"""The decode loop of the Transformers engine: one thread, many requests in turn.

Every request has its own key-value cache and is always computed alone, one forward pass of batch
size 1 after another, round robin. The arithmetic of a request therefore never depends on what
else runs: a matrix product's rounding changes with the batch, and with it near-ties of greedy
decoding. Loading the model and the event loop belong to `transformers`.
"""

from __future__ import annotations

import inspect
import threading
from collections import deque
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from ochat_serve.engine.base import FinishReason, TokenEvent, TokenLogprobs
from ochat_serve.engine.sampler import Sampler, token_logprobs
from ochat_serve.errors import EngineDeadError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel

    from ochat_serve.engine.base import SamplingParams

# A longer prompt is computed in pieces, so that running streams wait for one piece only.
_PREFILL_TOKENS = 512


class Job:
    """One request on its way through the loop; `cancelled` may be set from any thread."""

    def __init__(
        self,
        prompt_ids: Sequence[int],
        sampling: SamplingParams,
        deliver: Callable[[TokenEvent | EngineError], None],
    ) -> None:
        """Remember the request; `deliver` is called from the loop's thread."""
        self.prompt_ids = list(prompt_ids)
        self.sampling = sampling
        self.deliver = deliver
        self.cancelled = False


class _Sequence:
    """A job with its cache and the ids that the model has not seen yet."""

    def __init__(self, job: Job, cache: DynamicCache) -> None:
        self.job = job
        self.cache = cache
        self.pending = list(job.prompt_ids)
        self.sampler = Sampler(job.sampling, job.prompt_ids)
        self.generated = 0
        self.prompt_logprobs: list[TokenLogprobs] = []
        # Computed and not told yet.
        self.kept_ids: list[int] = []
        self.kept_logprobs: list[TokenLogprobs] = []


class DecodeLoop:
    """Runs jobs on a loaded model until told to stop."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        max_model_len: int,
        max_num_seqs: int,
        threads: int,
        use_adapter: Callable[[str], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            model: In evaluation mode, on its device.
            max_model_len: Most tokens of prompt and answer together.
            max_num_seqs: Requests computed in turn; further ones wait.
            threads: Threads of one operation on the CPU.
            use_adapter: Makes the model the one of that adapter, "" the model itself; None where
                there are no adapters.
        """
        self._use_adapter = use_adapter
        self._model = model
        # Transformers 5.24 renamed it; the old name is to vanish in 5.40.
        parameters = inspect.signature(model.forward).parameters
        self._cache_argument = "cache" if "cache" in parameters else "past_key_values"
        self._max_model_len = max_model_len
        self._max_num_seqs = max_num_seqs
        self._threads = threads
        self._waiting: deque[Job] = deque()
        self._running: list[_Sequence] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ochat-decode", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job; its events come through `job.deliver`."""
        with self._wake:
            self.check_health()
            self._waiting.append(job)
            self._wake.notify()

    def check_health(self) -> None:
        """Raise `EngineDeadError` if the thread has ended."""
        if self._failure is not None:
            raise EngineDeadError(f"The decode loop died: {self._failure!r}.")
        if self._stopping:
            raise EngineDeadError("The engine was stopped.")

    def stop(self) -> None:
        """End every job with `EngineDeadError` and wait for the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    @property
    def unfinished(self) -> int:
        """Jobs waiting or running, cancelled ones included until the loop meets them."""
        return len(self._waiting) + len(self._running)

    def _run(self) -> None:
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                while self._admit():
                    self._running = [s for s in self._running if self._advance(s)]
        except BaseException as error:
            # A fault outside one request's own step leaves the thread in an unknown state.
            self._failure = error
            raise
        finally:
            self._abandon()

    def _admit(self) -> bool:
        """Move waiting jobs into the round, sleeping while there is nothing to do."""
        with self._wake:
            while not (self._stopping or self._waiting or self._running):
                self._wake.wait()
            while self._waiting and len(self._running) < self._max_num_seqs:
                job = self._waiting.popleft()
                if not job.cancelled:
                    cache = DynamicCache(config=self._model.config)
                    self._running.append(_Sequence(job, cache))
            return not self._stopping

    def _abandon(self) -> None:
        """Tell everybody who still waits that nothing more comes."""
        with self._wake:
            jobs = [*self._waiting, *(s.job for s in self._running)]
            self._waiting.clear()
            self._running.clear()
        for job in jobs:
            if not job.cancelled:
                job.deliver(EngineDeadError("The engine stopped before the answer was finished."))

    def _advance(self, sequence: _Sequence) -> bool:
        """Compute one piece of prompt or one token; False when the job is over."""
        job = sequence.job
        if job.cancelled:
            return False
        try:
            token = self._forward(sequence)
        except EngineError as error:
            job.deliver(error)
            return False
        except (RuntimeError, ValueError, IndexError) as error:
            job.deliver(EngineError(f"The model failed on this request: {error}"))
            return False
        if token is None:
            return True
        reason = self._finish_reason(sequence, token)
        sequence.kept_ids.append(token)
        if sequence.sampler.reported is not None:
            sequence.kept_logprobs.append(sequence.sampler.reported)
        enough = len(sequence.kept_ids) >= job.sampling.stream_interval
        if reason is not None or enough or sequence.generated == 1:
            _deliver(sequence, reason)
        return reason is None

    def _forward(self, sequence: _Sequence) -> int | None:
        """Feed pending ids; the next token, or None while the prompt is not through."""
        piece = sequence.pending[:_PREFILL_TOKENS]
        sequence.pending = sequence.pending[_PREFILL_TOKENS:]
        if self._use_adapter is not None:
            self._use_adapter(sequence.job.sampling.adapter)
        of_prompt = sequence.job.sampling.prompt_logprobs
        # Every position of the prompt, or the last one alone.
        keep = 0 if of_prompt is not None and not sequence.generated else 1
        output = self._model(
            input_ids=torch.tensor([piece], device=self._model.device),
            use_cache=True,
            logits_to_keep=keep,
            **{self._cache_argument: sequence.cache},
        )
        if keep == 0:
            _report_prompt(sequence, piece, output.logits[0], of_prompt or 0)
        if sequence.pending:
            return None
        token = sequence.sampler.choose(output.logits[0, -1])
        sequence.pending = [token]
        sequence.generated += 1
        return token

    def _finish_reason(self, sequence: _Sequence, token: int) -> FinishReason | None:
        sampling = sequence.job.sampling
        if token in sampling.stop_ids:
            return "stop"
        total = len(sequence.job.prompt_ids) + sequence.generated
        if sequence.generated >= sampling.max_tokens or total >= self._max_model_len:
            return "length"
        return None


def _report_prompt(sequence: _Sequence, piece: list[int], logits: torch.Tensor, count: int) -> None:
    """Remember how probable each id after those of `piece` was; logits `(piece, vocab)`."""
    following = [*piece[1:], *sequence.pending[:1]]
    scores = logits[: len(following)].to("cpu", torch.float32)
    sequence.prompt_logprobs += [
        token_logprobs(row, token, count) for row, token in zip(scores, following, strict=True)
    ]


def _deliver(sequence: _Sequence, reason: FinishReason | None) -> None:
    """Tell what was computed since the last time."""
    event = TokenEvent(
        token_ids=tuple(sequence.kept_ids),
        finish_reason=reason,
        logprobs=tuple(sequence.kept_logprobs),
        prompt_logprobs=tuple(sequence.prompt_logprobs),
    )
    for told in (sequence.kept_ids, sequence.kept_logprobs, sequence.prompt_logprobs):
        told.clear()
    sequence.job.deliver(event)
