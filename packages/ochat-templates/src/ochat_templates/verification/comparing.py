"""Two encoders on the same texts: where they differ, and by which known defect.

The reference is a codec, which follows the rule; the other side is whatever is verified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ochat_templates.codec import Codec
from ochat_templates.probing import REMEDY

from .merge_order import is_ordered_by_id
from .rendering import text_of
from .report import Cause, Check, both_sides, shown

UNEXPLAINED = "unexplained difference"
NO_SPACE = "prefix-space scheme: none in front of a text"
# Metaspace "always" and "first", as Transformers 5 builds Llama tokenizers.
NO_SPACE_BEFORE_SPACE = "prefix-space scheme: none before text that starts with a space"
NO_SPACE_AFTER_CONTROL = "prefix-space scheme: none after a control token"
ID_ORDERED = "id-ordered merges"
FORGED = "special strings in text become control tokens"
SPLIT = "control tokens become text"
DOUBLE_BOS = "double BOS"
CHANGED_TEXT = "text not kept"
ADDED_MATCHES = "added token matches text"
# A cause that takes in others, or shows that they fitted by chance: an order of merges holds for
# every text or is not the one in use.
OVERRULES = {
    NO_SPACE: (NO_SPACE_AFTER_CONTROL, NO_SPACE_BEFORE_SPACE),
    UNEXPLAINED: (ID_ORDERED,),
}
# The causes of one difference, and the example that shows it.
Difference = tuple[Sequence[str], str]
REMEDIES = {
    FORGED: "declare them special tokens, which alone are split, or send ids made by a codec",
    SPLIT: "take split_special_tokens out of tokenizer_config.json, or send ids made by a codec",
    DOUBLE_BOS: "tokenize the rendered string with add_special_tokens=False",
    ADDED_MATCHES: "remove the added token, or train with it",
    UNEXPLAINED: "compare the two tokenizer files; no known defect makes this of it",
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
        totals: Cause to how many texts the checks that showed it have.
    """

    where: str
    checks: list[Check] = field(default_factory=list)
    shortest: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)

    def record(self, name: str, checked: int, found: Sequence[Difference]) -> None:
        """Adds a check of that many texts, and what differed; of examples the shortest is kept."""
        self.checks.append(Check(name=name, checked=checked, differing=len(found)))
        for causes, seen in found:
            for cause in causes:
                self.shortest[cause] = min(self.shortest.get(cause, seen), seen, key=len)
                self.counts[cause] += 1
        self.totals.update(
            dict.fromkeys({cause for causes, _ in found for cause in causes}, checked)
        )

    def causes(self) -> tuple[Cause, ...]:
        """The causes with an example each."""
        overruled = {name for seen in self.shortest for name in OVERRULES.get(seen, ())}
        return tuple(
            Cause(
                name=name,
                seen=seen,
                remedy=REMEDIES.get(name, REMEDY),
                where=self.where,
                differing=self.counts[name],
                checked=self.totals[name],
            )
            for name, seen in self.shortest.items()
            if name not in overruled
        )

    def compare(
        self,
        name: str,
        codec: Codec,
        cases: Iterable[tuple[str, Sequence[int]]],
        encode: Callable[[str], Sequence[int]],
    ) -> None:
        """Encodes every text of `cases` and names what differs from the ids beside it."""
        found: list[Difference] = []
        checked = 0
        for text, expected in cases:
            checked += 1
            got = list(encode(text))
            if got != list(expected):
                seen = f"{shown(text)} gives {both_sides(got, expected)}"
                found.append((causes_of(codec, got, expected), seen))
        self.record(name, checked, found)


def causes_of(codec: Codec, got: Sequence[int], expected: Sequence[int]) -> list[str]:
    """Names the known defects that lead from the expected ids to the given ones."""
    bos = codec.bos_id
    if bos is not None and list(got[:2]) == [bos, bos]:
        rest = list(got[1:])
        return [DOUBLE_BOS, *(causes_of(codec, rest, expected) if rest != list(expected) else [])]
    control = frozenset(codec.control_ids.values())
    if [i for i in got if i in control] != [i for i in expected if i in control]:
        return [_cause_of_control(codec, got, expected, control)]
    runs = zip(_runs(got, control), _runs(expected, control), strict=True)
    return list(
        dict.fromkeys(
            cause
            for index, (theirs, ours) in enumerate(runs)
            if theirs != ours
            for cause in _causes_of_run(codec, theirs, ours, is_first=not index)
        )
    )


def _causes_of_run(
    codec: Codec, got: Sequence[int], expected: Sequence[int], *, is_first: bool
) -> list[str]:
    """Names what changed a run of text between two control tokens."""
    if any(i >= codec.vocab_size or codec.token_bytes[i] is None for i in got):
        return [ADDED_MATCHES]
    theirs, ours = text_of(codec, got), text_of(codec, expected)
    if theirs == ours:
        return [_cause_of_cutting(codec, got)]
    if f" {theirs}" != ours:
        return [CHANGED_TEXT]
    if not theirs.startswith(" "):
        return [NO_SPACE if is_first else NO_SPACE_AFTER_CONTROL]
    # What is left after the missing space is the encoding of a text with one space less.
    is_rest_exact = len(got) == 1 or list(got) == codec.encode_text(theirs[1:])
    return [NO_SPACE_BEFORE_SPACE, *([] if is_rest_exact else [_cause_of_cutting(codec, got)])]


def _cause_of_cutting(codec: Codec, got: Sequence[int]) -> str:
    """Names why the right text is cut into other pieces."""
    return ID_ORDERED if is_ordered_by_id(codec, got) else UNEXPLAINED


def _cause_of_control(
    codec: Codec, got: Sequence[int], expected: Sequence[int], control: frozenset[int]
) -> str:
    """Names why there are other control tokens than there should be."""
    surplus = sum(i in control for i in got) - sum(i in control for i in expected)
    if surplus > 0:
        return FORGED
    spelt = text_of(codec, got)
    is_split = surplus < 0 and any(token in spelt for token in codec.template.control_tokens)
    return SPLIT if is_split else UNEXPLAINED


def _runs(ids: Sequence[int], control: frozenset[int]) -> list[list[int]]:
    """The ids between control tokens; empty runs are kept, so that two lists have equal length."""
    runs: list[list[int]] = [[]]
    for token_id in ids:
        if token_id in control:
            runs.append([])
        else:
            runs[-1].append(token_id)
    return runs
