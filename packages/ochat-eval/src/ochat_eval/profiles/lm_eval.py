"""The rules of lm-evaluation-harness 0.4.13 for the tasks whose prompts are the suite's.

gsm8k_cot (strict and flexible), mmlu_flan_cot, bbh (cot_fewshot), gpqa_cot and hendrycks_math;
described by their filters and written anew. AGIEval and TruthfulQA are graded there by
log-probabilities of the options, which no chat response has, so they have no rule here.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from ochat_eval.graders.families import Reference
from ochat_eval.graders.formulas import last_box
from ochat_eval.profiles.hendrycks import string_form
from ochat_eval.profiles.rule import Match

_AFTER_THE_ANSWER = re.compile(r"(?<=The answer is )(.*)(?=.)")
_AFTER_ANSWER = re.compile(r"(?<=answer is )(.*)(?=.)")
_AFTER_THE_ANSWER_BBH = re.compile(r"(?<=the answer is )(.*)(?=.)")
_STRICT_NUMBER = re.compile(r"The answer is (-?[0-9.,]+).")
_ANY_NUMBER = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_BRACKETED = re.compile(r"(\([A-Z]\))")
_IGNORED = (re.compile(","), re.compile(r"\$"), re.compile(r"(?s).*#### "), re.compile(r"\.$"))
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_STOPS_BBH = ("</s>", "Q", "\n\n")
_STOPS_GSM8K = ("Q:", "</s>", "<|im_end|>")
_STOPS_GSM8K_FLEXIBLE = ("Question:", "</s>", "<|im_end|>")
_NONE = "[invalid]"


def gsm8k_cot(response: str, reference: Reference) -> Match:
    """The first number after "The answer is "."""
    found = _STRICT_NUMBER.search(_until(response, _STOPS_GSM8K))
    return _number(found[1] if found else _NONE, reference, "strict-match")


def gsm8k_flexible(response: str, reference: Reference) -> Match:
    """The last run of digits, dollars, points and commas."""
    found = _ANY_NUMBER.findall(_until(response, _STOPS_GSM8K_FLEXIBLE))
    number = next((group for group in found[-1] if group), _NONE) if found else _NONE
    return _number(number.strip(), reference, "flexible-extract")


def mmlu(response: str, reference: Reference) -> Match:
    """What follows the first "answer is ", but its last character."""
    return _bracketless(_AFTER_ANSWER, response, reference)


def gpqa(response: str, reference: Reference) -> Match:
    """What follows the first "The answer is ", but its last character."""
    return _bracketless(_AFTER_THE_ANSWER, response, reference)


def bbh(response: str, reference: Reference) -> Match:
    """What follows the first "the answer is ", but its last character; compared as it stands."""
    found = _AFTER_THE_ANSWER_BBH.search(_until(response, _STOPS_BBH))
    answer = found[1].strip() if found else _NONE
    return _match(answer, answer in reference.labels, "get-answer")


def flexible_choice(response: str, reference: Reference) -> Match:
    """The last bracketed capital, else the last option's text, else a capital after a colon."""
    found = _BRACKETED.findall(response)
    answer = found[-1] if found else _by_text(response, reference.options)
    right = _folded(answer) in map(_folded, reference.labels)
    return _match(answer, right, "flexible-extract")


def hendrycks_math(response: str, reference: Reference) -> Match:
    """What stands between the first and the last dollar, else everything, by its string form."""
    first, last = response.find("$"), response.rfind("$")
    answer = response[first + 1 : last] if first != last else response
    labels = [box.content if (box := last_box(each)) else each for each in reference.labels]
    right = string_form(answer) in map(string_form, labels)
    return _match(answer, right, "hendrycks-math")


def _by_text(response: str, options: Sequence[str]) -> str:
    folded = [_folded(option) for option in options]
    if texts := "|".join(sorted(map(re.escape, folded), key=len, reverse=True)):
        found = [each for each in re.findall(texts, _folded(response)) if each]
        if found:
            return f"({string.ascii_uppercase[folded.index(found[-1])]})"
    letters = string.ascii_uppercase[: len(options)]
    after_colon = re.findall(rf":\s*([{letters}])", response) if letters else []
    return f"({after_colon[-1]})" if after_colon else _NONE


def _bracketless(pattern: re.Pattern[str], response: str, reference: Reference) -> Match:
    found = pattern.search(response)
    answer = found[1].strip() if found else _NONE
    return _match(answer, _folded(answer) in map(_folded, reference.labels), "strict-match")


def _number(answer: str, reference: Reference, rule: str) -> Match:
    return _match(answer, _plain(answer) in map(_plain, reference.labels), rule)


def _plain(number: str) -> str:
    for pattern in _IGNORED:
        number = pattern.sub("", number)
    return number.lower()


def _folded(text: str) -> str:
    return text.lower().translate(_NO_PUNCTUATION)


def _until(response: str, stops: Sequence[str]) -> str:
    """The response as the task's stop strings would have cut it."""
    return response[: min((at for stop in stops if (at := response.find(stop)) >= 0), default=None)]


def _match(answer: str, correct: bool, rule: str) -> Match:
    return Match(answer=answer, matched=answer != _NONE, correct=correct, rule=rule)
