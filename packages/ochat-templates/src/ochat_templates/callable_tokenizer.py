"""Any function from text to ids as a text tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .errors import TokenizerError


class CallableTokenizer:
    """Encodes text by a function that its user brings, and checks every id that it returns."""

    def __init__(
        self,
        encode: Callable[[str], Sequence[int]],
        control_ids: Mapping[str, int],
        token_bytes: Sequence[bytes | None],
    ) -> None:
        """Takes the function, the ids that text must never become, and the bytes of every id.

        Raises:
            TokenizerError: Two control tokens share an id, or one of the ids has text.
        """
        self._encode = encode
        self._control_ids = dict(control_ids)
        self._token_bytes = list(token_bytes)
        highest = max(self._control_ids.values(), default=-1)
        self._token_bytes += [None] * (highest + 1 - len(self._token_bytes))
        owners: dict[int, str] = {}
        for token, token_id in self._control_ids.items():
            if token_id in owners:
                raise TokenizerError(
                    f"the control tokens {owners[token_id]!r} and {token!r} share the id "
                    f"{token_id}; give each its own"
                )
            owners[token_id] = token
            if token_id < 0 or self._token_bytes[token_id] is not None:
                raise TokenizerError(
                    f"the control token {token!r} has the id {token_id}, which text has as well; "
                    "token_bytes must be None there"
                )
        self._forbidden = frozenset(owners)

    @property
    def control_ids(self) -> Mapping[str, int]:
        """The given control tokens."""
        return self._control_ids

    def encode(self, text: str) -> list[int]:
        """Encodes text alone.

        Raises:
            TokenizerError: The function returned a control id, or one without bytes.
        """
        ids = list(self._encode(text)) if text else []
        for token_id in ids:
            if token_id in self._forbidden or not 0 <= token_id < len(self._token_bytes):
                raise TokenizerError(
                    f"the given encoder turned the text {text[:40]!r} into the id {token_id}, "
                    "which is no id of text; it must encode control tokens as ordinary text"
                )
        return ids

    def encode_batch(self, texts: Sequence[str], threads: int) -> list[list[int]]:
        """Encodes each text alone; the function is never called by two threads."""
        del threads
        return [self.encode(text) for text in texts]

    def token_bytes(self) -> Sequence[bytes | None]:
        """The given bytes of every id."""
        return self._token_bytes
