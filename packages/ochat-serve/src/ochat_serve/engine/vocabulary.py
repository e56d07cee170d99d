"""The model's tokens as bytes, in the form in which grammar libraries read a tokenizer.

What a grammar allows is `grammar`'s business; this knows tokens only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ochat_templates import Codec

# Names tokens that text must never become: no byte is spelt with this character below, so no
# token of text can have such a name.
_CLOSED = "\ue000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What every id stands for.

    Attributes:
        token_bytes: The UTF-8 bytes of every id, by id; None for control tokens.
        end_id: The control token that ends an answer.
    """

    token_bytes: Sequence[bytes | None]
    end_id: int

    @classmethod
    def of(cls, codec: Codec) -> Vocabulary:
        """The tokens of a template on its tokenizer."""
        return cls(token_bytes=codec.token_bytes, end_id=codec.eot_id)

    def tokenizer_json(self) -> str:
        """A `tokenizer.json` that decodes as the model's tokenizer does; it cannot encode.

        Control tokens are special in it. Of several ids for the same bytes the last one counts:
        where a vocabulary has them, the earlier ones stand for single bytes.
        """
        last = {data: token for token, data in enumerate(self.token_bytes) if data}
        names: dict[str, int] = {}
        special: list[dict[str, object]] = []
        letters = _letters()
        for token, data in enumerate(self.token_bytes):
            if data and last[data] == token:
                names["".join([letters[byte] for byte in data])] = token
            else:
                names[self._closed_name(token)] = token
                special.append(_added_token(token, self._closed_name(token)))
        merges: list[str] = []  # they make ids of text, which nobody asks of it
        spelling: dict[str, object] = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
        }
        document: dict[str, object] = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": special,
            "normalizer": None,
            "pre_tokenizer": {**spelling, "use_regex": False},
            "post_processor": None,
            "decoder": {**spelling, "use_regex": False},
            "model": {"type": "BPE", "vocab": names, "merges": merges},
        }
        return json.dumps(document)

    def write(self, folder: Path) -> None:
        """Put files that Transformers loads as a tokenizer into a folder that exists."""
        (folder / "tokenizer.json").write_text(self.tokenizer_json())
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": self._closed_name(self.end_id),
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))

    @staticmethod
    def _closed_name(token: int) -> str:
        return f"{_CLOSED}{token}"


def _added_token(token: int, name: str) -> dict[str, object]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token, "content": name, "special": True, **plain}


def _letters() -> list[str]:
    """The printable character that stands for each byte in byte-level vocabularies.

    Bytes that are printable in Latin-1 stand for themselves, the others follow from U+0100 on.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    moved = {byte: chr(256 + place) for place, byte in enumerate(others)}
    return [moved.get(byte, chr(byte)) for byte in range(256)]
