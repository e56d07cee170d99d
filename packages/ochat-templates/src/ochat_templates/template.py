"""Template: a chat format as data, read from TOML and checked field by field.

Knows the strings of a format and which conditions it allows, but no tokens.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .errors import ConditionError, ConversationError, RoleError, TemplateFileError

SCHEMA = 1
_PLACEHOLDER = "{condition}"
# What each table may hold: field -> (type, required). `control` and `roles` take any string field.
_TOP = {
    "schema": (int, True),
    "name": (str, True),
    "aliases": (list, False),
    "description": (str, False),
    "context_length": (int, True),
    "control": (dict, True),
    "roles": (dict, True),
    "condition": (dict, False),
    "system": (dict, False),
    "decode": (dict, False),
}
_CONDITION = {
    "allowed": (list, False),
    "inference": (str, False),
    "training": (str, False),
    "turn": (str, False),
}
_SYSTEM = {"allowed": (bool, False)}
_DECODE = {"strip_leading_space": (bool, False)}
_CONTROL = {"bos": (str, False), "eot": (str, True)}
_ROLES = {"user": (str, True), "assistant": (str, True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionRule:
    """Which conditions a template allows, and which one stands for a missing one.

    Attributes:
        allowed: The allowed conditions; empty means that any text is one.
        default: The condition of a prompt that names none.
        unlabelled: The condition of a training conversation that names none.
        turn: Text of the turn that carries the condition, with `{condition}`; empty where the
            role prefixes carry it.
    """

    allowed: tuple[str, ...] = ()
    default: str = ""
    unlabelled: str = ""
    turn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A chat format: control tokens, role prefixes, condition rule, system rule.

    Attributes:
        name: The published model type, such as `openchat_v3.2`.
        aliases: Other names of the same format.
        description: One line for people.
        context_length: Tokens that the published models were trained on.
        bos: The control token that opens a conversation; empty where there is none.
        eot: The control token that ends every turn, and generation.
        roles: Role to prefix; a prefix may hold `{condition}`.
        condition: The condition rule.
        system_allowed: Whether a system text may be given.
        strip_leading_space: Whether the first space of an answer belongs to the format.
    """

    name: str
    aliases: tuple[str, ...]
    description: str
    context_length: int
    bos: str
    eot: str
    roles: Mapping[str, str]
    condition: ConditionRule
    system_allowed: bool
    strip_leading_space: bool

    @classmethod
    def from_toml(cls, path: str | Path) -> Template:
        """Reads a template file.

        Raises:
            TemplateFileError: The file is missing, is no TOML, or breaks the schema; the text
                names file and field.
        """
        try:
            return cls.from_text(Path(path).read_text(encoding="utf-8"), where=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateFileError(f"cannot read the template file {path}: {error}") from error

    @classmethod
    def from_text(cls, text: str, *, where: str) -> Template:
        """Reads a template from TOML text; `where` names its origin in errors."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise TemplateFileError(f"{where}: not valid TOML: {error}") from error
        _check_table(data, _TOP, where)
        if data["schema"] != SCHEMA:
            raise TemplateFileError(
                f"{where}: schema {data['schema']} is not known; this version reads {SCHEMA}"
            )
        control = _check_table(data["control"], _CONTROL, f"{where}: [control]")
        roles = _check_table(data["roles"], _ROLES, f"{where}: [roles]")
        system = _check_table(data.get("system", {}), _SYSTEM, f"{where}: [system]")
        decode = _check_table(data.get("decode", {}), _DECODE, f"{where}: [decode]")
        return cls(
            name=data["name"],
            aliases=_strings(data.get("aliases", []), f"{where}: aliases"),
            description=data.get("description", ""),
            context_length=data["context_length"],
            bos=control.get("bos", ""),
            eot=control["eot"],
            roles=MappingProxyType(dict(roles)),
            condition=_condition_rule(data.get("condition", {}), f"{where}: [condition]"),
            system_allowed=system.get("allowed", False),
            strip_leading_space=decode.get("strip_leading_space", False),
        )

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """The control tokens, in the order in which a bare tokenizer file gets their ids."""
        return tuple(token for token in (self.bos, self.eot) if token)

    def resolve_condition(self, condition: str, *, training: bool) -> str:
        """Returns the condition that is written, checking the one that was given.

        Raises:
            ConditionError: The template does not allow it.
        """
        rule = self.condition
        if not condition:
            return rule.unlabelled if training else rule.default
        if rule.allowed and condition not in rule.allowed:
            raise ConditionError(
                f"{self.name} has no condition {condition!r}; use one of {', '.join(rule.allowed)}"
            )
        if not rule.default and not rule.allowed:
            raise ConditionError(f"{self.name} takes no condition; leave {condition!r} out")
        return condition

    def role_prefix(self, role: str, condition: str) -> str:
        """The text before a message, such as `GPT4 User:`; `condition` is a resolved one."""
        try:
            pattern = self.roles[role]
        except KeyError:
            known = ", ".join(self.roles)
            raise RoleError(f"{self.name} has no role {role!r}; its roles are {known}") from None
        if _PLACEHOLDER not in pattern or condition:
            return pattern.replace(_PLACEHOLDER, condition)
        # The published rule since 2024: f"{condition} {role}:".strip()
        return pattern.replace(_PLACEHOLDER, "").strip()

    def opening_texts(self, system: str, condition: str) -> tuple[str, ...]:
        """The turns before the first message: the condition's, then the system text's.

        Raises:
            ConversationError: A system text is given and the template has no place for it.
        """
        texts: list[str] = []
        if self.condition.turn:
            texts.append(self.condition.turn.replace(_PLACEHOLDER, condition))
        if system:
            if not self.system_allowed:
                raise ConversationError(f"{self.name} has no system text; leave it out")
            texts.append(system)
        return tuple(texts)

    def to_json(self) -> dict[str, object]:
        """Everything that decides how a conversation is encoded, for the fingerprint."""
        rule = self.condition
        return {
            "name": self.name,
            "bos": self.bos,
            "eot": self.eot,
            "roles": dict(self.roles),
            "condition": [list(rule.allowed), rule.default, rule.unlabelled, rule.turn],
            "system_allowed": self.system_allowed,
            "strip_leading_space": self.strip_leading_space,
        }


def _condition_rule(value: object, where: str) -> ConditionRule:
    table = _check_table(value, _CONDITION, where)
    allowed = _strings(table.get("allowed", []), f"{where} allowed")
    for field in ("inference", "training"):
        given = table.get(field, "")
        if allowed and given not in allowed:
            raise TemplateFileError(f"{where} {field} = {given!r} is not among 'allowed'")
    return ConditionRule(
        allowed=allowed,
        default=table.get("inference", ""),
        unlabelled=table.get("training", ""),
        turn=table.get("turn", ""),
    )


def _check_table(
    value: object, fields: Mapping[str, tuple[type, bool]], where: str
) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TemplateFileError(f"{where}: expected a table, got {type(value).__name__}")
    for key in value:
        if key not in fields:
            raise TemplateFileError(f"{where}: unknown field {key!r}; known: {', '.join(fields)}")
    for key, (kind, required) in fields.items():
        if key not in value:
            if required:
                raise TemplateFileError(f"{where}: the field {key!r} is missing")
        elif type(value[key]) is not kind:
            raise TemplateFileError(
                f"{where}: {key!r} must be {kind.__name__}, not {type(value[key]).__name__}"
            )
    return value


def _strings(values: object, where: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise TemplateFileError(f"{where}: expected a list of strings")
    return tuple(values)
