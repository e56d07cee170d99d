"""A conversation's tokens one a line, with text, loss weight and origin, for people to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .encoding import Encoded, Segment

_RESET = "\x1b[0m"
_CONTROL, _TRAINED, _FRAME = "\x1b[35m", "\x1b[32m", "\x1b[2m"
_HEADER = ("position", "id", "text", "weight", "origin")


def explain_tokens(
    encoded: Encoded,
    token_bytes: Sequence[bytes | None],
    control_ids: Mapping[str, int],
    *,
    color: bool,
) -> str:
    """A table with one line a token, aligned; see `Codec.explain`.

    Control tokens stand in their own spelling, text as a quoted literal, so that spaces, line
    breaks and bytes of half a character are seen.
    """
    names = {token_id: token for token, token_id in control_ids.items()}
    weights = encoded.weights()
    origins = _origins(encoded)
    rows = [
        (
            str(position),
            str(token_id),
            names.get(token_id) or _quoted(token_bytes[token_id] or b""),
            f"{weights[position]:g}",
            origins[position],
        )
        for position, token_id in enumerate(encoded.ids)
    ]
    widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
    lines = [_line(_HEADER, widths)]
    for row, token_id in zip(rows, encoded.ids, strict=True):
        line = _line(row, widths)
        if color:
            trained = row[3] != "0"
            paint = _CONTROL if token_id in names else _TRAINED if trained else _FRAME
            line = f"{paint}{line}{_RESET}"
        lines.append(line)
    return "\n".join(lines)


def _origins(encoded: Encoded) -> list[str]:
    origins = [""] * len(encoded.ids)
    for segment in encoded.segments:
        for position in range(segment.start, segment.end):
            origins[position] = _origin(segment)
    return origins


def _origin(segment: Segment) -> str:
    return segment.kind if segment.message is None else f"{segment.kind} {segment.message}"


def _quoted(data: bytes) -> str:
    try:
        return repr(data.decode())
    except UnicodeDecodeError:
        return repr(data)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    position, token_id, text, weight, origin = row
    return (
        f"{position:>{widths[0]}}  {token_id:>{widths[1]}}  {text:<{widths[2]}}  "
        f"{weight:>{widths[3]}}  {origin}"
    ).rstrip()
