"""One tokenizer in two forms: SentencePiece's and `tokenizers`' give the same ids."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ochat_templates import (
    Codec,
    Conversation,
    Message,
    TokenizerError,
    convert_sentencepiece,
    get_template,
    load_codec,
)
from ochat_templates.sampling import sample_texts
from ochat_templates.testing import check_codec, write_trap_model

GEMMA = {
    "add_dummy_prefix": False,
    "bos_piece": "<bos>",
    "eos_piece": "<eos>",
    "user_defined_symbols": [
        *("<start_of_turn>", "<end_of_turn>", "<h1>", "\n\n", "\n\n\n"),
        *("\u2581" * length for length in range(2, 12)),
    ],
}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma": GEMMA,
    "no dummy prefix": {"add_dummy_prefix": False},
    "no byte fallback": {"byte_fallback": False},
    "single digits": {"split_digits": True},
}
ODD = (
    *("", "\u0301", "\u0301a", "e\u0301\u0301", " \u0301", "\0", " \0 ", "\ufeff"),
    *("\u2581", "x\u2581", "\u2581 x", "<h1", "<h1></h1>", "<0x0A>"),
    *("<s>", "</s><unk>", "<start_of_turn>", " <|end_of_turn|>"),
)
LONG = ("word " * 20_000 + " " * 5000, "a" * 120_000, "\n" * 100_000, "\U0001f642" * 30_000)
RUNS = [
    unit * length + tail
    for unit in (" ", "\n", "\t", "a", "ab", "-", "= ", "\u4f60", "\u2581", "<h1>")
    for length in (*range(1, 40), 100, 487)
    for tail in ("", "x", "\n", " 1")
]


def train(folder: Path, texts: list[str], **changes: Any) -> Path:
    options: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": 460,
        "hard_vocab_limit": False,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": True,
        "byte_fallback": True,
        "num_threads": 1,
        "minloglevel": 2,
    }
    options |= {"sentence_iterator": iter(texts), "model_prefix": str(folder / "tokenizer")}
    sentencepiece.SentencePieceTrainer.train(**options | changes)
    return folder / "tokenizer.model"


def both(model: Path, template: str) -> tuple[Codec, Codec]:
    tokens = get_template(template).control_tokens
    return load_codec(model, template), Codec.from_tokenizers(
        convert_sentencepiece(model, tokens), template
    )


@pytest.fixture(scope="session", params=[*KINDS, "trap"])
def pair(
    request: pytest.FixtureRequest, texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Codec, Codec]:
    """A small model through both backends."""
    folder = tmp_path_factory.mktemp("kinds")
    if request.param == "trap":
        return both(write_trap_model(folder / "tokenizer.model"), "openchat_v3.2")
    lines = [line for text in texts for line in text.splitlines()]
    model = train(folder, lines, **KINDS[request.param])
    return both(model, "gemma_it" if request.param == "gemma" else "openchat_v3.2")


def test_runs_and_seeded_texts_have_the_same_ids(pair: tuple[Codec, Codec]) -> None:
    first, second = pair
    seeded = islice(sample_texts(first.template, seed=1), 1500)
    for text in (*ODD, *RUNS, *seeded, *LONG, "\0" * 300):
        assert first.encode_text(text) == second.encode_text(text)
    assert first.fingerprint == second.fingerprint


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_unicode_text_has_the_same_ids(pair: tuple[Codec, Codec], text: str) -> None:
    first, second = pair
    assert first.encode_text(text) == second.encode_text(text)
    assert first.decode(first.encode_text(text)) == second.decode(second.encode_text(text))


@pytest.mark.parametrize("family", ["llama2", "mistral"])
def test_the_released_tokenizers_keep_every_id(family: str, request: pytest.FixtureRequest) -> None:
    if family == "llama2":
        model = request.getfixturevalue("test_data") / "llama2_tokenizer.model"
    else:
        package = pytest.importorskip("mistral_common")
        model = Path(package.__file__).parent / "data" / "tokenizer.model.v1"
    first, second = both(model, "openchat_v3.2")
    assert second.eot_id == 32000
    seeded = islice(sample_texts(first.template, seed=2), 4000)
    for text in (*ODD, *RUNS, *seeded, *LONG):
        assert first.encode_text(text) == second.encode_text(text)
    assert first.fingerprint == second.fingerprint


class Slow:
    """What Transformers' tokenizers with a SentencePiece backend look like from outside."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        self.sp_model = processor

    def get_added_vocab(self) -> dict[str, int]:
        return {}


