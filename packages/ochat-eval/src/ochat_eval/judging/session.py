"""A judged bench in a folder: asks, keeps every reply, and leaves judgements and a summary.

judge.json        which judge, which bench, which model; a folder takes one of each
replies.jsonl     what the judge said, as it came
judgements        annotations.json (alpaca_eval's form) or model_judgment*.jsonl (FastChat's)
summary.json      the figures
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ochat_eval.errors import JudgeError
from ochat_eval.judging.alpaca import OutputPair, annotation_rows, pair_calls
from ochat_eval.judging.asking import SCRIPTED, Judge, ask_judge
from ochat_eval.judging.calls import Call, Estimate, estimate
from ochat_eval.judging.fastchat import MtAnswer, write_fastchat
from ochat_eval.judging.journal import Journal, Said
from ochat_eval.judging.mt_bench import MtBench, pair_rows, single_rows
from ochat_eval.judging.mt_scores import length_bias, pair_scores, single_scores
from ochat_eval.judging.prompts import Prompt
from ochat_eval.preferences.annotations import preferences_of, write_rows
from ochat_eval.preferences.winrate import win_rate
from ochat_eval.store import read_json, write_json

Answers = Mapping[int | str, MtAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Where and by whom is judged.

    Attributes:
        judge: Answers the calls.
        output: The folder.
        journal: The replies, which may be a cache of several folders.
        concurrency: Calls in flight at most.
        progress: Where to tell how far it is.
    """

    judge: Judge
    output: Path
    journal: Journal
    concurrency: int = 16
    progress: TextIO | None = None

    def begin(self, bench: str, model: str, baseline: str | None) -> dict[str, object]:
        """Make the folder, or take up the one that is there.

        Raises:
            JudgeError: It holds another judge's, bench's or model's judgements.
        """
        about: dict[str, object] = {
            "schema_version": 1,
            "kind": "judge",
            "bench": bench,
            "judge": self.judge.name,
            "scripted": self.judge.name == SCRIPTED,
            "model": model,
            "baseline": baseline,
        }
        file = self.output / "judge.json"
        if file.exists():
            before = read_json(file, "give another --output")
            for name, value in about.items():
                if before.get(name) != value:
                    raise JudgeError(
                        f"{self.output} holds judgements with {name} {before.get(name)!r}, these "
                        f"have {value!r}: give another --output"
                    )
        else:
            try:
                self.output.mkdir(parents=True, exist_ok=True)
                write_json(file, about)
            except OSError as error:
                raise JudgeError(f"cannot write to {self.output}: {error.strerror}") from error
        return about

    def estimate(self, calls: Sequence[Call]) -> Estimate:
        """What is still to be asked, and what it costs."""
        keys = {call.key(self.judge.name): call for call in calls}
        missing = [call for key, call in keys.items() if self.journal.get(key) is None]
        return estimate(missing, len(keys) - len(missing))

    def ask(self, calls: Sequence[Call]) -> list[Said]:
        """Ask what is missing; every reply in order."""
        return ask_judge(
            self.judge,
            calls,
            self.journal,
            concurrency=self.concurrency,
            progress=self.progress,
        )


def judge_mt_bench(
    session: Session, bench: MtBench, answers: Answers, baseline: Answers | None, *, single: bool
) -> dict[str, object]:
    """Judge single answers, pairs, or both; gives the summary that is written."""
    model, other = _name(answers), _name(baseline) if baseline else None
    summary = session.begin("mt-bench", model, other)
    categories = {key: question.category for key, question in bench.questions.items()}
    judge = session.judge.name
    if single:
        calls = bench.single(answers)
        rows = single_rows(calls, session.ask([c.call for c in calls]), judge, model)
        write_fastchat(session.output / "model_judgment.jsonl", rows)
        lengths = [len(call.call.answers[0]) for call in calls]
        scores = [float(str(row["score"])) for row in rows]
        read = [(length, s) for length, s in zip(lengths, scores, strict=True) if s >= 0]
        bias = {"length_rank_correlation": length_bias(read)}
        summary["single"] = single_scores(rows, categories) | {"judge_bias": bias}
    if baseline and other:
        calls = bench.pairwise(answers, baseline)
        rows = pair_rows(calls, session.ask([c.call for c in calls]), judge, (model, other))
        write_fastchat(session.output / "model_judgment_pair.jsonl", rows)
        summary["pairwise"] = pair_scores(rows, model, categories)
    write_json(session.output / "summary.json", summary)
    return summary


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """How outputs are shown: prompt, both orders, whether to ask for log probabilities."""

    prompt: Prompt
    both_orders: bool = True
    logprobs: bool = True
    max_tokens: int = 16

    def calls(self, pairs: Sequence[OutputPair]) -> list[Call]:
        """The calls for these pairs."""
        return pair_calls(
            pairs,
            self.prompt,
            both_orders=self.both_orders,
            logprobs=self.logprobs,
            max_tokens=self.max_tokens,
        )


def judge_outputs(
    session: Session, pairs: Sequence[OutputPair], options: PairOptions
) -> dict[str, object]:
    """Judge pairs of outputs; gives the summary that is written."""
    model = str(pairs[0].model.get("generator", "model"))
    summary = session.begin("alpaca_eval", model, str(pairs[0].baseline.get("generator")))
    said = session.ask(options.calls(pairs))
    rows = annotation_rows(pairs, said, session.judge.name, both_orders=options.both_orders)
    file = session.output / "annotations.json"
    write_rows(file, rows)
    unread = sum(row["preference"] is None for row in rows)
    found = win_rate(preferences_of(rows, file))
    summary |= {"unparsed": unread, **found.to_json()}
    write_json(session.output / "summary.json", summary)
    return summary


def _name(answers: Answers) -> str:
    return next(iter(answers.values())).model
