"""The embedded engine: a Hugging Face causal language model in this process.

The default where vLLM is not installed; loads the model and bridges between the event loop and
the thread of `decode`, which does the work.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from ochat_serve.engine import grammar
from ochat_serve.engine.base import ALL_CAPABILITIES, TokenEvent
from ochat_serve.engine.decode import DecodeLoop, Job
from ochat_serve.engine.grammar import Constraints
from ochat_serve.errors import EngineDeadError, EngineError, SetupError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from ochat_serve.engine.adapters import Adapter
    from ochat_serve.engine.base import SamplingParams
    from ochat_serve.engine.decode import Outbox
    from ochat_serve.engine.vocabulary import Vocabulary

_DTYPES = {
    "auto": "auto",
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class TransformersEngine:
    """Streams tokens of a model loaded with Transformers."""

    name = "transformers"

    def __init__(
        self,
        folder: Path,
        *,
        max_model_len: int,
        dtype: str = "auto",
        device: str = "auto",
        max_num_seqs: int = 64,
        threads: int | None = None,
        adapters: Sequence[Adapter] = (),
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """Choose what `start` will load.

        Args:
            folder: A Hugging Face model folder.
            max_model_len: Most tokens of prompt and answer together.
            dtype: `auto` (as saved), `float32`, `bfloat16` or `float16`.
            device: `auto` (a GPU if there is one), or a torch device such as `cuda:1`.
            max_num_seqs: Requests computed together; further ones wait.
            threads: CPU threads of one operation; None leaves one core to the server.
            adapters: Served beside the model, chosen by `SamplingParams.adapter`.
            vocabulary: Needed to hold answers to a JSON schema.
        """
        able = vocabulary is not None and grammar.available()
        self._constraints = Constraints(vocabulary) if vocabulary is not None else None
        self.capabilities = ALL_CAPABILITIES if able else ALL_CAPABILITIES - {"json_schema"}
        self._folder = folder
        self._adapters = tuple(adapters)
        self._dtype = dtype
        self._device = device
        self._max_num_seqs = max_num_seqs
        self._threads = threads or max(1, len(os.sched_getaffinity(0)) - 1)
        self._loop: DecodeLoop | None = None
        self.max_model_len = max_model_len

    async def start(self) -> None:
        """Load the model and start the decode thread; see `Engine.start`."""
        model = await asyncio.to_thread(self._load)
        switch = None
        if self._adapters:
            from ochat_serve.engine.peft import load_adapters

            switch = await asyncio.to_thread(load_adapters, model, self._adapters)
        event_loop = asyncio.get_running_loop()

        def post(outbox: Outbox) -> None:
            event_loop.call_soon_threadsafe(_hand_out, outbox)

        self._loop = await asyncio.to_thread(
            DecodeLoop,
            model,
            post,
            use_adapter=switch,
            max_model_len=self.max_model_len,
            max_num_seqs=self._max_num_seqs,
            threads=self._threads,
        )

    async def stop(self) -> None:
        """End the decode thread and free the model; see `Engine.stop`."""
        loop, self._loop = self._loop, None
        if loop is not None:
            await asyncio.to_thread(loop.stop)

    def check_health(self) -> None:
        """Raise `EngineDeadError` unless the decode thread lives."""
        self._living_loop().check_health()

    @property
    def unfinished(self) -> int:
        """Requests inside the engine, waiting or running."""
        return 0 if self._loop is None else self._loop.unfinished

    async def generate(
        self,
        prompt_ids: Sequence[int],
        sampling: SamplingParams,
        request_id: str,  # noqa: ARG002 (the protocol's; a closure tells the jobs apart here)
    ) -> AsyncGenerator[TokenEvent]:
        """Answer one prompt; see `Engine.generate`."""
        queue: asyncio.Queue[TokenEvent | EngineError] = asyncio.Queue()
        constraint = None
        if sampling.json_schema is not None and self._constraints is not None:
            constraint = await asyncio.to_thread(self._constraints.begin, sampling.json_schema)
        job = Job(prompt_ids, sampling, queue.put_nowait, constraint)
        self._living_loop().submit(job)
        try:
            while True:
                event = await queue.get()
                if isinstance(event, EngineError):
                    raise event
                yield event
                if event.finish_reason is not None:
                    return
        finally:
            job.cancelled = True

    def _living_loop(self) -> DecodeLoop:
        if self._loop is None:
            raise EngineDeadError("The Transformers engine is not running.")
        return self._loop

    def _load(self) -> PreTrainedModel:
        """Read the weights, refusing a folder that lacks some of them."""
        transformers_logging.disable_progress_bar()
        transformers_logging.set_verbosity_error()
        try:
            model, report = AutoModelForCausalLM.from_pretrained(
                self._folder, dtype=_DTYPES[self._dtype], output_loading_info=True
            )
        except Exception as error:  # each format and each library underneath has errors of its own
            reason = " ".join(str(error).split())
            raise SetupError(
                f"The model in {self._folder} cannot be loaded ({reason}); "
                "check that config.json and the weights come from the same export."
            ) from error
        missing = sorted(report["missing_keys"])
        if missing:
            raise SetupError(
                f"The weights in {self._folder} lack {len(missing)} tensors that config.json asks "
                f"for (the first is {missing[0]}); export or download the model again."
            )
        self._move(model)
        return model.eval()

    def _move(self, model: torch.nn.Module) -> None:
        device = self._pick_device()
        try:
            model.to(torch.device(device))
        except (RuntimeError, AssertionError) as error:
            reason = " ".join(str(error).split())
            raise SetupError(
                f"The model cannot be put on the device {device!r} ({reason}); "
                "choose another with --device, such as cpu."
            ) from error

    def _pick_device(self) -> str:
        if self._device != "auto":
            return self._device
        return "cuda" if torch.cuda.is_available() else "cpu"


def _hand_out(outbox: Outbox) -> None:
    """Give the events of a step to those who wait for them; runs in the event loop."""
    for job, event in outbox:
        job.deliver(event)
