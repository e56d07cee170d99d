"""A run of ours as lm-eval's sample and result files, for tools that read those.

The score of a row is our verdict's; questions that got no answer have no row, as lm-eval knows no
such state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from ochat_eval.errors import EvalError
from ochat_eval.question import Question
from ochat_eval.store import Response, RunFolder, read_lines, write_bytes
from ochat_eval.verdict import Status

# lm-eval puts a time here; a run's export is the same at any time.
_TIME = "1970-01-01T00-00-00.000000"


def export_run(run: Path, output: Path) -> list[Path]:
    """Write the samples of a run, one file a group, and a result file.

    Gated questions are left out: their owners ask not to spread them.

    Returns:
        The files written.

    Raises:
        EvalError: The run has no verdicts, or the folder cannot be written.
    """
    folder = RunFolder.open(run)
    verdicts = {row["key"]: row for row in read_lines(run / "verdicts.jsonl")}
    responses = folder.responses()
    groups: dict[str, list[dict[str, Any]]] = {}
    for number, question in enumerate(folder.questions()):
        verdict = verdicts.get(question.key)
        if verdict and verdict["status"] != Status.ERROR and not question.gated:
            row = _row(number, question, responses[question.key], verdict)
            groups.setdefault(question.group, []).append(row)
    files: list[Path] = []
    results: dict[str, object] = {}
    try:
        output.mkdir(parents=True, exist_ok=True)
        for group, rows in groups.items():
            name = "".join(c if c.isalnum() or c in "-_." else "_" for c in group)
            files.append(output / f"samples_{name}_{_TIME}.jsonl")
            write_bytes(files[-1], b"".join(orjson.dumps(row) + b"\n" for row in rows))
            mean = sum(row["exact_match"] for row in rows) / len(rows)
            results[name] = {"alias": name, "exact_match,ochat": mean, "sample_len": len(rows)}
        files.append(output / f"results_{_TIME}.json")
        told = {"results": results, "config": folder.manifest.get("config"), "n-samples": {
            name: {"effective": len(rows)} for name, rows in groups.items()}}  # fmt: skip
        write_bytes(files[-1], orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise EvalError(f"cannot write to {output}: {error.strerror}; check its rights") from error
    return files


def _row(
    number: int, question: Question, response: Response, verdict: Mapping[str, Any]
) -> dict[str, Any]:
    messages = orjson.dumps([{"role": "user", "content": question.prompt}]).decode()
    document = {"question": question.prompt, "choices": list(question.options),
                "family": question.family}  # fmt: skip
    text = response.text or ""
    return {
        "doc_id": number,
        "doc": document,
        "target": question.labels[0],
        "arguments": {"gen_args_0": {"arg_0": messages, "arg_1": {}}},
        "resps": [[text]],
        "filtered_resps": [verdict["extracted"] or "[invalid]"],
        "filter": "ochat",
        "metrics": ["exact_match"],
        "doc_hash": _digest(orjson.dumps(document)),
        "prompt_hash": _digest(messages.encode()),
        "target_hash": _digest(question.labels[0].encode()),
        "exact_match": float(verdict["status"] == Status.CORRECT),
        "ochat": {name: verdict[name] for name in ("status", "rule", "span")},
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
