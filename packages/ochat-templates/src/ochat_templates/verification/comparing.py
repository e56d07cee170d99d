"""Two encoders on the same texts: where they differ, and by which known defect.

The reference is a codec, which follows the rule; the other side is whatever is verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ochat_templates.codec import Codec
from ochat_templates.probing import REMEDY

from .rendering import text_of
from .report import Cause, Check, both_sides, shown

UNEXPLAINED = "unexplained difference"
# Metaspace "always" and "first", as Transformers 5 builds Llama tokenizers.
NO_SPACE_BEFORE_SPACE = "prefix-space scheme: none before text that starts with a space"
NO_SPACE_AFTER_CONTROL = "prefix-space scheme: none after a control token"
ID_ORDERED = "id-ordered merges"
FORGED = "special strings in text become control tokens"
DOUBLE_BOS = "double BOS"
CHANGED_TEXT = "text not kept"
ADDED_MATCHES = "added token matches text"
REMEDIES = {
    FORGED: "send token ids made by a codec, or let the tokenizer split special tokens",
    DOUBLE_BOS: "tokenize the rendered string with add_special_tokens=False",
    ADDED_MATCHES: "remove the added token, or train with it",
    CHANGED_TEXT: "use a tokenizer without a lossy normaliser",
}


@dataclass(slots=True, kw_only=True)
class Comparison:
    """What a comparison has found so far.

    Attributes:
        where: `tokenizer`, `transformers` or `server`.
        checks: One a list of texts.
        shortest: Cause to its shortest example.
        counts: Cause to how often it was seen.
    """

    where: str
    checks: list[Check] = field(default_factory=list)
    shortest: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, cause: str, seen: str) -> None:
        """Notes one difference under its cause; the shortest is shown."""
        known = self.shortest.get(cause)
        if known is None or len(seen) < len(known):
            self.shortest[cause] = seen
        self.counts[cause] = self.counts.get(cause, 0) + 1

    def causes(self) -> tuple[Cause, ...]:
        """The causes with an example each."""
        return tuple(
            Cause(
                name=name,
                seen=seen,
                remedy=REMEDIES.get(name, REMEDY),
                where=self.where,
                differing=self.counts[name],
            )
            for name, seen in self.shortest.items()
        )

    def compare(
        self,
        name: str,
        codec: Codec,
        cases: Iterable[tuple[str, Sequence[int]]],
        encode: Callable[[str], Sequence[int]],
    ) -> None:
        """Encodes every text of `cases` and names what differs from the ids beside it."""
        checked = differing = 0
        for text, expected in cases:
            checked += 1
            got = list(encode(text))
            if got != list(expected):
                differing += 1
                for cause in causes_of(codec, got, list(expected)):
                    self.add(cause, f"{shown(text)} gives {both_sides(got, expected)}")
        self.checks.append(Check(name=name, checked=checked, differing=differing))


def causes_of(codec: Codec, got: Sequence[int], expected: Sequence[int]) -> list[str]:
    """Names the known defects that lead from the expected ids to the given ones."""
    bos = codec.bos_id
    if bos is not None and list(got[:2]) == [bos, bos]:
        rest = list(got[1:])
        return [DOUBLE_BOS, *(causes_of(codec, rest, expected) if rest != list(expected) else [])]
    control = frozenset(codec.control_ids.values())
    if [i for i in got if i in control] != [i for i in expected if i in control]:
        return [FORGED if _more_control(got, expected, control) else UNEXPLAINED]
    causes: list[str] = []
    for ours, theirs in zip(_runs(expected, control), _runs(got, control), strict=True):
        if ours != theirs:
            causes.append(_cause_of_run(codec, theirs, ours))
    return list(dict.fromkeys(causes))


def _cause_of_run(codec: Codec, got: Sequence[int], expected: Sequence[int]) -> str:
    """Names what changed a run of text between two control tokens."""
    if any(i >= codec.vocab_size or codec.token_bytes[i] is None for i in got):
        return ADDED_MATCHES
    theirs, ours = text_of(codec, got), text_of(codec, expected)
    if theirs == ours:
        # The same text in other pieces: only the order of merges decides about that.
        return ID_ORDERED
    if f" {theirs}" != ours:
        return CHANGED_TEXT
    return NO_SPACE_BEFORE_SPACE if theirs.startswith(" ") else NO_SPACE_AFTER_CONTROL


def _more_control(got: Sequence[int], expected: Sequence[int], control: frozenset[int]) -> bool:
    return sum(i in control for i in got) > sum(i in control for i in expected)


def _runs(ids: Sequence[int], control: frozenset[int]) -> list[list[int]]:
    """The ids between control tokens; empty runs are kept, so that two lists have equal length."""
    runs: list[list[int]] = [[]]
    for token_id in ids:
        if token_id in control:
            runs.append([])
        else:
            runs[-1].append(token_id)
    return runs