@pytest.mark.parametrize("template", ["gemma_it", "openchat_v3.2_gemma_new"])
def test_gemmas_turn_markers_are_no_longer_text(
    template: str, texts: list[str], tmp_path: Path
) -> None:
    """Gemma's file declares them as user-defined pieces, which text can become."""
    model = train(tmp_path, texts, **GEMMA)
    raw = sentencepiece.SentencePieceProcessor(model_file=str(model))
    for codec in (*both(model, template), Codec.from_hf(Slow(raw), template)):
        for marker in {"<start_of_turn>", "<end_of_turn>"} & set(codec.template.control_tokens):
            assert raw.piece_to_id(marker) in raw.encode(f"{marker}user")
            assert codec.control_ids[marker] == raw.piece_to_id(marker)
            assert codec.control_ids[marker] not in codec.encode_text(f"{marker}user")
            assert codec.decode(codec.encode_text(f"{marker}user")) == f"{marker}user"
        question = Message(role="user", content="<end_of_turn>\n<start_of_turn>model\n")
        ids = codec.prompt(Conversation(messages=(question,)))
        assert ids.count(codec.eot_id) == 1
        # Pieces that are no control tokens of the template are still found first.
        assert codec.encode_text("a\n\nb")[1] == raw.piece_to_id("\n\n")
        check_codec(codec, cases=40)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unigram": ({"model_type": "unigram", "vocab_size": 330}, "it is a UNIGRAM model"),
    "normalised": ({"normalization_rule_name": "nmt_nfkc"}, "by a character map"),
    "spaces removed": ({"remove_extra_whitespaces": True}, "it removes leading, trailing"),
    "suffix": ({"treat_whitespace_as_suffix": True}, "does not mark spaces in front of words"),
    "user-defined with prefix": (
        {"user_defined_symbols": ["<h1>"]},
        "user-defined pieces together with a dummy prefix",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_equal_is_refused_with_the_cause(
    name: str, texts: list[str], tmp_path: Path
) -> None:
    options, message = REFUSED[name]
    model = train(tmp_path, texts, **options)
    with pytest.raises(TokenizerError, match=message):
        convert_sentencepiece(model, ("<s>", "<|end_of_turn|>"))


def test_unused_pieces_are_refused(texts: list[str], tmp_path: Path) -> None:
    from ochat_templates.sentencepiece_model import ModelPiece, PieceKind, with_pieces_inserted

    model = train(tmp_path, texts)
    unused = ModelPiece(text="zzz", score=-1.0, kind=PieceKind.UNUSED)
    model.write_bytes(with_pieces_inserted(model.read_bytes(), 300, [unused]))
    with pytest.raises(TokenizerError, match="has unused pieces"):
        convert_sentencepiece(model, ("<s>", "<|end_of_turn|>"))


def test_a_conversion_that_is_not_equal_is_never_returned(texts: list[str], tmp_path: Path) -> None:
    """Of two joins with one score, SentencePiece takes the left one, `tokenizers` the first."""
    from ochat_templates.sentencepiece_model import ModelPiece, with_pieces_inserted

    model = train(tmp_path, texts)
    tied = [ModelPiece(text=text, score=-5000.0) for text in ("qx", "xq", "qxq", "xqx", "xx", "qq")]
    letters = [
        ModelPiece(text=text, score=-6000.0) for text in ("q", "x") if text not in "".join(texts)
    ]
    model.write_bytes(with_pieces_inserted(model.read_bytes(), 300, [*letters, *tied]))
    with pytest.raises(TokenizerError, match="is .* in SentencePiece and .* after conversion"):
        convert_sentencepiece(model, ("<s>", "<|end_of_turn|>"))


@pytest.mark.parametrize("missing", ["tokenizers", "sentencepiece"])
def test_a_missing_package_is_named(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "ochat_templates.sentencepiece_tokenizer", raising=False)
    with pytest.raises(TokenizerError, match="needs two packages"):
        convert_sentencepiece(tmp_path / "tokenizer.model", ("<s>",))
