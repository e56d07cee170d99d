"""Makes encoded examples fit a length: by cutting, by turns, by splitting, or not at all.

Works on tokens and where they came from; which policy a dataset was made with, its manifest says.
"""

from __future__ import annotations

from dataclasses import dataclass

from ochat_templates import Encoded, Span

# cut: the first tokens (2023); cut-trim: the same, less the tail that has no weight (2024);
# turns: the exchanges that fit whole; split: several examples, cut between exchanges.
TRUNCATIONS = ("cut", "cut-trim", "turns", "split", "drop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What became of one example.

    Attributes:
        examples: What is kept; none if it was dropped.
        lost: Tokens that are in none of them.
    """

    examples: tuple[Encoded, ...]
    lost: int = 0


def fit(encoded: Encoded, length: int, policy: str) -> Fitted:
    """Fits an example into `length` tokens, by one of `TRUNCATIONS`."""
    size = len(encoded.ids)
    if policy == "cut-trim":
        kept = trim(cut(encoded, length))
        return Fitted(examples=(kept,) if kept.ids else (), lost=size - len(kept.ids))
    if size <= length:
        return Fitted(examples=(encoded,))
    if policy == "drop":
        return Fitted(examples=(), lost=size)
    if policy == "split":
        return _split(encoded, length)
    if policy == "turns":
        fitting = [end for end in exchange_ends(encoded) if end <= length]
        kept = cut(encoded, fitting[-1] if fitting else length)
    else:
        kept = cut(encoded, length)
    return Fitted(examples=(kept,), lost=size - len(kept.ids))


def cut(encoded: Encoded, length: int) -> Encoded:
    """The first `length` tokens, with their spans."""
    return piece(encoded, 0, length)


def trim(encoded: Encoded) -> Encoded:
    """The example without the tokens at its end that carry no weight."""
    ends = [span.end for span in encoded.spans if span.weight]
    return cut(encoded, max(ends, default=0))


def piece(encoded: Encoded, start: int, end: int, header: int = 0) -> Encoded:
    """The first `header` tokens and then `[start, end)`, with their spans."""
    move = header - start
    spans = [
        Span(start=max(span.start, low) + by, end=min(span.end, high) + by, weight=span.weight)
        for low, high, by in ((0, header, 0), (start, end, move))
        for span in encoded.spans
        if max(span.start, low) < min(span.end, high)
    ]
    marks = [
        (kind, max(at, low) + by, message)
        for low, high, by in ((0, header, 0), (start, end, move))
        for kind, at, message in encoded.marks
        if low <= at < high
    ]
    ids = encoded.ids[:header] + encoded.ids[start:end]
    return Encoded(ids=ids, spans=tuple(spans), marks=tuple(marks))


def message_starts(encoded: Encoded) -> list[int]:
    """Where each message begins, its role prefix included; the first one ends the header."""
    starts: dict[int, int] = {}
    for _, at, message in encoded.marks:
        if message is not None:
            starts.setdefault(message, at)
    return [starts[message] for message in sorted(starts)]


def exchange_ends(encoded: Encoded) -> list[int]:
    """The places behind each trained message, where a conversation can end."""
    starts = message_starts(encoded)
    ends = [*starts[1:], len(encoded.ids)]
    return [
        end
        for start, end in zip(starts, ends, strict=True)
        if any(start <= span.start < end for span in encoded.spans)
    ]


def _split(encoded: Encoded, length: int) -> Fitted:
    """Whole exchanges, as many as fit, behind the header; one too long for itself is cut."""
    starts, ends = message_starts(encoded), exchange_ends(encoded)
    header = starts[0] if starts else 0
    if not ends or header >= length:
        kept = cut(encoded, length)
        return Fitted(examples=(kept,), lost=len(encoded.ids) - length)
    room = length - header
    pieces: list[tuple[int, int]] = []
    begin = header
    for index, end in enumerate(ends):
        following = ends[index + 1] if index + 1 < len(ends) else None
        if following is None or following - begin > room:
            pieces.append((begin, end))
            begin = end
    tail = len(encoded.ids) - begin  # questions that nobody answered
    examples = tuple(piece(encoded, start, min(end, start + room), header) for start, end in pieces)
    cut_off = sum(max(0, end - start - room) for start, end in pieces)
    return Fitted(examples=examples, lost=cut_off + tail)
