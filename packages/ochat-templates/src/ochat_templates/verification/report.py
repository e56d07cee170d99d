"""Report: what was compared, what differed, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

_SHOWN_IDS = 8
_SHOWN_TEXT = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison.

    Attributes:
        name: What was compared with what.
        checked: How many texts, conversations or cases.
        differing: How many of them differed.
    """

    name: str
    checked: int
    differing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why something differed.

    Attributes:
        name: The defect, such as `prefix-space scheme` or `id-ordered merges`.
        seen: An example with both sides.
        remedy: What to do.
        where: Where it was seen: `tokenizer`, `transformers` or `server`.
        differing: How many texts or conversations showed it; 0 where it was not counted.
        checked: Of how many.
    """

    name: str
    seen: str
    remedy: str
    where: str = "tokenizer"
    differing: int = 0
    checked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `verify` found.

    Attributes:
        template: The template's name.
        tokenizer: What was verified.
        checks: Everything that was compared.
        causes: Why something differed; empty if and only if all is exact.
        notes: What is in order but dangerous, such as a call that would forge control tokens.
    """

    template: str
    tokenizer: str
    checks: tuple[Check, ...]
    causes: tuple[Cause, ...]
    notes: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether nothing differed."""
        return not self.causes

    def to_json(self) -> dict[str, object]:
        """The report as one JSON object."""
        return {**asdict(self), "exact": self.exact}

    def to_text(self) -> str:
        """The report for people; the last line is the verdict."""
        lines = [f"{self.tokenizer} as {self.template}"]
        for check in self.checks:
            state = f"{check.differing} differ" if check.differing else "all equal"
            lines.append(f"  {check.name}: {check.checked} checked, {state}")
        for cause in self.causes:
            counted = f" ({cause.differing} of {cause.checked})" if cause.differing else ""
            lines += [f"{cause.where}: {cause.name}{counted}", f"    seen:   {cause.seen}"]
            lines.append(f"    remedy: {cause.remedy}")
        lines += [f"note: {note}" for note in self.notes]
        names = ", ".join(dict.fromkeys(cause.name for cause in self.causes))
        lines.append("EXACT" if self.exact else f"NOT EXACT: {names}")
        return "\n".join(lines)


def shown(text: str) -> str:
    """A text, quoted and shortened."""
    return repr(text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}...")


def both_sides(theirs: Sequence[int], ours: Sequence[int]) -> str:
    """Two lists of ids from where they part."""
    at = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), None)
    start = min(len(theirs), len(ours)) if at is None else at
    return f"from token {start} on {_cut(theirs, start)} instead of {_cut(ours, start)}"


def _cut(ids: Sequence[int], start: int) -> str:
    part = [str(token_id) for token_id in ids[start : start + _SHOWN_IDS]]
    return f"[{', '.join(part)}{', ...' if len(ids) > start + _SHOWN_IDS else ''}]"
