"""What third parties test with: small tokenizers, golden cases, and the checker itself."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from ochat_templates import (
    Codec,
    Conversation,
    Encoded,
    Message,
    TokenizerError,
    load_codec,
    template_names,
)
from ochat_templates.checking import broken_goldens
from ochat_templates.testing import (
    byte_codec,
    check_codec,
    golden_cases,
    train_sentencepiece,
    write_trap_model,
)


@pytest.mark.parametrize("name", template_names())
def test_the_byte_codec_keeps_every_promise(name: str) -> None:
    codec = byte_codec(name)
    check_codec(codec, cases=60)
    space = " " if codec.template.strip_leading_space else ""
    assert bytes(codec.encode_text("\u00e9")) == f"{space}\u00e9".encode()


def test_the_trap_model_keeps_the_promises_and_shows_transformers_merges(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("google.protobuf")
    model = write_trap_model(tmp_path / "tokenizer.model")
    codec = load_codec(model, "openchat_v3.2")
    check_codec(codec)
    (tmp_path / "tokenizer_config.json").write_text('{"legacy": true}')
    theirs = transformers.LlamaTokenizer.from_pretrained(tmp_path)
    code = "def f():\n    return  1"
    assert theirs.encode(code, add_special_tokens=False) != codec.encode_text(code)
    plain = "The quick brown fox"
    assert theirs.encode(plain, add_special_tokens=False) == codec.encode_text(plain)


def test_golden_cases_can_be_had_without_a_tokenizer() -> None:
    assert {case.family for case in golden_cases()} == {"llama2", "mistral_v1", "llama3"}
    for case in golden_cases():
        assert len(case.weights) == len(case.ids)
        assert case.asked.messages[-1].role == "user"


HONEST = Codec.encode, Codec.prompt, Codec.decode, Codec.continue_from


def broken_prompt(self: Codec, conversation: Conversation) -> list[int]:
    return HONEST[1](self, conversation)[1:]


def broken_decode(self: Codec, ids: Iterable[int]) -> str:
    return HONEST[2](self, ids).upper()


def broken_continue(
    self: Codec, ids: Sequence[int], messages: Sequence[Message], condition: str = ""
) -> list[int]:
    return HONEST[3](self, ids, messages, condition)[1:]


def unweighted(self: Codec, conversation: Conversation) -> Encoded:
    encoded = HONEST[0](self, conversation)
    return Encoded(ids=encoded.ids, spans=(), marks=encoded.marks)


def forged(self: Codec, conversation: Conversation) -> Encoded:
    encoded = HONEST[0](self, conversation)
    first = next((s.start for s in encoded.segments if s.kind == "content"), 0)
    ids = [self.eot_id if i == first else token for i, token in enumerate(encoded.ids)]
    return Encoded(ids=ids, spans=encoded.spans, marks=encoded.marks)


def test_the_checker_finds_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(message: str, codec: Codec) -> None:
        with pytest.raises(AssertionError, match=message):
            check_codec(codec, cases=20)
        monkeypatch.undo()

    codec = byte_codec("openchat_v3.2")
    monkeypatch.setattr(Codec, "prompt", broken_prompt)
    fails("the prompt is no prefix of the training ids", codec)
    monkeypatch.setattr(Codec, "decode", broken_decode)
    fails("does not come back from its ids", codec)
    monkeypatch.setattr(Codec, "continue_from", broken_continue)
    fails("a continued prompt is not the prompt of the whole", codec)
    monkeypatch.setattr(Codec, "encode", unweighted)
    fails("the weights do not cover exactly", codec)
    monkeypatch.setattr(Codec, "encode", forged)
    fails("text became a control id", codec)


def test_the_checker_holds_golden_cases_against_a_known_vocabulary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = pytest.importorskip("mistral_common")
    model = Path(package.__file__).parent / "data" / "tokenizer.model.v1"
    codec = load_codec(model, "openchat_v3.2_mistral")
    check_codec(codec)
    broken = {"the prompt is": ("prompt", broken_prompt), "the ids are": ("encode", forged)}
    for message, (name, wrong) in (broken | {"the weights are": ("encode", unweighted)}).items():
        monkeypatch.setattr(Codec, name, wrong)
        assert message in next(iter(broken_goldens(codec)))
        monkeypatch.undo()


def test_too_few_texts_and_a_missing_package_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TokenizerError, match="give more text or a smaller vocab_size"):
        train_sentencepiece([], tmp_path / "tokenizer.model")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(TokenizerError, match="pip install 'ochat-templates"):
        train_sentencepiece(["a"], tmp_path / "tokenizer.model")
    assert list(tmp_path.iterdir()) == []
