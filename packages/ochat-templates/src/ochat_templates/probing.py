"""Does a text tokenizer still encode by the rule? Checked on fixed texts when a codec is made.

Each check gives findings: a named cause, what was seen, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import TokenizerError
from .template import Template
from .tokenizer import TextTokenizer

if TYPE_CHECKING:
    from .families import Family

# Texts that every lossless tokenizer gives back byte by byte, whatever its normaliser: starts with
# and without a space, runs of spaces, line breaks, indentation. Of a missing dummy prefix or of
# one that is added only sometimes, the first two tell.
KEPT_TEXTS = (
    "Hello",
    " Hello",
    "  two spaces",
    "Hello  there",
    "def f():\n    return  1\n",
    "\n\n- a\n\t- b",
    "GPT4 User:",
    "2018",
)


REMEDY = (
    "read the tokenizer.model itself with load_codec, or export an exact folder with: "
    "ochat-templates export tokenizer"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One way in which a tokenizer breaks the rule.

    Attributes:
        cause: The defect's name, such as `prefix-space scheme` or `id-ordered merges`.
        seen: What was encoded and what came out.
        remedy: What to do.
    """

    cause: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.cause}: {self.seen}; {self.remedy}"


def require_exact(
    template: Template, tokenizer: TextTokenizer, token_bytes: Sequence[bytes | None]
) -> None:
    """Refuses a tokenizer of which anything is found.

    Raises:
        TokenizerError: It breaks the rule; the text shows the first finding and names the others.
    """
    found = list(findings(template, tokenizer, token_bytes))
    if found:
        others = ", ".join(dict.fromkeys(each.cause for each in found[1:]))
        raise TokenizerError(f"{found[0]}{f' (found as well: {others})' if others else ''}")


def findings(
    template: Template, tokenizer: TextTokenizer, token_bytes: Sequence[bytes | None]
) -> Iterator[Finding]:
    """Everything that is wrong with the way a tokenizer encodes texts alone."""
    yield from _forgeries(tokenizer, tokenizer.control_ids)
    from .families import recognise  # reads a file: only when a tokenizer is there to be checked

    family = recognise(token_bytes)
    if family:
        yield from _golden_differences(template, family, tokenizer, token_bytes)
    yield from _changed_texts(tokenizer, token_bytes)


def _forgeries(tokenizer: TextTokenizer, control_ids: Mapping[str, int]) -> Iterator[Finding]:
    forbidden = frozenset(control_ids.values())
    for token in control_ids:
        for text in (token, f" {token}", f"a{token}b"):
            if not forbidden.isdisjoint(tokenizer.encode(text)):
                yield Finding(
                    cause="forgeable control token",
                    seen=f"the tokenizer turns the text {text!r} into a control token, so a user "
                    "could forge one",
                    remedy="declare it as a special added token, not as a user-defined piece",
                )
                break


def _golden_differences(
    template: Template,
    family: Family,
    tokenizer: TextTokenizer,
    token_bytes: Sequence[bytes | None],
) -> Iterator[Finding]:
    """Compares with the known ids of a published vocabulary, the template's among them."""
    told: set[str] = set()
    for text, expected in {**family.probes, **template.probes.get(family.name, {})}.items():
        got = tokenizer.encode(text)
        if got == list(expected):
            continue
        same_text = _joined(got, token_bytes) == _joined(expected, token_bytes)
        cause = "id-ordered merges" if same_text else "prefix-space scheme"
        if cause not in told:
            told.add(cause)
            yield Finding(
                cause=cause,
                seen=f"{text!r} is {got}, and {list(expected)} in the published tokenizer of "
                f"{family.title}",
                remedy=REMEDY,
            )


def _joined(ids: Sequence[int], token_bytes: Sequence[bytes | None]) -> bytes:
    return b"".join(token_bytes[token_id] or b"" for token_id in ids)


def _changed_texts(
    tokenizer: TextTokenizer, token_bytes: Sequence[bytes | None]
) -> Iterator[Finding]:
    """Every text comes back as it was, or every text with the dummy prefix in front."""
    prefixed: dict[bool, str] = {}
    for text in KEPT_TEXTS:
        ids = tokenizer.encode(text)
        got = _joined(ids, token_bytes).decode(errors="replace")
        if got not in (text, f" {text}"):
            if "\u2047" in got:
                continue  # a small vocabulary that lacks a character says nothing of the scheme
            yield Finding(
                cause="text not kept",
                seen=f"{text!r} comes back as {got!r}",
                remedy="use a tokenizer without a lossy normaliser or pre-tokenizer",
            )
            return
        prefixed.setdefault(got != text, text)
    if len(prefixed) == 2:
        yield Finding(
            cause="prefix-space scheme",
            seen=f"{prefixed[True]!r} gets a space in front and {prefixed[False]!r} does not, as "
            "the Metaspace pre-tokenizer does it",
            remedy=REMEDY,
        )
