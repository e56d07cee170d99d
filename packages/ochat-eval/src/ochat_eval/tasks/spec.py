"""A task as data: where its items come from, how a prompt is made of one, how it is graded.

One TOML file a task; reading rows and making questions of them is done in `sources` and `items`.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from ochat_eval.errors import TaskError
from ochat_eval.graders.families import CODE_FAMILIES, family_names
from ochat_eval.tasks.toml import Table

# Part of every task's hash: raised when a grader's rules change, so that scores do not compare.
GRADING_VERSION = 1
_TOLD_TO_PEOPLE = frozenset({"title", "home", "licence"})
LABEL_FORMS = ("text", "letter", "index", "one-hot", "boxed", "first-option")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A data set of a hub; `{group}` in name and configuration is each group's name."""

    dataset: str
    split: str
    config: str | None = None
    groups: tuple[str, ...] = ()
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMap:
    """Where a row has what: a name, or names joined by dots into nested objects."""

    question: str
    label: str | None = None
    label_is: str = "text"
    options: str | tuple[str, ...] | None = None
    id: str | None = None
    group: str | None = None
    cluster: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    shuffle_options: bool = False
    keep_options: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots:
    """Worked examples before the question: rows of another split, each by its own template."""

    split: str
    count: int
    template: str
    remove: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One task.

    Attributes:
        id: Its name in suites and tables.
        version: Raised with every change that changes scores.
        title: A sentence for people.
        family: The grading rules.
        origin: The TOML file, for messages and for paths in it.
        digest: SHA-256 of everything that decides prompts and verdicts.
        original: The folder of the original's data that holds this task's JSONL files.
        hub: The data set of a hub.
        files: Local JSONL files, relative to the TOML file.
        fields: How rows are read.
        template: The prompt, with {{names}} to be filled in.
        option_form: How one option is written.
        option_join: What stands between options.
        shots: Worked examples.
        max_tokens: Of one answer.
        stop: Texts that end an answer.
        items: How many items the published task has.
        licence: Of the items.
        home: Where they come from.
        gated: Whether reports must not show them.
    """

    id: str
    version: int
    title: str
    family: str
    origin: Path
    digest: str
    original: str | None = None
    hub: HubSource | None = None
    files: tuple[str, ...] = ()
    fields: FieldMap | None = None
    template: str = "{{question}}"
    option_form: str = "({letter}) {text}"
    option_join: str = " "
    shots: Shots | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    items: int | None = None
    licence: str = ""
    home: str = ""
    gated: bool = False

    @property
    def runs_code(self) -> bool:
        """Whether grading runs programs of the model."""
        return self.family in CODE_FAMILIES


def read_task(path: Path) -> TaskSpec:
    """Read and check a task's TOML file.

    Raises:
        TaskError: The file cannot be read, or a field is missing, unknown or of a wrong type.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TaskError(f"cannot read {path}: {error.strerror}; check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"{path} is no valid TOML ({error}); correct the file") from error
    table = Table(content, str(path))
    spec = _spec(table, path, _digest(content))
    table.require_no_more()
    if spec.family not in family_names():
        raise TaskError(
            f"{path}: there is no family {spec.family!r}; use one of {', '.join(family_names())}"
        )
    if not (spec.original or spec.hub or spec.files):
        raise TaskError(f"{path} names no items; add [jsonl] files, [hf] or [original]")
    return spec


def _digest(content: Mapping[str, object]) -> str:
    told = {key: value for key, value in content.items() if key not in _TOLD_TO_PEOPLE}
    told["grading"] = GRADING_VERSION
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _spec(table: Table, path: Path, digest: str) -> TaskSpec:
    original, jsonl = table.table("original"), table.table("jsonl")
    prompt, sampling = table.table("prompt"), table.table("sampling")
    spec = TaskSpec(
        id=table.text("id"),
        version=table.number("version"),
        title=table.text("title", ""),
        family=table.text("family"),
        origin=path,
        digest=digest,
        original=original.text("folder") if original else None,
        hub=_hub(table.table("hf")),
        files=jsonl.texts("files") if jsonl else (),
        fields=_fields(table.table("fields")),
        template=prompt.text("template", "{{question}}") if prompt else "{{question}}",
        option_form=prompt.text("option_form", "({letter}) {text}") if prompt else "",
        option_join=prompt.text("option_join", " ") if prompt else " ",
        shots=_shots(table.table("shots")),
        max_tokens=sampling.optional_number("max_tokens") if sampling else None,
        stop=sampling.texts("stop") if sampling else (),
        items=table.optional_number("items"),
        licence=table.text("licence", ""),
        home=table.text("home", ""),
        gated=table.flag("gated"),
    )
    for inner in (original, jsonl, prompt, sampling):
        if inner:
            inner.require_no_more()
    return spec


def _hub(table: Table | None) -> HubSource | None:
    if table is None:
        return None
    source = HubSource(
        dataset=table.text("dataset"),
        split=table.text("split"),
        config=table.text("config", "") or None,
        groups=table.texts("groups"),
        revision=table.text("revision", "") or None,
    )
    table.require_no_more()
    return source


def _fields(table: Table | None) -> FieldMap | None:
    if table is None:
        return None
    form = table.text("label_is", "text")
    if form not in LABEL_FORMS and not form.startswith("after:"):
        raise TaskError(
            f"{table.place}: label_is {form!r} is none of {', '.join(LABEL_FORMS)}, after:TEXT"
        )
    context = table.table("context")
    fields = FieldMap(
        question=table.text("question"),
        label=table.text("label", "") or None,
        label_is=form,
        options=table.text_or_texts("options"),
        id=table.text("id", "") or None,
        group=table.text("group", "") or None,
        cluster=table.text("cluster", "") or None,
        context={} if context is None else context.all_texts(),
        shuffle_options=table.flag("shuffle_options"),
        keep_options=table.optional_number("keep_options"),
    )
    table.require_no_more()
    return fields


def _shots(table: Table | None) -> Shots | None:
    if table is None:
        return None
    shots = Shots(
        split=table.text("split"),
        count=table.number("count"),
        template=table.text("template"),
        remove=table.text("remove", "") or None,
    )
    table.require_no_more()
    return shots
