"""Asks a model for what a judge will read: answers of two turns, or outputs to instructions.

The files have FastChat's and alpaca_eval's forms. A file that is partly there is continued.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from ochat_eval.backends.client import ChatClient
from ochat_eval.config import RunConfig
from ochat_eval.errors import JudgeError
from ochat_eval.judging.fastchat import MtQuestion, read_mt_answers, write_fastchat
from ochat_eval.preferences.annotations import read_rows, write_rows

# MT-bench's temperatures: more where variety is wanted.
_TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}


async def _converse(
    client: ChatClient, config: RunConfig, turns: Sequence[str], temperature: float
) -> list[str]:
    """The answers to the turns of one conversation, one after another."""
    messages = [{"role": "system", "content": config.system}] if config.system else []
    answers: list[str] = []
    for turn in turns:
        messages.append({"role": "user", "content": turn})
        body: dict[str, object] = {
            "model": config.model,
            "messages": messages,
            "temperature": temperature,
        }
        body |= {"condition": config.condition} if config.condition else {}
        body |= {"max_tokens": config.max_tokens} if config.max_tokens else {}
        reply = await client.ask(orjson.dumps(body), on_throttle=lambda: None)
        if reply.text is None:
            raise JudgeError(f"no answer to {turn[:60]!r}: {reply.error}; the same command resumes")
        answers.append(reply.text)
        messages.append({"role": "assistant", "content": reply.text})
    return answers


async def _all(
    config: RunConfig, conversations: Mapping[str, tuple[Sequence[str], float]]
) -> dict[str, list[str]]:
    """Every conversation's answers; those of one that failed are missing, with the first error."""
    found: dict[str, list[str]] = {}
    places = asyncio.Semaphore(config.concurrency)

    async def one(client: ChatClient, name: str) -> JudgeError | None:
        async with places:
            turns, temperature = conversations[name]
            try:
                found[name] = await _converse(client, config, turns, temperature)
            except JudgeError as error:
                return error
        return None

    async with ChatClient(config) as client:
        await client.check_model()
        errors = await asyncio.gather(*(one(client, name) for name in conversations))
    if not found and any(errors):
        raise next(error for error in errors if error)
    return found


def answer_mt_bench(
    config: RunConfig, questions: Mapping[int | str, MtQuestion], output: Path, name: str
) -> int:
    """Ask every question that the file has no answer to; gives how many are still missing."""
    rows: dict[int | str, dict[str, object]] = {}
    if output.exists():
        rows = {key: dict(each.row) for key, each in read_mt_answers(output).items()}
    missing = {str(key): question for key, question in questions.items() if key not in rows}
    conversations = {
        key: (question.turns, config.temperature or _TEMPERATURES.get(question.category, 0.0))
        for key, question in missing.items()
    }
    found = asyncio.run(_all(config, conversations)) if missing else {}
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
    return len(questions) - sum(key in rows for key in questions)


def answer_instructions(
    config: RunConfig, instructions: Sequence[Mapping[str, object]], output: Path, name: str
) -> int:
    """Ask every instruction that the file has no output to; gives how many are still missing."""
    known = {row.get("instruction"): row for row in (read_rows(output) if output.exists() else [])}
    wanted = [str(row["instruction"]) for row in instructions]
    missing = {text: ((text,), config.temperature) for text in wanted if text not in known}
    found = asyncio.run(_all(config, missing)) if missing else {}
    rows: list[Mapping[str, object]] = []
    for row in instructions:
        text = str(row["instruction"])
        if text in known:
            rows.append(known[text])
        elif text in found:
            kept = {"instruction": text, "dataset": row.get("dataset", "")}
            rows.append(kept | {"output": found[text][0], "generator": name})
    write_rows(output, rows)
    return len(wanted) - len(rows)
