r"""Grading of multiple choice: the last explicit commitment wins, and nothing is ever assumed.

A response commits itself by a cue ("the answer is (B)", `\boxed{B}`, "B is correct", "I choose
B"). Without one, the order is: a leading letter, the text of one option, one letter named as an
option, a letter that ends the response. Two alternatives are a hedge and wrong; a letter beyond
the options is wrong; anything else is unparsed. Questions and runs are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ochat_eval.errors import GradingError
from ochat_eval.graders.cleaning import clean
from ochat_eval.graders.cues import Cue, committing, find_cues, tails, window, without_denials
from ochat_eval.graders.denials import affirmed
from ochat_eval.graders.letters import Found, direct, either, final, references, rejected_after
from ochat_eval.graders.option_texts import OptionTexts, option_texts
from ochat_eval.verdict import Status, Verdict, judged, unanswered

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SYMBOL = re.compile(r"[(\[]?(\S)[)\]]?")
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\b|\\left\b|\\right\b|\\[()\[\]]|[${}]")
_ECHO = re.compile(r"\s*A(?:nswer)?:(?=\s*\S)")
_LOOKALIKE = re.compile(r"(?<!\w)[\u0391-\u03a9\u0410-\u042f](?!\w)")

_CHOOSES = re.compile(
    r"\b(?:choose|chose|select|pick(?:ing)?|opt(?:ing)?\s+for|go(?:ing)?\s+with|settle\s+on|vote\s+for"
    r"|conclude(?:\s+that)?|guess(?:\s+is)?|lean(?:ing)?\s+towards?|believe|i(?:'d)?\s+(?:would\s+)?say)\b",
    re.IGNORECASE,
)
_IT_IS = re.compile(
    r"\b(?:it|this|that|which)(?:'s|\s+(?:is|must\s+be|would\s+be|should\s+be|has\s+to\s+be))\b"
    r"|\b(?:leaves|leaving|matches|corresponds\s+to)\b",
    re.IGNORECASE,
)
_SO = re.compile(r"\b(?:so|therefore|thus|hence|consequently)\b,?", re.IGNORECASE)
_IS_RIGHT = re.compile(
    r"(?<![\w'])(?:[(\[]\s*)?(?P<letter>[A-Z])\s*[)\]]?(?:"
    r"\s+(?:fits|works)\s+(?:the\s+)?best\b|(?:\s+[^.\n;]{0,60}?)?\s+"
    r"(?:is|seems|looks|appears(?:\s+to\s+be)?|must\s+be|would\s+be)\s+"
    r"(?:(?:clearly|definitely|therefore|thus|indeed|most|likely|probably|the)\s+)*"
    r"(?:correct|right|best|(?:answer|option|choice|one)\b(?!\s+(?:that|which)))\b)"
)
# A letter beyond the options is an answer, and wrong, where one of these announces it.
_STRONG_CUES = frozenset({"answer-is", "boxed", "hashes"})
_WEAK_CUES = (("chooses", _CHOOSES), ("it-is", _IT_IS), ("so", _SO), ("is-right", _IS_RIGHT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one question: letters in order, and their texts where they are known."""

    letters: tuple[str, ...]
    texts: OptionTexts

    @classmethod
    def read(cls, options: Sequence[str], label: str | Sequence[str] = ()) -> Options:
        """Letters and texts of `options`: texts get A, B, ...; letters, bracketed or not, stay.

        Texts of a single sign ("x", "y") look like letters; a label that none of them is, but that
        is a letter of so many options, tells the two apart.
        """
        if not options:
            return cls(letters=tuple(_ALPHABET), texts=option_texts((), ()))
        symbols = [_SYMBOL.fullmatch(option.strip()) for option in options]
        letters = tuple(symbol[1] for symbol in symbols if symbol)
        alike = len(letters) == len(options) and not all(map(str.isdigit, letters))
        if alike and not _are_numbered(letters, label):
            return cls(letters=letters, texts=option_texts((), ()))
        if len(options) > len(_ALPHABET):
            raise GradingError(
                f"{len(options)} option texts are more than there are letters: give at most 26, "
                "or give the letters themselves as options"
            )
        named = tuple(_ALPHABET[: len(options)])
        return cls(letters=named, texts=option_texts(named, options))

    def key(self, label: str | Sequence[str]) -> frozenset[str]:
        """The letters that a label accepts: a letter, a bracketed letter or an option's text."""
        labels = (label,) if isinstance(label, str) else tuple(label)
        if not labels or not all(labels):
            raise GradingError("the label is empty: give the letter of the right option")
        return frozenset(self._letter(each) for each in labels)

    def _letter(self, label: str) -> str:
        if symbol := _SYMBOL.fullmatch(label.strip()):
            symbol_is_text = symbol[1] not in self.letters and self.texts.whole(label)
            return symbol_is_text or symbol[1]
        letter = self.texts.whole(label)
        if letter is None:
            raise GradingError(
                f"the label {label!r} is neither a letter nor the text of an option: "
                "correct the label or the options"
            )
        return letter


def _are_numbered(letters: Sequence[str], label: str | Sequence[str]) -> bool:
    """Whether a label is a letter of so many options, but none of the signs that they are."""
    labels = [each.strip("()[] ") for each in ([label] if isinstance(label, str) else label)]
    folded = {letter.upper() for letter in letters}
    return any(each in _ALPHABET[: len(letters)] and each not in folded for each in labels if each)


