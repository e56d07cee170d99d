"""Which language a conversation is in, told offline.

The words of code say nothing about it, and a short text says too little, so both are left out; the
messages vote, each with as many votes as it has letters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from .record import Record

UNDETERMINED = "und"  # ISO 639-2: nobody can tell
# A detector's certainty grows little beyond this, its cost does.
_MOST_CHARACTERS = 1000
_FEWEST_LETTERS = 20
_LEAST_CERTAINTY = 0.5
_NO_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\$\$.*?\$\$", re.DOTALL)
_LETTERS = re.compile(r"[^\W\d_]")

Detector = Callable[[str], tuple[str, float]]


def open_detector(fasttext_model: Path | None = None) -> Detector:
    """Opens a detector: text to an ISO 639-1 code and its probability.

    Args:
        fasttext_model: A fastText identification model such as `lid.176.ftz`; None means the
            models that come with the package py3langid.

    Raises:
        InputError: The package or the file is missing.
    """
    return _fasttext(fasttext_model) if fasttext_model else _langid()


def conversation_language(record: Record, detect: Detector) -> str:
    """The language of most of a record's prose; `und` where there is too little of it."""
    texts = [message.content for message in record.conversation.messages]
    votes: Counter[str] = Counter()
    for text in texts or [record.text]:
        prose = _NO_PROSE.sub(" ", text)[:_MOST_CHARACTERS].replace("\n", " ")
        letters = len(_LETTERS.findall(prose))
        if letters < _FEWEST_LETTERS:
            continue
        language, certainty = detect(prose)
        votes[language if certainty >= _LEAST_CERTAINTY else UNDETERMINED] += letters
    return max(sorted(votes), key=votes.__getitem__) if votes else UNDETERMINED


@cache
def _langid() -> Detector:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise InputError("telling languages needs: pip install 'ochat-data[lang]'") from error
    identifier: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def detect(text: str) -> tuple[str, float]:
        language, certainty = identifier.classify(text)
        return str(language), float(certainty)

    return detect


def _fasttext(path: Path) -> Detector:
    try:
        import fasttext
    except ImportError as error:
        raise InputError("a fastText model needs: pip install 'ochat-data[fasttext]'") from error
    try:
        model: Any = fasttext.load_model(str(path))
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{path} is no fastText model: {error}") from error

    def detect(text: str) -> tuple[str, float]:
        labels, probabilities = model.predict(text.replace("\n", " "))
        if not labels:
            return UNDETERMINED, 0.0
        return str(labels[0]).removeprefix("__label__"), float(probabilities[0])

    return detect
