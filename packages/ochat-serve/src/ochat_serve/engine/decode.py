"""The decode loop of the Transformers engine: one thread, step by step, all requests in each.

Requests join and leave between steps. A step takes the next token of everybody who is answering
and a piece of the prompts of those who came since; what runs the model is `runner`'s business,
loading it and the event loop belong to `transformers`.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import torch

from ochat_serve.engine.base import FinishReason, TokenEvent, TokenLogprobs
from ochat_serve.engine.runner import Piece, choose_runner
from ochat_serve.engine.sampler import Sampler, token_logprobs
from ochat_serve.errors import EngineDeadError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from transformers import PreTrainedModel

    from ochat_serve.engine.base import SamplingParams
    from ochat_serve.engine.grammar import Constraint
    from ochat_serve.engine.runner import AnyRunner

    Outbox = list[tuple["Job", TokenEvent | EngineError]]

# Tokens of prompts in one step; more wait, so that running streams are held up by so many only.
_PROMPT_TOKENS = 512


class Job:
    """One request on its way through the loop; `cancelled` may be set from any thread."""

    def __init__(
        self,
        prompt_ids: Sequence[int],
        sampling: SamplingParams,
        deliver: Callable[[TokenEvent | EngineError], None],
        constraint: Constraint | None = None,
    ) -> None:
        """Remember the request; whoever gets the loop's post calls `deliver`."""
        self.constraint = constraint
        self.prompt_ids = list(prompt_ids)
        self.sampling = sampling
        self.deliver = deliver
        self.cancelled = False


class _Sequence:
    """A job with its cache and the ids that the model has not seen yet."""

    def __init__(self, job: Job, cache: object) -> None:
        self.job = job
        self.cache = cache
        self.pending = list(job.prompt_ids)
        self.sampler = Sampler(job.sampling, job.prompt_ids, job.constraint)
        self.generated = 0
        self.prompt_logprobs: list[TokenLogprobs] = []
        # Computed and not told yet.
        self.kept_ids: list[int] = []
        self.kept_logprobs: list[TokenLogprobs] = []

    def piece(self) -> Piece[object]:
        """What the next forward pass reads.

        The pieces of a prompt are the same whatever else runs, and with them the rounding.
        """
        of_prompt = self.job.sampling.prompt_logprobs is not None and not self.generated
        return Piece(self.pending[:_PROMPT_TOKENS], self.cache, every=of_prompt)

    def read(self, piece: Piece[object], logits: torch.Tensor) -> int | None:
        """Take what the model said of a piece; gives the next token once the prompt is through."""
        self.pending = self.pending[len(piece.ids) :]
        if piece.every:
            self._report_prompt(piece.ids, logits)
        if self.pending:
            return None
        token = self.sampler.choose(logits[-1])
        self.pending = [token]
        self.generated += 1
        self.kept_ids.append(token)
        if self.sampler.reported is not None:
            self.kept_logprobs.append(self.sampler.reported)
        return token

    def _report_prompt(self, ids: Sequence[int], logits: torch.Tensor) -> None:
        """Remember how probable each id after those of a piece was; logits `(ids, vocab)`."""
        count = self.job.sampling.prompt_logprobs or 0
        following = [*ids[1:], *self.pending[:1]]
        self.prompt_logprobs += [
            token_logprobs(row, token, count)
            for row, token in zip(logits[: len(following)], following, strict=True)
        ]

    def event(self, reason: FinishReason | None) -> TokenEvent | None:
        """What was computed since the event before, or None while it may wait."""
        enough = len(self.kept_ids) >= self.job.sampling.stream_interval
        if reason is None and not enough and self.generated > 1:
            return None
        event = TokenEvent(
            token_ids=tuple(self.kept_ids),
            finish_reason=reason,
            logprobs=tuple(self.kept_logprobs),
            prompt_logprobs=tuple(self.prompt_logprobs),
        )
        for told in (self.kept_ids, self.kept_logprobs, self.prompt_logprobs):
            told.clear()
        return event


