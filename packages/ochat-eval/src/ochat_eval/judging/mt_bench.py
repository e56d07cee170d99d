"""MT-bench: which calls a judge gets, and the judgements in FastChat's form that its replies give.

Questions, references and answers come from files; the figures are made in `mt_scores`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ochat_eval.errors import JudgeError
from ochat_eval.graders.judgements import grade_pairwise, grade_rating
from ochat_eval.judging.calls import Call
from ochat_eval.judging.fastchat import MtAnswer, MtQuestion
from ochat_eval.judging.journal import Said
from ochat_eval.judging.prompts import Prompt

WITH_REFERENCE = frozenset({"math", "reasoning", "coding", "arena-hard-200"})

Answers = Mapping[int | str, MtAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class MtCall:
    """A call with the question and turn (1 or 2) that it judges; `swapped`: the baseline first."""

    question: MtQuestion
    turn: int
    call: Call
    swapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MtBench:
    """The bench: questions, right answers by question, prompts, how long a verdict may be."""

    questions: Mapping[int | str, MtQuestion]
    references: Answers
    prompts: Mapping[str, Prompt]
    max_tokens: int = 2048

    def single(self, answers: Answers) -> list[MtCall]:
        """A call for every turn of every answer."""
        return [
            MtCall(
                question=question, turn=turn, call=self._call(question, turn, (answer,), "single")
            )
            for question, (answer,) in self._matched(answers)
            for turn in _turns(question, answer)
        ]

    def pairwise(self, answers: Answers, baseline: Answers) -> list[MtCall]:
        """Two calls for every turn of every pair of answers: each stands first once."""
        return [
            MtCall(
                question=question,
                turn=turn,
                swapped=swapped,
                call=self._call(question, turn, pair[::-1] if swapped else pair, "pair"),
            )
            for question, pair in self._matched(answers, baseline)
            for turn in _turns(question, *pair)
            for swapped in (False, True)
        ]

    def _matched(self, *models: Answers) -> list[tuple[MtQuestion, tuple[MtAnswer, ...]]]:
        """Every question that all of the models answered, with their answers."""
        found = [
            (question, tuple(answers[name] for answers in models))
            for name, question in self.questions.items()
            if all(name in answers for answers in models)
        ]
        if not found:
            raise JudgeError("the answers are to none of these questions: look at 'question_id'")
        return found

    def _call(
        self, question: MtQuestion, turn: int, answers: Sequence[MtAnswer], kind: str
    ) -> Call:
        right = self._reference(question, turn)
        name = f"{kind}-math-v1" if right else ("single-v1" if kind == "single" else "pair-v2")
        prompt = self.prompts[name + ("-multi-turn" if turn > 1 else "")]
        fields = {"question": question.turns[0], "answer": answers[0].turns[turn - 1]}
        for index in range(turn):
            fields[f"question_{index + 1}"] = question.turns[index]
            fields[f"answer_{index + 1}"] = answers[0].turns[index]
            for letter, answer in zip("ab", answers, strict=False):
                fields[f"answer_{letter}_{index + 1}"] = answer.turns[index]
        for letter, answer in zip("ab", answers, strict=False):
            fields[f"answer_{letter}"] = answer.turns[turn - 1]
        for index, text in enumerate(right):
            fields[f"ref_answer_{index + 1}"] = text
        return Call(
            name=f"{kind}/{question.id}/turn {turn}",
            body={
                "messages": prompt.messages(fields),
                "temperature": 0,
                "max_tokens": self.max_tokens,
            },
            answers=tuple(answer.turns[turn - 1] for answer in answers),
            prompt_name=prompt.name,
        )

    def _reference(self, question: MtQuestion, turn: int) -> tuple[str, ...]:
        """The right answers up to this turn, where the category has some."""
        if question.category not in WITH_REFERENCE:
            return ()
        known = self.references.get(question.id)
        right = known.turns if known else question.reference
        if len(right) < turn:
            raise JudgeError(
                f"question {question.id} ({question.category}) is judged against a reference "
                f"answer to turn {turn}, and there is none: give --references"
            )
        return right


def single_rows(
    calls: Sequence[MtCall], said: Sequence[Said], judge: str, model: str
) -> list[dict[str, object]]:
    """Judgements as FastChat writes them; a rating that cannot be read is -1."""
    rows: list[dict[str, object]] = []
    for each, reply in zip(calls, said, strict=True):
        verdict = grade_rating(reply.text or "", finish_reason=reply.finish_reason)
        score = verdict.score if isinstance(verdict.score, float) else -1
        rows.append(
            {
                "question_id": each.question.id,
                "model": model,
                "judge": [judge, each.call.prompt_name],
                "user_prompt": each.call.prompt,
                "judgment": reply.text if reply.text is not None else f"$ERROR$ {reply.error}",
                "score": int(score) if float(score).is_integer() else score,
                "turn": each.turn,
                "tstamp": reply.time,
            }
        )
    return rows


def pair_rows(
    calls: Sequence[MtCall], said: Sequence[Said], judge: str, models: tuple[str, str]
) -> list[dict[str, object]]:
    """Judgements of pairs as FastChat writes them: game 1 shows model_1 first, game 2 model_2."""
    rows: list[dict[str, object]] = []
    games = list(zip(calls, said, strict=True))
    for (first, one), (second, two) in zip(games[::2], games[1::2], strict=True):
        rows.append(
            {
                "question_id": first.question.id,
                "model_1": models[0],
                "model_2": models[1],
                "g1_winner": _winner(one, {"A": "model_1", "B": "model_2", "tie": "tie"}),
                "g2_winner": _winner(two, {"A": "model_2", "B": "model_1", "tie": "tie"}),
                "judge": [judge, first.call.prompt_name],
                "g1_user_prompt": first.call.prompt,
                "g1_judgment": one.text if one.text is not None else f"$ERROR$ {one.error}",
                "g2_user_prompt": second.call.prompt,
                "g2_judgment": two.text if two.text is not None else f"$ERROR$ {two.error}",
                "turn": first.turn,
                "tstamp": two.time,
            }
        )
    return rows


def _winner(said: Said, names: Mapping[str, str]) -> str:
    verdict = grade_pairwise(said.text or "", finish_reason=said.finish_reason)
    return names.get(str(verdict.score), "error")


def _turns(question: MtQuestion, *answers: MtAnswer) -> range:
    return range(1, 1 + min(2, len(question.turns), *(len(answer.turns) for answer in answers)))
