"""A question of a benchmark: the rendered prompt, the right answers, and how to grade it.

Reading files of questions is `suite`'s business; grading is `ochat_eval.graders`'.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ochat_eval.errors import QuestionError
from ochat_eval.graders.families import CODE_FAMILIES, Reference, require_family
from ochat_eval.graders.formulas import last_box
from ochat_eval.verdict import Verdict

_LETTER = re.compile(r"[(\[]?([A-Z])[)\]]?")
# What joins one option to the next; a text that is nothing but "and" or "or" stays.
_CONJUNCTION = re.compile(r"(?<=\S)[,;]?\s+(?:or|and)\s*$")
# Families whose owners ask not to show items in plain text, also where no task file says so.
_GATED = frozenset({"gpqa"})
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
        task: The task that the group is a part of; the group itself where there is none above.
        context: What else grading needs, such as the tests of a program.
        cluster: Questions with the same one (a shared passage) are not independent.
        max_tokens: Of the answer; None leaves it to the run.
        stop: Texts that end the answer.
        gated: Its owners ask not to show it in plain text; reports redact it.
        key: A digest of id and prompt, under which responses are stored.
    """

    id: str
    group: str
    family: str
    prompt: str
    labels: tuple[str, ...]
    options: tuple[str, ...] = ()
    task: str = ""
    context: Mapping[str, object] = field(default_factory=dict)
    cluster: str = ""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    gated: bool = False
    key: str = field(init=False)
    _reference: Reference | None = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the key once; a stored response belongs to exactly one id and prompt."""
        digest = hashlib.sha256(f"{self.id}\0{self.prompt}".encode()).hexdigest()
        object.__setattr__(self, "key", digest[:32])

    def grade(
        self, response: str, *, finish_reason: str | None = None, allow_code: bool = False
    ) -> Verdict:
        """Grade a response by the family's rules, with option texts found in the prompt."""
        return require_family(self.family)(
            response, self.reference(), finish_reason=finish_reason, allow_code=allow_code
        )

    def require_gradable(self) -> None:
        """Return if some response could be graded; runs nothing.

        Raises:
            GradingError: Label, options or context make it impossible, or a library is missing.
        """
        if self.family in CODE_FAMILIES:
            from ochat_eval.graders.code import require_context

            require_context(self.context)
        elif self.family == "math":
            from ochat_eval.graders.equivalence import require_math_verify

            require_math_verify()
        else:
            self.grade("")

    def reference(self) -> Reference:
        """What a response is graded against; made once, as finding options takes its time."""
        if self._reference is None:
            options = prompt_options(self.prompt, self.options) or self.options
            made = Reference(labels=self.labels, options=options, context=self.context)
            object.__setattr__(self, "_reference", made)
            return made
        return self._reference

    def to_json(self) -> dict[str, object]:
        """The question in the layout that `from_json` and every suite file use."""
        row: dict[str, object] = {
            "id": self.id,
            "group": self.group,
            "family": self.family,
            "question": self.prompt,
            "label": list(self.labels),
            "options": list(self.options),
        }
        further = {
            "task": self.task,
            "context": dict(self.context),
            "cluster": self.cluster,
            "max_tokens": self.max_tokens,
            "stop": list(self.stop),
        }
        kept = {name: value for name, value in further.items() if value}
        # Said where it is not what the family would say.
        told = {"gated": self.gated} if self.gated != (self.family in _GATED) else {}
        return row | kept | told

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
        context = row.get("context") or row.get("_metadata") or {}
        if not isinstance(context, Mapping):
            raise QuestionError("the field 'context' must be an object")
        limit = row.get("max_tokens")
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise QuestionError("the field 'max_tokens' must be a whole number above 0")
        return cls(
            id=default_id if row.get("id") is None else str(row["id"]),
            group=default_group if row.get("group") is None else str(row["group"]),
            family=found_family,
            prompt=prompt,
            labels=_labels(row, found_family, context),
            options=_texts(row, "options", required=False),
            task=str(row.get("task") or ""),
            context=context,
            cluster=str(row.get("cluster") or ""),
            max_tokens=limit,
            stop=_texts(row, "stop", required=False),
            gated=row.get("gated", found_family in _GATED) is True,
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


def _labels(
    row: Mapping[str, object], family: str, context: Mapping[str, object]
) -> tuple[str, ...]:
    """The right answers; of a program its tests are, of the original's MATH rows the box is."""
    if family in CODE_FAMILIES:
        return ("pass",)
    solution = context.get("solution")
    if family == "math" and isinstance(solution, str) and (box := last_box(solution)):
        return (box.content,)
    return _texts(row, "label", required=True)


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
