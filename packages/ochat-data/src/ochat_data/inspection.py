"""Shows people what is in a record or a token dataset: text, tokens, weights, totals.

Returns lines of text; reading files and choosing examples is the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ochat_templates import Codec

    from .manifest import Manifest, Totals
    from .record import Record

_GREEN, _DIM, _PLAIN = "\x1b[32m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRun:
    """Tokens `[start, start + len(ids))` that share one weight."""

    start: int
    ids: tuple[int, ...]
    weight: float


def token_runs(ids: Sequence[int], weights: Sequence[float]) -> list[TokenRun]:
    """Cuts a sequence where the weight changes."""
    runs: list[TokenRun] = []
    start = 0
    for end in range(1, len(ids) + 1):
        if end == len(ids) or weights[end] != weights[start]:
            run = TokenRun(start=start, ids=tuple(ids[start:end]), weight=float(weights[start]))
            runs.append(run)
            start = end
    return runs


def token_lines(runs: Sequence[TokenRun], codec: Codec | None, *, colour: bool) -> Iterator[str]:
    """One line a run; with a codec the text of each token, without one its id."""
    for run in runs:
        shown = " ".join(map(str, run.ids)) if codec is None else "|".join(_texts(run.ids, codec))
        where = f"{run.start:>6}..{run.start + len(run.ids):<6} weight {run.weight:<6g} "
        if colour:
            shown = f"{_GREEN if run.weight else _DIM}{shown}{_PLAIN}"
        yield where + shown


def manifest_lines(manifest: Manifest) -> Iterator[str]:
    """The summary of a token dataset."""
    truncation = manifest.truncation
    yield f"template       {manifest.template}"
    yield f"fingerprint    {manifest.fingerprint.digest}"
    yield f"vocabulary     {manifest.vocab_size}"
    yield (
        f"length         at most {manifest.context_length} tokens "
        f"({truncation.policy}: {truncation.cut} cut, {truncation.dropped} dropped)"
    )
    listed = "; ".join(
        f"{condition or '(no condition)'}: {', '.join(f'{weight:g}' for weight in weights)}"
        for condition, weights in manifest.weights.items()
    )
    yield f"weights        {manifest.weight_preset} ({listed})"
    for source in manifest.sources:
        yield f"source         {source.name}, {source.records} records, {source.sha256[:12]}"
    yield ""
    yield f"{'split':<7}{'condition':<16}{'examples':>12}{'tokens':>14}{'supervised':>14}  weight"
    for name, split in manifest.splits.items():
        for condition, totals in split.conditions.items():
            yield _totals_line(name, condition or "-", totals)
        yield _totals_line(name, "all", split.totals)


def record_lines(record: Record) -> Iterator[str]:
    """A record as people read it, with the weight of each message."""
    conversation = record.conversation
    yield f"id         {record.id}"
    yield f"source     {record.source or '-'}"
    yield f"model      {record.model or '-'}"
    yield f"condition  {conversation.condition or '-'}"
    if conversation.system:
        yield f"system     {conversation.system}"
    for message in conversation.messages:
        yield ""
        yield f"{message.role} (weight {message.loss_weight:g})"
        yield message.content


def _totals_line(split: str, condition: str, totals: Totals) -> str:
    return (
        f"{split:<7}{condition:<16}{totals.examples:>12,}{totals.tokens:>14,}"
        f"{totals.supervised_tokens:>14,}  {totals.loss_weight:,.1f}"
    )


def _texts(ids: Sequence[int], codec: Codec) -> Iterator[str]:
    """The text of each token; the bytes of a split character appear at its last token."""
    names = {token_id: name for name, token_id in codec.control_ids.items()}
    decoder = codec.stream_decoder()
    for token_id in ids:
        text = names.get(token_id) or decoder.push([token_id])
        yield text.replace("\n", "\\n")
