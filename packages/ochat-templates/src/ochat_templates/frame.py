"""Frame: what a template puts around texts, as ids: the opening turns, role prefixes, ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .encoding import Mark

if TYPE_CHECKING:
    from .template import Piece, Template
    from .tokenizer import TextTokenizer

# Free conditions come from requests: what is kept of them must stay bounded.
_MOST_PREFIXES = 1024


class Frame:
    """A template's frame in a tokenizer's ids; role prefixes are encoded once a condition.

    Attributes:
        eot: The id that ends every turn.
        suffix: The ids after every end of turn.
    """

    def __init__(self, template: Template, tokenizer: TextTokenizer) -> None:
        """Takes a template whose control tokens the tokenizer has."""
        self._template = template
        self._tokenizer = tokenizer
        self._prefixes: dict[tuple[str, str], list[int]] = {}
        self._control_ids = dict(tokenizer.control_ids)
        self.eot = self._control_ids[template.eot]
        self.suffix = tokenizer.encode(template.turn_suffix)

    def opening(self, system: str, condition: str) -> tuple[list[int], list[Mark]]:
        """The ids before the first message, with the origin of each run of them.

        Raises:
            ConversationError: A system text is given and the template has no place for it.
        """
        ids: list[int] = []
        marks: list[Mark] = []
        if self._template.bos:
            marks.append(("bos", 0, None))
            ids.append(self._control_ids[self._template.bos])
        for kind, prefix, text in self._template.opening_turns(system, condition):
            marks.append(("prefix", len(ids), None))
            for piece in prefix:
                ids += self._piece_ids(piece)
            marks.append((kind, len(ids), None))
            ids += self._tokenizer.encode(text)
            marks.append(("eot", len(ids), None))
            ids.append(self.eot)
            marks.append(("suffix", len(ids), None))
            ids += self.suffix
        return ids, marks

    def prefix(self, role: str, condition: str) -> list[int]:
        """The ids before a message; not to be changed.

        Raises:
            RoleError: The template has no such role.
        """
        key = (role, condition)
        known = self._prefixes.get(key)
        if known is not None:
            return known
        pieces = self._template.role_prefix(role, condition)
        prefix = [token_id for piece in pieces for token_id in self._piece_ids(piece)]
        if len(self._prefixes) >= _MOST_PREFIXES:
            self._prefixes.clear()
        self._prefixes[key] = prefix
        return prefix

    def _piece_ids(self, piece: Piece) -> list[int]:
        if piece.is_control:
            return [self._control_ids[piece.text]]
        return self._tokenizer.encode(piece.text)
