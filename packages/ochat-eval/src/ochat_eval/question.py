"""A question of a benchmark: the rendered prompt, the right answers, and how to grade it.

Reading files of questions is `suite`'s business; grading is `ochat_eval.graders`'.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ochat_eval.errors import QuestionError
from ochat_eval.graders import grade
from ochat_eval.verdict import Verdict

_LETTER = re.compile(r"[(\[]?([A-Z])[)\]]?")
# What joins one option to the next; a text that is nothing but "and" or "or" stays.
_CONJUNCTION = re.compile(r"(?<=\S)[,;]?\s+(?:or|and)\s*$")
_PUNCTUATION = " \t\n.,;?!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One item of a benchmark.

    Attributes:
        id: Unique within its suite.
        group: The task it belongs to; results are given per group.
        family: Which grading rules apply, for example `mmlu`.
        prompt: The user message, sent as it is.
        labels: Every right answer: letters, or numbers as text.
        options: The options' texts, or their letters; empty where there are none.
        key: A digest of id and prompt, under which responses are stored.
    """

    id: str
    group: str
    family: str
    prompt: str
    labels: tuple[str, ...]
    options: tuple[str, ...] = ()
    key: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the key once; a stored response belongs to exactly one id and prompt."""
        digest = hashlib.sha256(f"{self.id}\0{self.prompt}".encode()).hexdigest()
        object.__setattr__(self, "key", digest[:32])

    def grade(self, response: str, *, finish_reason: str | None = None) -> Verdict:
        """Grade a response by the family's rules, with option texts found in the prompt."""
        options = prompt_options(self.prompt, self.options) or self.options
        return grade(self.family, response, self.labels, options, finish_reason=finish_reason)

    def to_json(self) -> dict[str, object]:
        """The question in the layout that `from_json` and every suite file use."""
        return {
            "id": self.id,
            "group": self.group,
            "family": self.family,
            "question": self.prompt,
            "label": list(self.labels),
            "options": list(self.options),
        }

    @classmethod
    def from_json(
        cls,
        row: object,
        *,
        default_id: str = "",
        default_group: str = "",
        default_family: str | None = None,
    ) -> Question:
        """Read a row of ours or of the original's layout; defaults stand in for absent fields.

        Raises:
            QuestionError: A field is missing or of the wrong type; the message is a half-sentence
                that the caller completes with the place.
        """
        if not isinstance(row, Mapping):
            raise QuestionError(f"expected a JSON object, got {type(row).__name__}")
        prompt, found_family = row.get("question"), row.get("family") or default_family
        if not isinstance(prompt, str) or not prompt.strip():
            raise QuestionError("the field 'question' (the prompt's text) is missing or empty")
        if not isinstance(found_family, str):
            raise QuestionError(
                "the family is unknown: add a field 'family' to the row, or give --family"
            )
        return cls(
            id=default_id if row.get("id") is None else str(row["id"]),
            group=default_group if row.get("group") is None else str(row["group"]),
            family=found_family,
            prompt=prompt,
            labels=_texts(row, "label", required=True),
            options=_texts(row, "options", required=False),
        )


def prompt_options(prompt: str, options: tuple[str, ...]) -> tuple[str, ...]:
    """The texts of lettered options, read from the prompt's last "(A) ... (B) ..." list.

    The original's rows give only letters as options; the texts stand in the prompt. Empty where
    the options are no letters, or the prompt does not list all of them in order.
    """
    letters = [match[1] for option in options if (match := _LETTER.fullmatch(option))]
    if len(letters) != len(options) or letters[:1] != ["A"]:
        return ()
    marks = [f"({letter})" for letter in letters]
    start = prompt.rfind(marks[0])
    texts: list[str] = []
    for mark, following in zip(marks, [*marks[1:], "\n"], strict=True):
        if start < 0:
            return ()
        end = prompt.find(following, start)
        stop = end if end >= 0 or following != "\n" else len(prompt)
        texts.append(_option_text(prompt[start + len(mark) : stop], last=mark is marks[-1]))
        start = stop
    return tuple(texts) if start >= 0 else ()


def _option_text(text: str, *, last: bool) -> str:
    """An option as it would be answered: without the list's own words and punctuation."""
    return (text if last else _CONJUNCTION.sub("", text)).strip().rstrip(_PUNCTUATION)


def _texts(row: Mapping[str, object], field: str, *, required: bool) -> tuple[str, ...]:
    value = row.get(field)
    if value is None and not required:
        return ()
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str | int | float) and each is not True for each in values):
        raise QuestionError(f"the field {field!r} must be a text, a number or a list of them")
    if required and not values:
        raise QuestionError(f"the field {field!r} is empty")
    return tuple(str(each) for each in values)
