"""Which records are wanted: by model, condition, language, length, turns, or a user's own rule.

Says why a record is not wanted and changes nothing but the language it notes. Duplicates are found
in `deduplication`, benchmark questions in `decontamination`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from .errors import InputError
from .language import Detector, conversation_language, open_detector
from .record import Record

Predicate = Callable[[Record], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions:
    """What a record must be to be kept; empty and None ask for nothing.

    Attributes:
        models: Names of the models whose answers are kept.
        not_models: Names of those whose answers are not.
        conditions: Conditions that are kept.
        languages: ISO 639-1 codes that are kept; `und` stands for too little prose to tell.
        not_languages: Codes that are not.
        min_turns: Fewest answers.
        max_turns: Most answers.
        min_characters: Fewest characters of all messages together.
        max_characters: Most characters of all messages together.
        predicate: A function of a record, as `module:function` or `file.py:function`.
        fasttext_model: A fastText model file that tells languages; None takes py3langid's.
    """

    models: tuple[str, ...] = ()
    not_models: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    not_languages: tuple[str, ...] = ()
    min_turns: int | None = None
    max_turns: int | None = None
    min_characters: int | None = None
    max_characters: int | None = None
    predicate: str = ""
    fasttext_model: str = ""

    @property
    def asks_language(self) -> bool:
        """Whether a detector is needed."""
        return bool(self.languages or self.not_languages or self.fasttext_model)


@dataclass(slots=True)
class RecordFilter:
    """The options with what they need opened once."""

    options: FilterOptions
    _detect: Detector | None = field(init=False, default=None)
    _predicate: Predicate | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Opens the detector and the user's function.

        Raises:
            InputError: One of them is missing.
        """
        options = self.options
        if options.asks_language:
            model = Path(options.fasttext_model) if options.fasttext_model else None
            self._detect = open_detector(model)
        if options.predicate:
            self._predicate = load_predicate(options.predicate)

    def check(self, record: Record) -> tuple[Record, str]:
        """The record, its language noted where asked for, and why it is not wanted (or nothing).

        Raises:
            InputError: The user's own function failed.
        """
        options = self.options
        if self._detect is not None:
            record = replace(record, language=conversation_language(record, self._detect))
        return record, (
            _unwanted_origin(record, options)
            or _unwanted_language(record.language, options)
            or _unwanted_size(record, options)
            or self._refused(record)
        )

    def _refused(self, record: Record) -> str:
        if self._predicate is None:
            return ""
        try:
            return "" if self._predicate(record) else "own predicate"
        except Exception as error:
            raise InputError(
                f"{self.options.predicate} failed on the record {record.id}: "
                f"{type(error).__name__}: {error}"
            ) from error


def _unwanted_origin(record: Record, options: FilterOptions) -> str:
    if (options.models and record.model not in options.models) or (
        record.model in options.not_models
    ):
        return "model"
    if options.conditions and record.conversation.condition not in options.conditions:
        return "condition"
    return ""


def _unwanted_language(language: str, options: FilterOptions) -> str:
    if options.languages and language not in options.languages:
        return "language"
    return "language" if language in options.not_languages else ""


def _unwanted_size(record: Record, options: FilterOptions) -> str:
    messages = record.conversation.messages
    turns = sum(message.role == "assistant" for message in messages)
    characters = sum(len(message.content) for message in messages) or len(record.text)
    for count, least, most, fewer, more in (
        (turns, options.min_turns, options.max_turns, "too few turns", "too many turns"),
        (
            *(characters, options.min_characters, options.max_characters),
            *("too few characters", "too many characters"),
        ),
    ):
        if fewer == "too few turns" and record.is_document:
            continue
        if least is not None and count < least:
            return fewer
        if most is not None and count > most:
            return more
    return ""


def load_predicate(name: str) -> Predicate:
    """Imports `module:function` or `path/file.py:function`.

    Raises:
        InputError: There is no such function.
    """
    module_name, separator, function_name = name.rpartition(":")
    if not separator:
        raise InputError(f"a predicate is named module:function or file.py:function, not {name!r}")
    try:
        if module_name.endswith(".py"):
            module = _module_of_file(Path(module_name))
        else:
            module = importlib.import_module(module_name)
        function: object = getattr(module, function_name)
    except (ImportError, AttributeError, OSError, SyntaxError) as error:
        raise InputError(f"cannot load the predicate {name}: {error}") from error
    if not callable(function):
        raise InputError(f"the predicate {name} is no function")
    return cast("Predicate", function)


def _module_of_file(path: Path) -> object:
    name = f"ochat_data_predicate_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
