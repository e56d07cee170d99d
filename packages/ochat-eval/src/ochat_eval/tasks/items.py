"""From rows of a data set to questions: fields, options, label, worked examples, prompt.

Texts of the data are put into a template once and never interpreted again. Where rows come from is
`sources`' business.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ochat_eval.errors import QuestionError
from ochat_eval.graders.families import CODE_FAMILIES
from ochat_eval.graders.formulas import last_box
from ochat_eval.question import Question
from ochat_eval.tasks.spec import FieldMap, TaskSpec

_PLACE = re.compile(r"\{\{\s*([\w. -]+?)\s*\}\}")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_OWN_LETTER = re.compile(r"\s*\(([A-Z])\)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A row, read: texts of question and options, and the right answers."""

    row: Mapping[str, object]
    question: str
    options: tuple[str, ...]
    labels: tuple[str, ...]


def questions_of(
    spec: TaskSpec,
    rows: Iterable[Mapping[str, object]],
    *,
    group: str,
    shots: Iterable[Mapping[str, object]] = (),
) -> Iterator[Question]:
    """The questions of one group of a task.

    Args:
        spec: The task; it has a field map.
        rows: The items.
        group: The group's name; a field map that names a group field overrides it row by row.
        shots: Rows that the task's worked examples are made of.

    Raises:
        QuestionError: A row lacks a field or has a value that cannot be used; names the row.
    """
    fields = _require_fields(spec)
    examples = _examples(spec, fields, shots, group)
    for number, row in enumerate(rows, start=1):
        try:
            item = _item(spec, fields, row, seed=f"{spec.id}/{group}/{number}")
            if fields.keep_options in (None, len(item.options)):
                yield _question(spec, fields, item, examples, group=group, number=number)
        except QuestionError as error:
            raise QuestionError(
                f"item {number} of {spec.id}/{group}: {error}; correct the field map in "
                f"{spec.origin.name} or the data"
            ) from error


def _require_fields(spec: TaskSpec) -> FieldMap:
    if spec.fields is None:
        raise QuestionError(f"{spec.origin} has no [fields], which say where rows have what")
    return spec.fields


def _question(
    spec: TaskSpec, fields: FieldMap, item: Item, examples: str, *, group: str, number: int
) -> Question:
    part = str(_at(item.row, fields.group)) if fields.group else group
    name = str(_at(item.row, fields.id)) if fields.id else f"{part}:{number}"
    return Question(
        id=f"{spec.id}/{name}",
        group=spec.id if part == spec.id else f"{spec.id}/{part}",
        family=spec.family,
        prompt=_filled(spec.template, spec, item, group=part, shots=examples),
        labels=item.labels,
        options=item.options,
        task=spec.id,
        context={key: _at(item.row, path) for key, path in fields.context.items()},
        cluster=str(_at(item.row, fields.cluster)) if fields.cluster else "",
        max_tokens=spec.max_tokens,
        stop=spec.stop,
        gated=spec.gated,
    )


def _examples(
    spec: TaskSpec, fields: FieldMap, rows: Iterable[Mapping[str, object]], group: str
) -> str:
    if spec.shots is None:
        return ""
    written = [
        _filled(
            spec.shots.template,
            spec,
            _item(spec, fields, row, seed=f"{spec.id}/{group}/shot{number}"),
            group=group,
            remove=re.compile(spec.shots.remove) if spec.shots.remove else None,
        )
        for number, row in zip(range(spec.shots.count), rows, strict=False)
    ]
    return "".join(written)


def _item(spec: TaskSpec, fields: FieldMap, row: Mapping[str, object], *, seed: str) -> Item:
    options = _options(fields, row)
    labels = ("pass",) if spec.family in CODE_FAMILIES else _labels(fields, row, options)
    if fields.shuffle_options and options:
        order = list(range(len(options)))
        # Seeded by the item: the same order on every machine, in every run.
        digest = hashlib.sha256(seed.encode()).digest()
        random.Random(int.from_bytes(digest[:8])).shuffle(order)  # noqa: S311 - not a secret
        labels = tuple(_LETTERS[order.index(_LETTERS.index(label))] for label in labels)
        options = tuple(options[index] for index in order)
    question = str(_at(row, fields.question))
    return Item(row=row, question=question, options=options, labels=labels)


