"""Reads a pipeline file: TOML tables, one a step, checked field by field."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ochat_data.cleaning import CleanOptions
from ochat_data.column_map import ColumnMap
from ochat_data.deduplication import DEDUPLICATIONS
from ochat_data.errors import DataError, InputError
from ochat_data.examples import TokenizeOptions
from ochat_data.filtering import FilterOptions
from ochat_data.formats import FORMATS
from ochat_data.labelling import UNMATCHED, LabelMap
from ochat_data.rejects import DEFAULT_MAX_REJECT_RATE
from ochat_data.weighting import Weighting

SCHEMA = 1
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where records come from, and how much of them is wanted.

    Attributes:
        files: Files and folders.
        format: One of `formats.FORMATS`, or `auto`.
        columns: Field to column, for what is of no known format.
        model: Who answered, for records that do not say.
        condition: The condition of all records; empty leaves it to `[label]`.
        loss_weight: The weight of all answers that are not of weight 0.
        weight: How often each record enters; 0.5 takes half of them.
        tokens: Tokens to take instead; None takes as many as there are.
    """

    files: tuple[str, ...]
    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    condition: str = ""
    loss_weight: float | None = None
    weight: float = 1.0
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decontaminate:
    """Benchmark files whose questions no record may hold."""

    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dedup:
    """How equal records must be for one of them to be left out."""

    method: str = "exact"
    threshold: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Models and their conditions, the expert's first, and the weights of their answers."""

    map: Mapping[str, str]
    weights: str = "uniform"
    unmatched: str = "error"

    def labels(self) -> LabelMap:
        """The map as `labelling` takes it."""
        entries = [f"{model}={condition}" for model, condition in self.map.items()]
        return LabelMap.parse(entries, weights=self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenize:
    """Template, tokenizer and how records become examples; see `TokenizeOptions`."""

    template: str
    tokenizer: str
    max_length: int | None = None
    truncation: str = "cut"
    weights: str = "per-message"
    expert: str = ""
    condition_weights: Mapping[str, float] = field(default_factory=dict)
    eval_fraction: float = 0.0
    seed: int = 0

    def options(self) -> TokenizeOptions:
        """The options as `examples` takes them."""
        weighting = Weighting(
            preset=self.weights, expert=self.expert, conditions=dict(self.condition_weights)
        )
        return TokenizeOptions(
            max_length=self.max_length,
            truncation=self.truncation,
            weighting=weighting,
            eval_fraction=self.eval_fraction,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a run fails instead of going on."""

    max_reject_rate: float = DEFAULT_MAX_REJECT_RATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a pipeline file says; a step that it leaves out is not done.

    Attributes:
        output: The dataset's folder.
        sources: Where records come from.
        tokenize: The last step.
    """

    output: str
    sources: tuple[Source, ...]
    tokenize: Tokenize
    clean: CleanOptions | None = None
    filter: FilterOptions | None = None
    decontaminate: Decontaminate | None = None
    dedup: Dedup | None = None
    label: Label | None = None
    limits: Limits = field(default_factory=Limits)


_STEPS: dict[str, type[Any]] = {
    "clean": CleanOptions,
    "filter": FilterOptions,
    "decontaminate": Decontaminate,
    "dedup": Dedup,
    "label": Label,
    "tokenize": Tokenize,
    "limits": Limits,
}


def read_recipe(path: str | Path) -> Recipe:
    """Reads a pipeline file; its paths are taken from the folder that it lies in.

    Raises:
        InputError: The file is missing or no TOML, or a field is unknown, of the wrong type or
            makes no sense; the text names file and field.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot read the pipeline file {path}: {reason}") from error
    try:
        return _located(_parse(data), path.resolve().parent)
    except DataError as error:
        raise InputError(f"{path}: {error}") from error


def _parse(data: Mapping[str, Any]) -> Recipe:
    if data.get("schema") != SCHEMA:
        raise InputError(f"expected 'schema = {SCHEMA}', got {data.get('schema')!r}")
    _refuse_unknown(data, ("schema", "output", "source", *_STEPS), "the file")
    output, sources = data.get("output"), data.get("source")
    if not isinstance(output, str) or not output:
        raise InputError("expected a folder's name under 'output'")
    if not isinstance(sources, list) or not sources:
        raise InputError("expected at least one [[source]] with its 'files'")
    if "tokenize" not in data:
        raise InputError("expected a [tokenize] table with 'template' and 'tokenizer'")
    steps = {
        name: _build(kind, data[name], f"[{name}]") for name, kind in _STEPS.items() if name in data
    }
    listed = tuple(
        _build(Source, table, f"[[source]] {number}") for number, table in enumerate(sources, 1)
    )
    recipe = Recipe(output=output, sources=listed, **steps)
    _check(recipe)
    return recipe


def _build(kind: type[_T], table: object, where: str) -> _T:
    """Makes a dataclass of a table whose values have the types that its fields say."""
    if not isinstance(table, Mapping):
        raise InputError(f"{where}: expected a table")
    hints = get_type_hints(kind)
    known = [each.name for each in fields(kind)]  # pyrefly: ignore[bad-argument-type]
    _refuse_unknown(table, known, where)
    values = {key: _typed(value, hints[key], f"{where} {key}") for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        missing = str(error).rpartition(":")[2].strip()
        raise InputError(f"{where}: {missing} is missing") from error


def _typed(value: object, hint: object, where: str) -> object:
    options = get_args(hint) if get_origin(hint) not in (tuple, Mapping) else ()
    for option in options or (hint,):
        origin = get_origin(option) or option
        if origin is tuple and isinstance(value, list) and all(isinstance(v, str) for v in value):
            return tuple(value)
        if origin is Mapping and isinstance(value, Mapping):
            wanted = get_args(option)[1]
            return {key: _typed(item, wanted, f"{where}.{key}") for key, item in value.items()}
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(option, type) and type(value) is option:
            return value
    names = {tuple: "a list of strings", Mapping: "a table", str: "a string", int: "a number"}
    wanted = next(
        (text for kind, text in names.items() if kind in (hint, get_origin(hint))), "a number"
    )
    raise InputError(f"{where}: expected {wanted}, got {value!r}")


def _refuse_unknown(table: Mapping[str, object], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
            raise InputError(f"{where} has no field {key!r}{hint}")


def _check(recipe: Recipe) -> None:
    """Refuses what the steps would refuse after hours."""
    for number, source in enumerate(recipe.sources, 1):
        where = f"[[source]] {number}"
        if source.format not in ("auto", *FORMATS):
            raise InputError(f"{where}: no format {source.format!r}; known: {', '.join(FORMATS)}")
        if not source.files:
            raise InputError(f"{where}: 'files' is empty")
        if source.columns:
            ColumnMap.parse([f"{key}={value}" for key, value in source.columns.items()])
        if not 0 <= source.weight < math.inf:
            raise InputError(f"{where}: 'weight' must be from 0 up, not {source.weight}")
        if source.tokens is not None and source.tokens < 0:
            raise InputError(f"{where}: 'tokens' must be from 0 up, not {source.tokens}")
    dedup, label = recipe.dedup, recipe.label
    if dedup and dedup.method not in DEDUPLICATIONS:
        raise InputError(f"[dedup] method must be one of {', '.join(DEDUPLICATIONS)}")
    if dedup and not 0 < dedup.threshold <= 1:
        raise InputError(f"[dedup] threshold must be above 0 and at most 1, not {dedup.threshold}")
    if label:
        label.labels()
        if label.unmatched not in UNMATCHED:
            raise InputError(f"[label] unmatched must be one of {', '.join(UNMATCHED)}")
    if not 0 <= recipe.limits.max_reject_rate <= 1:
        raise InputError("[limits] max_reject_rate must be from 0 to 1")
    recipe.tokenize.options()


def _located(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with its paths made independent of where the command is run."""

    def place(name: str) -> str:
        return str(folder / name)

    steps: dict[str, Any] = {}
    if recipe.decontaminate:
        files = tuple(map(place, recipe.decontaminate.files))
        steps["decontaminate"] = replace(recipe.decontaminate, files=files)
    if recipe.filter:
        model, predicate = recipe.filter.fasttext_model, recipe.filter.predicate
        if model:
            model = place(model)
        if ".py:" in predicate:
            predicate = place(predicate)
        steps["filter"] = replace(recipe.filter, fasttext_model=model, predicate=predicate)
    template = recipe.tokenize.template
    if template.endswith(".toml"):
        template = place(template)
    tokenizer = place(recipe.tokenize.tokenizer)
    return replace(
        recipe,
        output=place(recipe.output),
        sources=tuple(
            replace(source, files=tuple(map(place, source.files))) for source in recipe.sources
        ),
        tokenize=replace(recipe.tokenize, template=template, tokenizer=tokenizer),
        **steps,
    )
