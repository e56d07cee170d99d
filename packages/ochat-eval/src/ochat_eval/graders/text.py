"""Grading of short free-form answers: yes or no, a name, a list of words, brackets, a number.

The label's form decides how an answer is read and compared; the last explicit commitment wins, two
alternatives are a hedge and wrong. Option letters belong to `choice`, other numbers to `number`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ochat_eval.errors import GradingError
from ochat_eval.graders.choice import grade_choice
from ochat_eval.graders.cleaning import clean
from ochat_eval.graders.cues import Cue, find_cues
from ochat_eval.graders.number import grade_number
from ochat_eval.graders.readers import Reader, Reading, read_brackets, read_closed, read_words
from ochat_eval.verdict import Status, Verdict, judged, unanswered

_LETTER = re.compile(r"\(?[A-Z]\)?")
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
_BRACKETS = re.compile(r"[\[\](){}<>\s]+")
# Answers that only make sense against their opposite: mentioning both is a hedge.
_OPPOSITES = (
    ("yes", "no"),
    ("true", "false"),
    ("valid", "invalid"),
    ("plausible", "implausible"),
)
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\b|\\[()\[\]]|\$")


def grade_text(
    response: str,
    label: str | Sequence[str],
    options: Sequence[str] = (),
    *,
    finish_reason: str | None = None,
) -> Verdict:
    """Grade a response whose answer is a short text; with options, or a bracketed letter, a choice.

    Args:
        response: What the model wrote, unchanged.
        label: The right text, or several that all count; upper and lower case are the same.
        options: Texts or letters where the question is a multiple choice.
        finish_reason: The server's; "length" turns unparsed into truncated.

    Returns:
        The verdict; `extracted` is the answer as read, alternatives joined by " or ".

    Raises:
        GradingError: The label is empty. No response makes this raise.
    """
    labels = (label,) if isinstance(label, str) else tuple(label)
    if not labels or not all(each.strip() for each in labels):
        raise GradingError("the label is empty: give the right answer")
    if options or all(_LETTER.fullmatch(each) for each in labels):
        return grade_choice(response, label, options, finish_reason=finish_reason)
    if all(_NUMBER.fullmatch(each) for each in labels):
        return grade_number(response, label, finish_reason=finish_reason)
    cleaned = clean(response)
    if cleaned.unclosed:
        return unanswered(Status.TRUNCATED, "unclosed-reasoning")
    result = _extract(cleaned.text, _reader(labels))
    if isinstance(result, str):
        cut = finish_reason == "length"
        return unanswered(Status.TRUNCATED if cut else Status.UNPARSED, result)
    reading, rule = result
    key = {_comparable(each) for each in labels}
    right = len(reading.answers) == 1 and _comparable(reading.answers[0]) in key
    return judged(
        correct=right,
        extracted=" or ".join(reading.answers),
        rule=rule if len(reading.answers) == 1 else "hedge",
        span=(reading.start, reading.end),
    )


def _reader(labels: Sequence[str]) -> Reader:
    """How an answer of the label's form is read."""
    label = labels[0].strip()
    if _BRACKETS.fullmatch(label):
        return read_brackets
    for pair in _OPPOSITES:
        if label.lower() in pair:
            return read_closed(pair)
    return read_words(len(label.split()))


def _comparable(answer: str) -> str:
    """Case and spacing aside; of brackets, without any space."""
    if _BRACKETS.fullmatch(answer):
        return "".join(answer.split())
    return " ".join(re.findall(r"[^\W_]+(?:['.\-][^\W_]+)*", answer.lower())) or answer.lower()


def _extract(text: str, reader: Reader) -> tuple[Reading, str] | str:
    """What was read and by which rule, or the name of the reason why nothing was."""
    if not text.strip():
        return "empty"
    text = _LATEX.sub(lambda match: " " * len(match[0]), text)
    cues = find_cues(text)
    for cue in reversed(cues):
        if _unfinished(text, cue):
            return "cut-off"
        if reading := reader.announced(text, _after(text, cue)):
            return reading, cue.rule
    if reading := reader.unannounced(text):
        return reading, "bare-answer"
    return "no-answer"


def _unfinished(text: str, cue: Cue) -> bool:
    return not text[cue.end :].strip(" .\n:\"'`")


def _after(text: str, cue: Cue) -> int:
    """Where the answer begins: after the cue, its colon, and the brace of a box."""
    opening = re.compile(r"\s*[:=]?\s*" + (r"\{?\s*" if cue.rule == "boxed" else "")).match(
        text, cue.end
    )
    return opening.end() if opening else cue.end
