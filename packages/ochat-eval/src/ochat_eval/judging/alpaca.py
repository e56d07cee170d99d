"""AlpacaEval: calls for pairs of outputs in both orders, and annotations from the replies.

Where the judge gives log probabilities of its first token, a preference is the weight that the
model's letter has among both; else it is the letter. The figures are made in `preferences`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ochat_eval.errors import JudgeError
from ochat_eval.graders.judgements import grade_pairwise
from ochat_eval.judging.calls import Call
from ochat_eval.judging.journal import Said
from ochat_eval.judging.prompts import Prompt

_LETTER = re.compile(r"\s*(?:answer\s*)?[*(\"']*([AB])\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPair:
    """The baseline's and the model's output of one instruction; the rows are what the files had."""

    instruction: str
    baseline: Mapping[str, Any]
    model: Mapping[str, Any]


def output_pairs(
    baseline: Sequence[Mapping[str, Any]], model: Sequence[Mapping[str, Any]], path: Path
) -> list[OutputPair]:
    """Outputs of the same instruction, in the order of the model's.

    Raises:
        JudgeError: A row lacks a field, or the two share no instruction.
    """
    known: dict[str, Mapping[str, Any]] = {}
    for row in baseline:
        if isinstance(row.get("instruction"), str) and isinstance(row.get("output"), str):
            known[row["instruction"]] = row
    pairs: list[OutputPair] = []
    for number, row in enumerate(model, start=1):
        instruction, output = row.get("instruction"), row.get("output")
        if not isinstance(instruction, str) or not isinstance(output, str):
            raise JudgeError(f"{path}, row {number}: expected 'instruction' and 'output' as texts")
        if instruction in known:
            pairs.append(
                OutputPair(instruction=instruction, baseline=known[instruction], model=row)
            )
    if not pairs:
        raise JudgeError(f"{path} shares no instruction with the baseline's outputs")
    return pairs


def pair_calls(
    pairs: Sequence[OutputPair],
    prompt: Prompt,
    *,
    both_orders: bool,
    logprobs: bool,
    max_tokens: int,
) -> list[Call]:
    """The calls, pair by pair; of each the one with the model's output first comes first."""
    calls: list[Call] = []
    for pair in pairs:
        for model_first in (True, False) if both_orders else (False,):
            outputs = [str(pair.model["output"]), str(pair.baseline["output"])]
            shown = outputs if model_first else outputs[::-1]
            fields = {
                "question": pair.instruction,
                "instruction": pair.instruction,
                "answer_a": shown[0],
                "answer_b": shown[1],
            }
            body: dict[str, object] = {
                "messages": prompt.messages(fields),
                "temperature": 0,
                "max_tokens": max_tokens,
            }
            asked = {"logprobs": True, "top_logprobs": 5} if logprobs else {}
            calls.append(
                Call(
                    name=f"pair/{pair.instruction[:40]}",
                    body=body | asked,
                    answers=tuple(shown),
                    prompt_name=prompt.name,
                )
            )
    return calls


def annotation_rows(
    pairs: Sequence[OutputPair], said: Sequence[Said], judge: str, *, both_orders: bool
) -> list[dict[str, object]]:
    """Rows as alpaca_eval writes them, with the order beside; an unread preference is null."""
    orders = (True, False) if both_orders else (False,)
    judged = [(pair, first) for pair in pairs for first in orders]
    rows: list[dict[str, object]] = []
    for (pair, model_first), reply in zip(judged, said, strict=True):
        first = first_wins(reply)
        share = None if first is None else (first if model_first else 1.0 - first)
        rows.append(
            {
                "instruction": pair.instruction,
                "output_1": pair.baseline["output"],
                "generator_1": pair.baseline.get("generator", "baseline"),
                "dataset": pair.model.get("dataset", pair.baseline.get("dataset")),
                "output_2": pair.model["output"],
                "generator_2": pair.model.get("generator", "model"),
                "annotator": judge,
                "preference": None if share is None else 1.0 + share,
                "model_first": model_first,
                "raw_completion": reply.text,
            }
        )
    return rows


def first_wins(said: Said) -> float | None:
    """How far the answer shown first is preferred, 0 to 1; None where the reply does not say."""
    weighed = _weighed(said.first_token or {})
    if weighed is not None:
        return weighed
    verdict = grade_pairwise(said.text or "", finish_reason=said.finish_reason)
    if verdict.score is not None:
        return {"A": 1.0, "B": 0.0}.get(str(verdict.score), 0.5)
    match = _LETTER.match(said.text or "")
    return None if match is None else float(match[1].upper() == "A")


def _weighed(first_token: Mapping[str, float]) -> float | None:
    """The weight of A among A and B, where the likeliest token is one of them."""
    letters = {"A": 0.0, "B": 0.0}
    for token, logprob in first_token.items():
        if token.strip() in letters:
            letters[token.strip()] += math.exp(logprob)
    total = letters["A"] + letters["B"]
    # Else the judge began a sentence, and its letters there are noise.
    return letters["A"] / total if total > 0.5 else None
