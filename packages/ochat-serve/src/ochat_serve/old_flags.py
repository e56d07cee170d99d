"""Options of the server that OpenChat published in 2023, and of its vLLM, in today's words.

Options that still exist under their name are not here: they are those of `ochat_serve.options`, or
go to vLLM as they are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_GATEWAY = "what the API needs is allowed to every origin of --allowed-origins"
_FOLDER = "the tokenizer is that of the model folder"
# The option, how many values it has, and what to know instead.
_GONE: dict[str, tuple[int, str]] = {
    "--engine-use-ray": (0, "the engine always runs in a process of its own; nothing to do"),
    "--worker-use-ray": (0, "for workers on Ray use: --distributed-executor-backend ray (vLLM)"),
    "--disable-log-requests": (0, "requests are logged only when --log-file is given"),
    "--disable-log-stats": (0, "engine statistics are logged only with --engine-stats"),
    "--max-log-len": (1, "texts are logged only with --log-content, and then whole"),
    "--log-max-mb": (1, "the log is kept in ten files of 128 MB, which was the default"),
    "--log-max-count": (1, "the log is kept in ten files of 128 MB, which was the default"),
    "--enable-sys-prompt": (0, "system texts are used wherever the template has a place for them"),
    "--allow-credentials": (0, "browsers send no cookies to it; keys go into a header"),
    "--allowed-methods": (1, _GATEWAY),
    "--allowed-headers": (1, _GATEWAY),
    "--tokenizer": (1, _FOLDER),
    "--tokenizer-mode": (1, _FOLDER),
    "--swap-space": (1, "vLLM swaps no more; it computes again what was put out"),
    "--use-np-weights": (0, "vLLM reads safetensors at that speed"),
    "--use-dummy-weights": (0, "use: --load-format dummy (vLLM)"),
    "--max-context-len-to-capture": (1, "vLLM decides by itself"),
    "--max-paddings": (1, "vLLM pads no more"),
}
_ORIGINS = "--allowed-origins"


def in_todays_words(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command line without what is gone, and a notice for each such option.

    `--model FOLDER` becomes the leading MODEL; a JSON list of origins becomes words.
    """
    words: list[str] = []
    notices: list[str] = []
    model: list[str] = []
    left = list(argv)
    while left:
        word = left.pop(0)
        flag, has_value, value = word.partition("=")
        if flag in _GONE:
            count, instead = _GONE[flag]
            if not has_value:
                del left[:count]
            notices.append(f"{flag}: {instead}.")
        elif flag == "--model" and (has_value or left):
            model = [value if has_value else left.pop(0)]
        elif flag == _ORIGINS and (origins := _json_list(value if has_value else left[:1])):
            if not has_value:
                left.pop(0)
            words += [_ORIGINS, *origins]
            notices.append(f"{_ORIGINS}: takes words today: {_ORIGINS} {' '.join(origins)}")
        else:
            words.append(word)
    return [*model, *words], notices


def _json_list(given: str | Sequence[str]) -> list[str]:
    """The texts of a JSON list; none where it is something else."""
    text = given if isinstance(given, str) else "".join(given)
    try:
        values = json.loads(text)
    except ValueError:
        return []
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
