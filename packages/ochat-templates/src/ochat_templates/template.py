"""Template: a chat format as data: control tokens, role prefixes, condition and system rules.

Knows the strings of a format and which conditions it allows, but no tokens; `template_file` reads
one from TOML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from .errors import ConditionError, ConversationError, RoleError

if TYPE_CHECKING:
    from pathlib import Path

PLACEHOLDER = "{condition}"
# A free condition comes from a request and stands in front of every turn: one short line.
LONGEST_CONDITION = 100


class Piece(NamedTuple):
    """A part of a turn's frame: a control token, or text that is encoded alone."""

    text: str
    is_control: bool


class OpeningTurn(NamedTuple):
    """A turn before the first message: its prefix, and its text, which is encoded alone."""

    kind: Literal["condition", "system"]
    prefix: tuple[Piece, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionRule:
    """Which conditions a template allows, and which one stands for a missing one.

    Attributes:
        allowed: The allowed conditions; empty means that any short line of text is one.
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
    """A chat format.

    Attributes:
        name: The published model type, such as `openchat_v3.2`.
        aliases: Other names of the same format.
        description: One line for people.
        context_length: Tokens that the published models were trained on.
        bos: The control token that opens a conversation; empty where there is none.
        eot: The control token that ends every turn.
        prefix_controls: Further control tokens, which role prefixes are made of.
        stop: The control tokens that end generation; `eot` is among them.
        reserved: Control tokens of the vocabulary that the format has no use for; text must not
            become them either.
        roles: Role to prefix; a prefix may hold `{condition}` and control tokens.
        turn_suffix: Text after every end of turn, such as a line break; never trained.
        condition: The condition rule.
        system_allowed: Whether a system text may be given. It is a turn of its own, after the
            prefix of the role `system` where `roles` has one.
        strip_leading_space: Whether the first space of an answer belongs to the format.
        weights: Role to the loss weight of a message that names none.
        weight_presets: Release to the name of the loss weighting it was trained with, as
            ochat-data calls it.
        probes: Tokenizer family to texts with their published or measured ids, each text encoded
            alone; `verify` holds a tokenizer of that family against them.
    """

    name: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    context_length: int
    bos: str = ""
    eot: str
    prefix_controls: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    reserved: tuple[str, ...] = ()
    roles: Mapping[str, str]
    turn_suffix: str = ""
    condition: ConditionRule = field(default_factory=ConditionRule)
    system_allowed: bool = False
    strip_leading_space: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)
    weight_presets: Mapping[str, str] = field(default_factory=dict)
    probes: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)

    @classmethod
    def from_toml(cls, path: str | Path) -> Template:
        """Reads a template file.

        Raises:
            TemplateFileError: The file is missing, is no TOML, or breaks the schema; the text
                names file and field.
        """
        from .template_file import read_template

        return read_template(path)

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """The control tokens, in the order in which a bare tokenizer file gets their ids."""
        wanted = (self.bos, self.eot, *self.prefix_controls, *self.stop, *self.reserved)
        return tuple(dict.fromkeys(token for token in wanted if token))

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
        if not rule.allowed:
            self._require_free_condition(condition)
        return condition

    def _require_free_condition(self, condition: str) -> None:
        if len(condition) > LONGEST_CONDITION:
            problem = f"has {len(condition)} characters, more than {LONGEST_CONDITION}"
        elif not condition.isprintable() or condition != condition.strip():
            problem = "is not one line of printable text without spaces around it"
        elif any(token in condition for token in self.control_tokens):
            problem = "spells a control token"
        else:
            return
        shown = condition if len(condition) <= LONGEST_CONDITION else f"{condition[:20]}..."
        raise ConditionError(
            f"the condition {shown!r} {problem}; conditions are short labels such as "
            f"{self.condition.default!r}"
        )

    def role_prefix(self, role: str, condition: str) -> tuple[Piece, ...]:
        """What stands before a message, such as the text `GPT4 User:`.

        Args:
            role: A role of the template.
            condition: A condition that `resolve_condition` has returned.

        Raises:
            RoleError: The template has no such role.
        """
        try:
            pattern = self.roles[role]
        except KeyError:
            known = ", ".join(self.roles)
            raise RoleError(f"{self.name} has no role {role!r}; its roles are {known}") from None
        # Control tokens are told apart in the pattern, before a condition could spell one.
        return tuple(
            piece if piece.is_control else Piece(_fill(piece.text, condition), is_control=False)
            for piece in _pieces(pattern, self.control_tokens)
        )

    def opening_turns(self, system: str, condition: str) -> tuple[OpeningTurn, ...]:
        """The turns before the first message: the condition's, then the system text's.

        Raises:
            ConversationError: A system text is given and the template has no place for it.
        """
        turns: list[OpeningTurn] = []
        if self.condition.turn:
            turns.append(OpeningTurn("condition", (), _fill(self.condition.turn, condition)))
        if system:
            if not self.system_allowed:
                raise ConversationError(f"{self.name} has no system text; leave it out")
            prefix = self.role_prefix("system", "") if "system" in self.roles else ()
            turns.append(OpeningTurn("system", prefix, system))
        return tuple(turns)

    def default_weight(self, role: str) -> float:
        """The loss weight of a message of this role that names none."""
        return self.weights.get(role, 1.0 if role == "assistant" else 0.0)

    def to_json(self) -> dict[str, object]:
        """Everything that decides how a conversation is encoded, for the fingerprint."""
        rule = self.condition
        return {
            "name": self.name,
            "bos": self.bos,
            "eot": self.eot,
            "prefix_controls": list(self.prefix_controls),
            "stop": list(self.stop),
            "reserved": list(self.reserved),
            "roles": dict(self.roles),
            "turn_suffix": self.turn_suffix,
            "condition": [list(rule.allowed), rule.default, rule.unlabelled, rule.turn],
            "system_allowed": self.system_allowed,
            "strip_leading_space": self.strip_leading_space,
            "weights": dict(self.weights),
        }


def _fill(pattern: str, condition: str) -> str:
    if PLACEHOLDER not in pattern or condition:
        return pattern.replace(PLACEHOLDER, condition)
    # The published rule since 2024: f"{condition} {role}:".strip()
    return pattern.replace(PLACEHOLDER, "").strip()


@lru_cache(maxsize=256)
def _pieces(pattern: str, control_tokens: tuple[str, ...]) -> tuple[Piece, ...]:
    """Cuts a prefix pattern at its control tokens, the longest spelling first."""
    spellings = sorted(control_tokens, key=len, reverse=True)
    cut = re.split("(" + "|".join(re.escape(token) for token in spellings) + ")", pattern)
    return tuple(Piece(text, is_control=index % 2 == 1) for index, text in enumerate(cut) if text)
