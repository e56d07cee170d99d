"""Tells answers in which a model refuses, or speaks of itself as one, from ordinary answers.

Phrases are looked for where a refusal stands: in the first sentences, outside of code. An essay
about ethics is no refusal, nor is a program that prints one.
"""

from __future__ import annotations

import re

# Refusals come at once; what is said later is the answer.
_WHERE = 400
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_QUOTE = re.compile(r"[\u2018\u2019]")
_SELF = r"(?:an? )?(?:ai|artificial intelligence|language model|machine|chatbot|computer program)"
_CANNOT = r"(?:cannot|can't|can not|am unable to|am not able to|won't|will not|must decline to)"
_HELP = (
    r"(?:assist|help|provide|fulfil|fulfill|comply|create|generate|write|engage|support|answer|"
    r"discuss|access|browse|do that|give)"
)
_PHRASES = (
    rf"\bas (?:an? )?(?:responsible |ethical )?{_SELF}\b",
    rf"\bi(?:'m| am) (?:just |only |sorry,? but i am )?{_SELF}\b",
    rf"\bi(?:'m| am) (?:very |really |so )?sorry[,;.]?(?: but)?[^.\n]{{0,40}}\bi {_CANNOT}\b",
    rf"\bi apologi[sz]e[,;.]?(?: but)?[^.\n]{{0,60}}\bi {_CANNOT}\b",
    rf"(?:\A|[.!]\s+)(?:sorry,? (?:but )?)?i {_CANNOT} {_HELP}\b",
    r"\b(?:against|violates?) (?:my|openai'?s) (?:programming|guidelines|(?:content |use )?polic)",
    r"\bmy (?:knowledge cut-?off|training data (?:only )?(?:goes|extends)|programming)\b",
    r"\bi do(?:n't| not) have (?:personal|feelings|emotions|beliefs|opinions|access to real)",
)
_REFUSAL = re.compile("|".join(_PHRASES), re.IGNORECASE)


def is_refusal(answer: str) -> bool:
    """Whether an answer opens by refusing, or by calling itself a machine; English only."""
    opening = _CODE.sub(" ", answer)[:_WHERE]
    return bool(_REFUSAL.search(_QUOTE.sub("'", opening)))
