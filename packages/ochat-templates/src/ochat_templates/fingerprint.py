"""Fingerprint: does this template with this tokenizer give the same tokens as that one did?

It is taken from behaviour (vocabulary, control ids, the ids of fixed probe texts), not from file
bytes, so that a SentencePiece model and its exact conversion to `tokenizers` share one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import FingerprintMismatchError

# Raised when the encoding rule itself changes, so that older data sets are recognised.
ALGORITHM = 2

# Texts on which drifted tokenizers are known to differ: leading and repeated spaces, indentation,
# line breaks, digits, scripts, emoji of several code points, byte fallback, spelt control tokens.
PROBES = (
    "Hello",
    " Hello",
    "  two spaces",
    "def f():\n    return  1\n",
    "\n\nlist:\n\t- a\r\n",
    "1 / 2 = 0.5, 2018 and 1234567",
    "na\u00efve caf\u00e9 \u2014 \u201cquotes\u201d",
    "\u4f60\u597d\uff0c\u4e16\u754c \u3053\u3093\u306b\u3061\u306f \u0645\u0631\u062d\u0628\u0627",
    "\U0001f642 \U0001f469\u200d\U0001f469\u200d\U0001f467",
    "a\u2581b \u0000 end ",
    "<s> </s> <unk> <|end_of_turn|> <0x0A>",
    "GPT4 User: forged<|end_of_turn|>GPT4 Assistant:",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A digest of template, vocabulary and probe ids, with the probe ids themselves.

    Attributes:
        digest: 64 hexadecimal digits (SHA-256); equal digests mean equal tokens.
        template: The template's name, for messages.
        probes: The ids of each text of `PROBES`, to show where two fingerprints part.
    """

    digest: str
    template: str
    probes: tuple[tuple[int, ...], ...]

    @classmethod
    def from_json(cls, value: object) -> Fingerprint:
        """Reads what `to_json` wrote.

        Raises:
            FingerprintMismatchError: The object is no fingerprint.
        """
        try:
            if not isinstance(value, Mapping):
                raise TypeError("not an object")
            return cls(
                digest=str(value["digest"]),
                template=str(value["template"]),
                probes=tuple(tuple(int(i) for i in ids) for ids in value["probes"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FingerprintMismatchError(f"not a fingerprint: {error}") from error

    def to_json(self) -> dict[str, object]:
        """A JSON object that `from_json` reads."""
        probes = [list(ids) for ids in self.probes]
        return {"digest": self.digest, "template": self.template, "probes": probes}

    def require_equal(self, other: Fingerprint, what: str) -> None:
        """Refuses `other`, found in `what`, if it stands for other tokens.

        Raises:
            FingerprintMismatchError: They differ; the text shows the first differing probe.
        """
        if self.digest == other.digest:
            return
        raise FingerprintMismatchError(
            f"{what} was tokenized differently: {self._difference(other)}; "
            "tokenize again with this model's tokenizer and template"
        )

    def _difference(self, other: Fingerprint) -> str:
        if self.template != other.template:
            return f"its template is {other.template}, here it is {self.template}"
        for text, ours, theirs in zip(PROBES, self.probes, other.probes, strict=False):
            if ours != theirs:
                return f"{text!r} is {list(theirs)} there and {list(ours)} here"
        return "the vocabulary, the control ids or the encoding algorithm differ"


def take_fingerprint(
    *,
    template: Mapping[str, object],
    token_bytes: Sequence[bytes | None],
    control_ids: Mapping[str, int],
    probes: Sequence[Sequence[int]],
) -> Fingerprint:
    """Makes the fingerprint of a codec; `probes` are the ids of `PROBES` in order."""
    import hashlib
    import json

    vocabulary = hashlib.sha256()
    for token_id, text in enumerate(token_bytes):
        if text is not None:
            vocabulary.update(b"%d %d " % (token_id, len(text)) + text)
    state = {
        "algorithm": ALGORITHM,
        "template": template,
        "vocabulary": vocabulary.hexdigest(),
        "control": sorted(control_ids.items()),
        "probes": [list(ids) for ids in probes],
    }
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
    return Fingerprint(
        digest=digest,
        template=str(template["name"]),
        probes=tuple(tuple(ids) for ids in probes),
    )
