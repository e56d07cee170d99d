"""Every argument of vLLM's engine reaches it, whatever our own command line has."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ochat_serve import EngineOptions, create_engine
from ochat_serve.options import build_parser

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="needs vLLM"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(vllm|torch|swigvarlink|importlib).*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:(vllm|torch).*"),
    pytest.mark.filterwarnings("ignore::UserWarning:(vllm|torch).*"),
]


def passed(folder: Path, *words: str) -> Any:  # vLLM's AsyncEngineArgs
    engine = create_engine("vllm", folder, EngineOptions(max_model_len=256, vllm_arguments=words))
    return vars(engine)["_arguments"]


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (("--tensor-parallel-size", "2"), "tensor_parallel_size", 2),
        (("-tp", "4"), "tensor_parallel_size", 4),
        (("--data-parallel-size", "2"), "data_parallel_size", 2),
        (("--pipeline-parallel-size", "2"), "pipeline_parallel_size", 2),
        (("--distributed-executor-backend", "ray"), "distributed_executor_backend", "ray"),
        (("--max-num-batched-tokens", "5120"), "max_num_batched_tokens", 5120),
        (("--gpu-memory-utilization", "0.7"), "gpu_memory_utilization", 0.7),
        (("--quantization", "fp8"), "quantization", "fp8"),
        (("--no-enable-prefix-caching",), "enable_prefix_caching", False),
        (("--kv-cache-dtype", "fp8"), "kv_cache_dtype", "fp8"),
    ],
)
def test_what_is_said_of_the_engine_is_what_vllm_is_told(
    model_folder: Path, words: tuple[str, ...], field: str, value: object
) -> None:
    assert getattr(passed(model_folder, *words), field) == value


def vllm_options() -> list[argparse.Action]:
    # pyrefly: ignore[missing-import]
    from vllm.engine.arg_utils import AsyncEngineArgs

    parser = argparse.ArgumentParser(add_help=False)
    AsyncEngineArgs.add_cli_args(parser)
    return [action for action in parser._actions if action.option_strings]


def sample(action: argparse.Action) -> list[str]:
    """A value that the option takes; nothing for a switch."""
    if action.nargs == 0:
        return []
    if action.choices:
        return [str(next(iter(action.choices)))]
    return ["7"]


def test_no_option_of_vllms_engine_is_lost_on_the_way() -> None:
    """What our parser does not know it passes on whole, and it knows none of vLLM's by halves."""
    ours = {name for action in build_parser()._actions for name in action.option_strings}
    options = vllm_options()
    assert len(options) > 150
    both: set[str] = set()
    for action in options:
        for name in action.option_strings:
            if name in ours:
                both.add(name)
                continue
            words = [name, *sample(action)]
            chosen, further = build_parser().parse_known_args(["folder", *words])
            assert further == words, name
            assert chosen.model == "folder"
    # What both have is said to both: see `VllmEngine`.
    assert both == {"--max-model-len", "--dtype", "--shutdown-timeout"}