class DecodeLoop:
    """Runs jobs on a loaded model until told to stop."""

    def __init__(
        self,
        model: PreTrainedModel,
        post: Callable[[Outbox], None],
        *,
        max_model_len: int,
        max_num_seqs: int,
        threads: int,
        use_adapter: Callable[[str], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            model: In evaluation mode, on its device.
            post: Takes the events of a step, all at once; called from the loop's thread.
            max_model_len: Most tokens of prompt and answer together.
            max_num_seqs: Requests computed together; further ones wait.
            threads: Threads of one operation on the CPU.
            use_adapter: Makes the model the one of that adapter, "" the model itself; None where
                there are no adapters.
        """
        self._use_adapter = use_adapter
        self._runner: AnyRunner = choose_runner(model, threads=threads)
        self._post = post
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
        """Queue a job."""
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
                    self._step()
        except BaseException as error:
            # A fault outside one request's own part leaves the thread in an unknown state.
            self._failure = error
            raise
        finally:
            self._abandon()

    def _admit(self) -> bool:
        """Let waiting jobs join, sleeping while there is nothing to do."""
        with self._wake:
            while not (self._stopping or self._waiting or self._running):
                self._wake.wait()
            while self._waiting and len(self._running) < self._max_num_seqs:
                job = self._waiting.popleft()
                if not job.cancelled:
                    self._running.append(_Sequence(job, self._runner.new_cache()))
            return not self._stopping

    def _abandon(self) -> None:
        """Tell everybody who still waits that nothing more comes."""
        with self._wake:
            jobs = [*self._waiting, *(s.job for s in self._running)]
            self._waiting.clear()
            self._running.clear()
        error = EngineDeadError("The engine stopped before the answer was finished.")
        outbox: Outbox = [(job, error) for job in jobs if not job.cancelled]
        if outbox:
            self._post(outbox)

    def _step(self) -> None:
        """One token of every running job, or a piece of its prompt."""
        self._running = [s for s in self._running if not s.job.cancelled]
        outbox: Outbox = []
        over: set[_Sequence] = set()
        for adapter, sequences in _by_adapter(_within_budget(self._running)).items():
            if self._use_adapter is not None:
                self._use_adapter(adapter)
            for sequence, result in self._results(sequences):
                event, reason = result, None
                if isinstance(result, int):
                    reason = self._finish_reason(sequence, result)
                    event = sequence.event(reason)
                if isinstance(event, (TokenEvent, EngineError)):
                    outbox.append((sequence.job, event))
                if reason is not None or isinstance(event, EngineError):
                    over.add(sequence)
        if over:
            self._running = [s for s in self._running if s not in over]
        if outbox:
            self._post(outbox)

    def _results(
        self, sequences: Sequence[_Sequence]
    ) -> list[tuple[_Sequence, int | EngineError | None]]:
        """The next token of each, None where a prompt is not through, or what went wrong."""
        pieces = [sequence.piece() for sequence in sequences]
        try:
            rows = self._runner.forward(pieces)
        except (RuntimeError, ValueError, IndexError) as error:
            if len(sequences) == 1:
                failure = EngineError(f"The model failed on this request: {error}")
                return [(sequences[0], failure)]
            # Whose fault it is shows when each is computed alone.
            return [pair for sequence in sequences for pair in self._results([sequence])]
        return [
            (sequence, _read(sequence, piece, logits))
            for sequence, piece, logits in zip(sequences, pieces, rows, strict=True)
        ]

    def _finish_reason(self, sequence: _Sequence, token: int) -> FinishReason | None:
        sampling = sequence.job.sampling
        if token in sampling.stop_ids:
            return "stop"
        total = len(sequence.job.prompt_ids) + sequence.generated
        if sequence.generated >= sampling.max_tokens or total >= self._max_model_len:
            return "length"
        return None


def _read(
    sequence: _Sequence, piece: Piece[object], logits: torch.Tensor
) -> int | EngineError | None:
    try:
        return sequence.read(piece, logits)
    except EngineError as error:
        return error
    except (RuntimeError, ValueError, IndexError) as error:
        return EngineError(f"The model failed on this request: {error}")


def _within_budget(sequences: Iterable[_Sequence]) -> list[_Sequence]:
    """Who takes part in a step: all that answer, and prompts as far as their tokens allow."""
    budget = _PROMPT_TOKENS
    chosen: list[_Sequence] = []
    for sequence in sequences:
        if not sequence.generated:
            wanted = min(len(sequence.pending), _PROMPT_TOKENS)
            if wanted > budget:
                continue
            budget -= wanted
        chosen.append(sequence)
    return chosen


def _by_adapter(sequences: Iterable[_Sequence]) -> dict[str, list[_Sequence]]:
    """Those who share weights can share a forward pass."""
    groups: dict[str, list[_Sequence]] = {}
    for sequence in sequences:
        groups.setdefault(sequence.job.sampling.adapter, []).append(sequence)
    return groups
