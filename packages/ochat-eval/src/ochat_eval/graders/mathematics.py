r"""Grading of mathematical answers: the last box, else what "the answer is" announces.

Finds the expression that a response commits itself to; whether it equals the label is decided in
`equivalence`. Alternatives ("5 or 7") are compared as the list they are, so they are right only
where the label is that list; a box that the response breaks off in is no answer, nor is any before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ochat_eval.errors import GradingError
from ochat_eval.graders.cleaning import clean
from ochat_eval.graders.cues import Cue, find_cues
from ochat_eval.graders.denials import NEGATION
from ochat_eval.graders.equivalence import Equality, Equivalence
from ochat_eval.graders.formulas import boxes, inner_formula, last_box
from ochat_eval.verdict import Status, Verdict, judged, unanswered

_BOLD = re.compile(r"(?<![\w)\]}])\*\*(?=\S)|(?<=\S)\*\*(?![\w(\[{])")
_JOIN = re.compile(
    r"[\s$.,)\]\\]*(?P<word>\bor\b|\band\b|,|/)(?:\s*\b(?:maybe|perhaps|possibly|even|else)\b)*"
    r"[\s$(\[\\]*(?:[a-z]\s*=\s*)?",
    re.IGNORECASE,
)
_JOINED_WORD = re.compile(
    r"\s*(?:,\s*)?(?:\bor\b|\band\b|,)(?:\s*\b(?:maybe|perhaps|possibly)\b)*\s*", re.IGNORECASE
)
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_SENTENCE_END = re.compile(r"[.!?](?=[\s\"'$]|$)|\n|;")
_LEADING = re.compile(
    r"(?:[\s:]|=|\b(?:therefore|thus|simply|just|that|the\s+\w+\s+is|equal\s+to|given\s+by)\b)*",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"(-?\$?[\d.,/]*\d)\s+(?:[a-z]{3,}\s*){1,3}")
_CONCLUDES = re.compile(
    r"\b(?:so|therefore|thus|hence|finally|we\s+get|we\s+have)\b", re.IGNORECASE
)
_REASON = re.compile(r"\s*,?\s*\b(?:not|because|since|as|rather|but)\b", re.IGNORECASE)
_NOT = re.compile(NEGATION, re.IGNORECASE)
_LONGEST = 512  # characters; longer "expressions" are prose, and only cost time


def grade_math(
    response: str,
    label: str | Sequence[str],
    options: Sequence[str] = (),
    *,
    finish_reason: str | None = None,
    equivalence: Equivalence | None = None,
) -> Verdict:
    """Grade a response whose answer is a mathematical expression.

    Args:
        response: What the model wrote, unchanged.
        label: The right expression in LaTeX, or several that all count.
        options: Not used; there so that all graders are called alike.
        finish_reason: The server's; "length" turns unparsed into truncated.
        equivalence: Who decides equality; None takes the shared worker processes.

    Returns:
        The verdict; the rule ends in "-undecided" where equality could not be shown in time.

    Raises:
        GradingError: The label is empty, or math-verify is not installed.
    """
    del options
    labels = (label,) if isinstance(label, str) else tuple(label)
    if not labels or not all(each.strip() for each in labels):
        raise GradingError("the label is empty: give the right expression")
    cleaned = clean(response, markup=False)
    if cleaned.unclosed:
        return unanswered(Status.TRUNCATED, "unclosed-reasoning")
    result = _extract(_BOLD.sub("  ", cleaned.text))
    if isinstance(result, str):
        cut = finish_reason == "length"
        return unanswered(Status.TRUNCATED if cut else Status.UNPARSED, result)
    answer, rule, span = result
    decide = equivalence or Equivalence.shared()
    outcomes = [decide.compare(_label_answer(each), answer) for each in labels]
    undecided = Equality.UNEQUAL not in outcomes and Equality.EQUAL not in outcomes
    return judged(
        correct=Equality.EQUAL in outcomes,
        extracted=answer,
        rule=f"{rule}-undecided" if undecided else rule,
        span=span,
    )


def _label_answer(label: str) -> str:
    """The expression of a label, which may be a whole solution with a box."""
    box = last_box(label)
    return box.content if box and box.closed else label.strip().strip("$")


_Found = tuple[str, str, tuple[int, int]]


def _extract(text: str) -> _Found | str:
    """Expression, rule and span, or the name of the reason why there is none."""
    if not text.strip():
        return "empty"
    found = boxes(text)
    if found:
        if not found[-1].closed:
            return "cut-off"
        return _boxed(text)
    for cue in reversed(find_cues(text)):
        if not text[cue.end :].strip(" .\n:$\\({["):
            return "cut-off"
        if announced := _announced(text, cue):
            return announced
    return _unannounced(text) or "no-expression"


def _boxed(text: str) -> _Found | str:
    """The last box, with the ones that it is joined to by "or", "and" or a comma."""
    found = boxes(text)
    taken = [found[-1]]
    for earlier in reversed(found[:-1]):
        if not _JOIN.fullmatch(text, earlier.end, taken[0].start):
            break
        taken.insert(0, earlier)
    answer = ", ".join(box.content for box in taken).strip()
    if not answer:
        return "empty-box"
    return answer[:_LONGEST], "boxed", (taken[0].start, taken[-1].end)


def _announced(text: str, cue: Cue) -> _Found | None:
    leading = _LEADING.match(text, cue.end)
    begin = leading.end() if leading else cue.end
    formula = _FORMULA.match(text, begin)
    if formula is None:
        end = _SENTENCE_END.search(text, begin)
        stop = end.start() if end else len(text)
        # "the answer is clearly $x$ by symmetry": the formula, not the words around it.
        inside = _FORMULA.search(text, begin, stop)
        if _NOT.match(text, begin):
            return None
        if inside is None:
            reason = _REASON.search(text, begin, stop)
            stop = reason.start() if reason else stop
            answer = _without_unit(text[begin:stop].strip(" \"'"))
            return (answer[:_LONGEST], cue.rule, (begin, stop)) if answer else None
        formula = inside
    contents, end = [inner_formula(formula)], formula.end()
    while (joined := _JOINED_WORD.match(text, end)) and (
        more := _FORMULA.match(text, joined.end())
    ):
        contents.append(inner_formula(more))
        end = more.end()
    return ", ".join(contents)[:_LONGEST], cue.rule, (formula.start(), end)


def _without_unit(words: str) -> str:
    """A number in prose without what it counts: 42 for "42 dollars"."""
    counted = _COUNTED.fullmatch(words)
    return counted[1] if counted else words


def _unannounced(text: str) -> _Found | None:
    """A response that is one expression, or the formula that its last sentence ends in."""
    bare = text.strip()
    start = text.index(bare)
    if "\n" not in bare and len(bare.split()) <= 3:
        formula = _FORMULA.fullmatch(bare.rstrip(". "))
        answer = inner_formula(formula) if formula else bare.rstrip(". ")
        return answer, "bare-expression", (start, start + len(bare))
    formulas = list(_FORMULA.finditer(text))
    if not formulas:
        return None
    last = formulas[-1]
    begin = max(text.rfind("\n", 0, last.start()), text.rfind(". ", 0, last.start())) + 1
    tail = text[last.end() :].strip(" .\n")
    if tail or not _CONCLUDES.search(text, begin, last.start()):
        return None
    content = inner_formula(last)
    return content.rpartition("=")[2].strip(), "conclusion", last.span()