def _options(fields: FieldMap, row: Mapping[str, object]) -> tuple[str, ...]:
    if fields.options is None:
        return ()
    if isinstance(fields.options, tuple):
        return tuple(str(_at(row, path)).strip() for path in fields.options)
    found = _at(row, fields.options)
    if not isinstance(found, list):
        raise QuestionError(f"the field {fields.options!r} must be a list of options")
    if len(found) > len(_LETTERS):
        raise QuestionError(f"{len(found)} options are more than there are letters")
    # "(A) text" of some data sets: the letter is ours to write.
    return tuple(_OWN_LETTER.sub("", str(each), count=1).strip() for each in found)


def _labels(
    fields: FieldMap, row: Mapping[str, object], options: tuple[str, ...]
) -> tuple[str, ...]:
    if fields.label_is == "first-option":
        return ("A",)
    if fields.label is None:
        raise QuestionError("the field map names no label")
    found = _at(row, fields.label)
    values = found if isinstance(found, list) else [found]
    if fields.label_is == "one-hot":
        values = [index for index, value in enumerate(values) if value in (1, True)]
    if fields.label_is in ("one-hot", "index"):
        letters = [_LETTERS[each] for each in values if isinstance(each, int) and each >= 0]
        if not letters or len(letters) != len(values):
            raise QuestionError(f"the field {fields.label!r} must give positions of options")
        return tuple(letters)
    texts = tuple(_label_text(fields.label_is, str(value)) for value in values)
    if not texts or not all(texts):
        raise QuestionError(f"the field {fields.label!r} gives no label")
    return tuple(_letter_of(text, options) for text in texts) if options else texts


def _label_text(form: str, value: str) -> str:
    if form.startswith("after:"):
        return value.rpartition(form.removeprefix("after:"))[2].strip()
    if form == "boxed":
        box = last_box(value)
        return box.content if box else ""
    return value.strip()


def _letter_of(text: str, options: tuple[str, ...]) -> str:
    """A label as a letter: "B", "(B)", or the text of an option."""
    bare = text.strip("() ")
    if len(bare) == 1 and bare in _LETTERS[: len(options)]:
        return bare
    if text in options:
        return _LETTERS[options.index(text)]
    raise QuestionError(f"the label {text!r} is neither a letter nor the text of an option")


def _filled(
    template: str,
    spec: TaskSpec,
    item: Item,
    *,
    group: str,
    shots: str = "",
    remove: re.Pattern[str] | None = None,
) -> str:
    """A template with every {{name}} replaced once; what was put in is not looked at again."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("row."):
            text = str(_at(item.row, name.removeprefix("row.")))
            return remove.sub("", text) if remove else text
        known = {
            "question": item.question,
            "label": ", ".join(item.labels),
            "group": group.replace("_", " "),
            "shots": shots,
            "last_letter": _LETTERS[len(item.options) - 1] if item.options else "",
            "options": spec.option_join.join(
                spec.option_form.replace("{letter}", _LETTERS[i]).replace("{text}", text)
                for i, text in enumerate(item.options)
            ),
        }
        if name not in known:
            raise QuestionError(f"the template asks for {{{{{name}}}}}, which is not known")
        return known[name]

    return _PLACE.sub(value, template)


def _at(row: Mapping[str, object], path: str | None) -> object:
    """The value under a name, or under names joined by dots."""
    value: object = row
    whole = path or ""
    if whole in row:
        return row[whole]
    for name in whole.split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise QuestionError(f"there is no field {whole!r} (there are: {', '.join(row)})")
        value = value[name]
    return value
