"""Token ids of one answer to text that may be sent: no control tokens, cut at stop strings.

UTF-8 and the format's leading space are the codec's stream decoder's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ochat_templates import Codec


class StopScanner:
    """Cuts a stream of text at the first stop string, however the text was split.

    Text that could still become a stop string is held back.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """Take the stop strings; none of them empty."""
        self._stops = tuple(stops)
        self._longest = max((len(stop) for stop in stops), default=0)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Give the text that has become certain, and whether a stop string ended it."""
        if not self._stops:
            return text, False
        text = self._held + text
        ends = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if ends:
            self._held = ""
            return text[: min(ends)], True
        keep = self._possible_start(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def finish(self) -> str:
        """Give what was held back: no stop string completes it any more."""
        held, self._held = self._held, ""
        return held

    def _possible_start(self, text: str) -> int:
        """Length of the longest end of `text` that begins some stop string."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[len(text) - length :]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0


class AnswerText:
    """The text of one answer, piece by piece."""

    def __init__(
        self,
        codec: Codec,
        *,
        stops: Sequence[str] = (),
        continued: str = "",
        context_ids: Sequence[int] = (),
        skip_special_tokens: bool = True,
    ) -> None:
        """Prepare decoding.

        Args:
            codec: Decodes the ids.
            stops: Texts that end the answer.
            continued: The partial answer that the model continues; the space that opens the
                continuation is then text and not the format's.
            context_ids: Ids of a text that the model continues; as `continued`.
            skip_special_tokens: Whether control tokens are left out of the text.
        """
        self._decoder = codec.stream_decoder()
        if continued or context_ids:
            self._decoder.push(context_ids or codec.encode_text(continued))
        self._scanner = StopScanner(stops)
        self._spelling = {} if skip_special_tokens else {i: t for t, i in codec.control_ids.items()}
        self._plain = not stops and not self._spelling

    def push(self, ids: Sequence[int]) -> tuple[str, bool]:
        """Give the text that has become certain, and whether a stop string ended it."""
        if self._plain:
            return self._decoder.push(ids), False
        return self._scanner.push(self._decode(ids))

    def finish(self) -> tuple[str, bool]:
        """Give the rest at the end of the answer, and whether a stop string ended it."""
        text, stopped = self._scanner.push(self._decoder.finish())
        return (text, True) if stopped else (text + self._scanner.finish(), False)

    def _decode(self, ids: Sequence[int]) -> str:
        if not self._spelling:
            return self._decoder.push(ids)
        return "".join(self._decoder.push((i,)) + self._spelling.get(i, "") for i in ids)