def grade_choice(
    response: str,
    label: str | Sequence[str],
    options: Sequence[str] = (),
    *,
    finish_reason: str | None = None,
) -> Verdict:
    """Grade a response to a multiple-choice question.

    Args:
        response: What the model wrote, unchanged.
        label: The right letter, or several that all count; brackets do not matter.
        options: The options' texts in order, or their letters; none stands for A to Z.
        finish_reason: The server's; "length" turns unparsed into truncated.

    Returns:
        The verdict; `extracted` is the letter, or letters joined by a slash for a hedge.

    Raises:
        GradingError: The label fits no option. No response makes this raise.
    """
    choices = Options.read(options, label)
    key = choices.key(label)
    cleaned = clean(response)
    if cleaned.unclosed:
        return unanswered(Status.TRUNCATED, "unclosed-reasoning")
    result = _exact(response, choices) or _extract(cleaned.text, choices)
    if isinstance(result, str):
        cut = finish_reason == "length"
        return unanswered(Status.TRUNCATED if cut else Status.UNPARSED, result)
    found, rule = result
    return judged(
        correct=len(found.letters) == 1 and found.letters[0] in key,
        extracted="/".join(found.letters),
        rule=rule if len(found.letters) == 1 else "hedge",
        span=(found.start, found.end),
    )


def _exact(response: str, choices: Options) -> tuple[Found, str] | None:
    """A response that is nothing but one of the letters, even one that is a symbol."""
    bare = response.strip()
    symbol = _SYMBOL.fullmatch(bare)
    if symbol is None or symbol[1] not in choices.letters:
        return None
    start = response.index(bare)
    found = Found(letters=(symbol[1],), start=start, end=start + len(bare))
    return found, "bare-letter"


def _extract(text: str, choices: Options) -> tuple[Found, str] | str:
    """What was found and the rule that found it, or the name of the reason why nothing was."""
    if not text.strip():
        return "empty"
    text = _LATEX.sub(lambda match: " " * len(match[0]), text)
    letters = frozenset(choices.letters)
    for begin in tails(text):
        cues = find_cues(text, begin)
        if cues and cues[-1].rule != "hashes" and not text[cues[-1].end :].strip(" .\n:"):
            return "cut-off"
        cues += [cue for rule, weak in _WEAK_CUES for cue in committing(text, weak, rule, begin)]
        if committed := _last_commitment(text, cues, choices, letters):
            return committed
    return _uncommitted(text, choices, letters)


def _last_commitment(
    text: str, cues: list[Cue], choices: Options, letters: frozenset[str]
) -> tuple[Found, str] | None:
    for cue in sorted(cues, key=lambda cue: -cue.end):
        begin, end = window(text, cue.end)
        if cue.rule == "is-right":
            found = direct(text, cue.start, cue.end, letters)
        elif cue.rule in _STRONG_CUES:
            found = _announced(text, begin, end, choices, letters)
        else:
            found = either(text, begin, end, letters) or direct(
                text, begin, end, letters, strict=True
            )
        if found and (found.letters[0] in letters or cue.rule in _STRONG_CUES):
            return found, cue.rule
    return None


def _announced(
    text: str, begin: int, end: int, choices: Options, letters: frozenset[str]
) -> Found | None:
    """The answer that a strong cue announces: letters, an option's text, or the one reference."""
    found = either(text, begin, end, letters) or direct(text, begin, end, letters)
    if found or (found := choices.texts.at(text, begin, end)):
        return found
    named = references(text, begin, end, letters)
    if len({each.letters for each in named}) == 1:
        return named[-1]
    return None if named else final(text, begin, end, letters)


def _uncommitted(text: str, choices: Options, letters: frozenset[str]) -> tuple[Found, str] | str:
    """The answer of a response without a cue, or the reason why there is none."""
    text = _without_rejected(without_denials(text), choices.texts, letters)
    if leading := _leading(text, letters):
        return leading, "leading-letter"
    if by_text := _by_text(text, choices.texts):
        return by_text, "option-text"
    named = references(text, 0, len(text), letters)
    if len({each.letters for each in named}) == 1:
        return named[-1], "only-letter"
    if not named and (last := final(text, 0, len(text), letters)):
        return last, "final-letter"
    return "look-alike-letter" if _LOOKALIKE.search(text) else "no-answer"


def _without_rejected(text: str, texts: OptionTexts, letters: frozenset[str]) -> str:
    """The text with each letter blanked that its own option's text and "is wrong" follow."""
    for named in references(text, 0, len(text), letters):
        own = texts.at(text, named.end, len(text))
        if own and own.letters == named.letters and rejected_after(text, own.end):
            text = text[: named.start] + " " * (own.end - named.start) + text[own.end :]
    return text


def _leading(text: str, letters: frozenset[str]) -> Found | None:
    """The letter that opens the response, unless it is the prompt's "A:" or opens a list."""
    echo = _ECHO.match(text)
    begin = echo.end() if echo else 0
    begin += len(text[begin:]) - len(text[begin:].lstrip())
    found = direct(text, begin, len(text), letters, strict=True)
    if found is None or found.letters[0] not in letters:
        return None
    alone = re.compile(
        r"[ \t]*(?:[.!]?\s*$|[.!]?[ \t]*\n|[.!]\s|,?\s*(?:because|since|as)\b)"
    ).match(text, found.end)
    others = {each.letters[0] for each in references(text, found.end, len(text), letters)}
    return found if alone or not others - set(found.letters) else None


def _by_text(text: str, texts: OptionTexts) -> Found | None:
    if letter := texts.whole(text):
        start = len(text) - len(text.lstrip())
        return Found(letters=(letter,), start=start, end=len(text.rstrip()))
    opening = re.compile(r"\s*").match(text)
    mentions = texts.mentions(text)
    first = texts.at(text, opening.end() if opening else 0, len(text))
    if not mentions and first and first.letters[0] in texts.short and affirmed(text, [first]):
        return first
    return mentions[-1] if len({found.letters for found in mentions}) == 1 else None
