"""Asks a model for what a judge will read: answers of two turns, or outputs to instructions.

The files have FastChat's and alpaca_eval's forms. A file that is partly there is continued.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from ochat_eval.config import RunConfig
from ochat_eval.judging.conversing import Conversation, Partial, converse_all
from ochat_eval.judging.fastchat import MtQuestion, read_mt_answers, write_fastchat
from ochat_eval.preferences.annotations import read_rows, write_rows

# MT-bench's temperatures: more where variety is wanted.
_TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}


def answer_mt_bench(
    config: RunConfig,
    questions: Mapping[int | str, MtQuestion],
    output: Path,
    name: str,
    progress: TextIO | None = None,
) -> int:
    """Ask every question that the file has no answer to; gives how many are still missing."""
    rows: dict[int | str, dict[str, object]] = {}
    if output.exists():
        rows = {key: dict(each.row) for key, each in read_mt_answers(output).items()}
    missing = {str(key): question for key, question in questions.items() if key not in rows}
    conversations = {
        key: Conversation(
            turns=question.turns,
            temperature=config.temperature or _TEMPERATURES.get(question.category, 0.0),
        )
        for key, question in missing.items()
    }
    partial = Partial(output, config)
    found = converse_all(config, conversations, partial, progress)
    for key, question in missing.items():
        if key in found:
            digest = hashlib.sha256(f"{name}\0{key}".encode()).hexdigest()
            rows[question.id] = {
                "question_id": question.id,
                "answer_id": digest[:22],
                "model_id": name,
                "choices": [{"index": 0, "turns": found[key]}],
                "tstamp": 0.0,
            }
    write_fastchat(output, [rows[key] for key in questions if key in rows])
    partial.forget()
    return len(questions) - sum(key in rows for key in questions)


def answer_instructions(
    config: RunConfig,
    instructions: Sequence[Mapping[str, object]],
    output: Path,
    name: str,
    progress: TextIO | None = None,
) -> int:
    """Ask every instruction that the file has no output to; gives how many are still missing."""
    known = {row.get("instruction"): row for row in (read_rows(output) if output.exists() else [])}
    wanted = [str(row["instruction"]) for row in instructions]
    missing = {
        text: Conversation(turns=(text,), temperature=config.temperature)
        for text in wanted
        if text not in known
    }
    partial = Partial(output, config)
    found = converse_all(config, missing, partial, progress)
    rows: list[Mapping[str, object]] = []
    for row in instructions:
        text = str(row["instruction"])
        if text in known:
            rows.append(known[text])
        elif text in found:
            kept = {"instruction": text, "dataset": row.get("dataset", "")}
            rows.append(kept | {"output": found[text][0], "generator": name})
    write_rows(output, rows)
    partial.forget()
    return len(wanted) - len(rows)
