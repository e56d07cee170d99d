"""Does a tokenizer file keep the rule: against itself, the golden cases, and its other backend."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from ochat_templates.checking import broken_goldens, broken_promises
from ochat_templates.codec import Codec
from ochat_templates.conversion import convert_sentencepiece
from ochat_templates.errors import TokenizerError
from ochat_templates.families import recognise
from ochat_templates.goldens import golden_cases
from ochat_templates.probing import findings
from ochat_templates.sampling import sample_texts
from ochat_templates.template import Template
from ochat_templates.tokenizer import (
    SENTENCEPIECE_FILE,
    TOKENIZERS_FILE,
    TextTokenizer,
    load_tokenizer,
)

from .comparing import Comparison
from .report import Cause, Check

# Texts are cheap, conversations less so: each is encoded about ten times.
TEXTS_PER_CONVERSATION = 10
BROKEN_GOLDEN, BROKEN_PROMISE = "golden case broken", "promise broken"


def probe(template: Template, tokenizer: TextTokenizer, comparison: Comparison) -> list[Cause]:
    """The checks that a codec makes when it is created, all of them."""
    found = list(findings(template, tokenizer, tokenizer.token_bytes()))
    name = "probe texts and spelt control tokens"
    comparison.checks.append(Check(name=name, checked=1, differing=bool(found)))
    return [Cause(name=each.cause, seen=each.seen, remedy=each.remedy) for each in found]


def check_promises(codec: Codec, comparison: Comparison, *, seed: int, cases: int) -> None:
    """Golden cases and seeded conversations through a codec."""
    family = recognise(codec.token_bytes)
    known = [
        case
        for case in golden_cases()
        if family and (case.template, case.family) == (codec.template.name, family.name)
    ]
    wrong = list(broken_goldens(codec))
    title = f"golden cases of {family.title if family else 'no known vocabulary'}"
    comparison.record(title, len(known), [([BROKEN_GOLDEN], problem) for problem in wrong])
    broken = [p for p in broken_promises(codec, seed=seed, cases=cases) if p not in wrong]
    name = "seeded conversations: prefix, weights, forgery, decoding, continuing"
    comparison.record(name, cases, [([BROKEN_PROMISE], problem) for problem in broken])


def check_other_files(
    codec: Codec, place: Path, comparison: Comparison, *, seed: int, cases: int
) -> list[str]:
    """A SentencePiece model against its own conversion, and against the folder's other file.

    Returns notes.
    """
    notes: list[str] = []
    model = place / SENTENCEPIECE_FILE if place.is_dir() else place
    if model.suffix != ".model":
        return notes
    texts = list(islice(sample_texts(codec.template, seed), cases * TEXTS_PER_CONVERSATION))
    expected = [(text, codec.encode_text(text)) for text in texts]
    try:
        converted = convert_sentencepiece(model, codec.template.control_tokens)
    except TokenizerError as error:
        notes.append(str(error))
    else:
        other = Codec.from_tokenizers(converted, codec.template)
        name = "texts through SentencePiece and through our conversion"
        comparison.compare(name, codec, expected, other.encode_text)
    beside = model.with_name(TOKENIZERS_FILE)
    if place.is_dir() and beside.exists():
        # Loaded without the checks of a codec, so that every difference is named.
        theirs = load_tokenizer(beside, codec.template.control_tokens)
        name = f"texts through {SENTENCEPIECE_FILE} and through {TOKENIZERS_FILE} beside it"
        comparison.compare(name, codec, expected, theirs.encode)
    return notes
