"""Which file of a folder is the tokenizer, and what is refused with which remedy."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from ochat_templates import (
    Conversation,
    Message,
    TokenizerError,
    convert_sentencepiece,
    load_codec,
)
from ochat_templates.template_file import parse_template
from ochat_templates.testing import train_sentencepiece

ASKED = Conversation(messages=(Message(role="user", content="Hello"),))


def test_a_bare_model_takes_control_ids_after_its_last_piece(sentencepiece_file: Path) -> None:
    codec = load_codec(sentencepiece_file, "openchat_v3.2")
    tokenizer = convert_sentencepiece(sentencepiece_file, ())
    assert codec.eot_id == tokenizer.get_vocab_size()


def test_a_folder_with_both_files_takes_ids_from_the_declared_tokens(
    sentencepiece_file: Path, tmp_path: Path
) -> None:
    shutil.copy(sentencepiece_file, tmp_path / "tokenizer.model")
    control = ("<s>", "<|something_else|>", "<|end_of_turn|>")
    convert_sentencepiece(sentencepiece_file, control).save(str(tmp_path / "tokenizer.json"))
    bare = load_codec(sentencepiece_file, "openchat_v3.2")
    assert load_codec(tmp_path, "openchat_v3.2").eot_id == bare.eot_id + 1
    (tmp_path / "tokenizer.model").unlink()
    assert load_codec(tmp_path, "openchat_v3.2").eot_id == bare.eot_id + 1


def test_a_folder_that_declares_no_end_of_turn_is_refused_with_the_command(
    sentencepiece_file: Path, tmp_path: Path
) -> None:
    convert_sentencepiece(sentencepiece_file, ()).save(str(tmp_path / "tokenizer.json"))
    remedy = r"ochat-train add-tokens --model \S+ --tokens '<\|end_of_turn\|>'"
    with pytest.raises(TokenizerError, match=remedy):
        load_codec(tmp_path, "openchat_v3.2")
    shutil.copy(sentencepiece_file, tmp_path / "tokenizer.model")
    with pytest.raises(TokenizerError, match=remedy):
        load_codec(tmp_path, "openchat_v3.2")


def test_added_tokens_json_declares_too(sentencepiece_file: Path, tmp_path: Path) -> None:
    shutil.copy(sentencepiece_file, tmp_path / "tokenizer.model")
    (tmp_path / "added_tokens.json").write_text('{"<|end_of_turn|>": 999}')
    assert load_codec(tmp_path, "openchat_v3.2").eot_id == 999


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ('"300"', "which is no id"),
        ("-1", "which is no id"),
        ("1000000000000", "which is no id"),
        ("1", "as another control token has"),
        ("290", "which is the piece"),
    ],
)
def test_a_declared_id_that_is_none_or_taken_is_refused(
    declared: str, problem: str, sentencepiece_file: Path, tmp_path: Path
) -> None:
    shutil.copy(sentencepiece_file, tmp_path / "tokenizer.model")
    (tmp_path / "added_tokens.json").write_text(f'{{"<|end_of_turn|>": {declared}}}')
    with pytest.raises(TokenizerError, match=problem):
        load_codec(tmp_path, "openchat_v3.2")


def test_a_missing_or_corrupt_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="no tokenizer at .*nowhere.model"):
        load_codec(tmp_path / "nowhere.model", "openchat_v3.2")
    with pytest.raises(TokenizerError, match="holds neither tokenizer.model nor tokenizer.json"):
        load_codec(tmp_path, "openchat_v3.2")
    broken = tmp_path / "tokenizer.model"
    broken.write_bytes(b"not a model")
    with pytest.raises(TokenizerError, match="is not a SentencePiece model"):
        load_codec(broken, "openchat_v3.2")
    broken = tmp_path / "tokenizer.json"
    broken.write_text("{")
    with pytest.raises(TokenizerError, match="is no tokenizer file"):
        load_codec(tmp_path, "openchat_v3.2")
    with pytest.raises(TokenizerError, match="is not a tokenizers file"):
        load_codec(broken, "openchat_v3.2")


def test_a_missing_library_names_the_extra(
    sentencepiece_file: Path, tokenizers_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("sentencepiece", "tokenizers"):
        monkeypatch.setitem(sys.modules, module, None)
    for module in ("sentencepiece_tokenizer", "huggingface_tokenizer"):
        monkeypatch.delitem(sys.modules, f"ochat_templates.{module}", raising=False)
    with pytest.raises(TokenizerError, match=r"pip install 'ochat-templates\[sentencepiece\]'"):
        load_codec(sentencepiece_file, "openchat_v3.2")
    with pytest.raises(TokenizerError, match=r"pip install 'ochat-templates\[tokenizers\]'"):
        load_codec(tokenizers_file, "openchat_v3.2")
    with pytest.raises(TokenizerError, match="sentencepiece,tokenizers"):
        convert_sentencepiece(sentencepiece_file, ())
    with pytest.raises(TokenizerError, match="sentencepiece"):
        train_sentencepiece(["text"], sentencepiece_file.with_name("other.model"))


def test_too_little_text_for_a_tokenizer_is_said(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="give more text"):
        train_sentencepiece([], tmp_path / "empty.model")
    assert not list(tmp_path.iterdir())


def byte_level_file(folder: Path) -> Path:
    """A GPT-2 style tokenizer with a plain added token for a run of spaces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    # Trainers put special tokens into the vocabulary itself, spelt with any characters.
    vocabulary["\uff5cpad\uff5c"] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.add_special_tokens(["\uff5cpad\uff5c"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(["    "])
    tokenizer.add_special_tokens(["<|end_of_turn|>"])
    file = folder / "tokenizer.json"
    tokenizer.save(str(file))
    return file


PLAIN = parse_template(
    'schema = 1\nname = "bytes"\ncontext_length = 64\n[control]\neot = "<|end_of_turn|>"\n'
    '[roles]\nuser = "User:"\nassistant = "Assistant:"\n',
    where="bytes.toml",
)


def test_a_byte_level_file_encodes_and_decodes_every_byte(tmp_path: Path) -> None:
    codec = load_codec(byte_level_file(tmp_path), PLAIN)
    text = " na\u00efve\n    \U0001f642 <|end_of_turn|>\0"
    ids = codec.encode_text(text)
    assert codec.eot_id not in ids
    assert 257 in ids, "the plain added token for four spaces is still used"
    assert codec.decode(ids) == text
    assert codec.fingerprint.require_equal(codec.fingerprint, "itself") is None


def test_a_decoder_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    file = byte_level_file(tmp_path)
    specification = json.loads(file.read_text())
    specification["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    file.write_text(json.dumps(specification))
    with pytest.raises(TokenizerError, match="neither byte level nor SentencePiece"):
        load_codec(file, PLAIN)


def test_the_conversion_keeps_every_id_of_the_real_tokenizer(test_data: Path) -> None:
    model = test_data / "llama2_tokenizer.model"
    codec = load_codec(model, "openchat_v3.2")
    converted = convert_sentencepiece(model, codec.template.control_tokens)
    assert converted.token_to_id("<|end_of_turn|>") == 32000
    for spaces in range(60):
        for tail in ("", "x", "\n", "return  1"):
            text = "a" + " " * spaces + tail
            assert converted.encode(text, add_special_tokens=False).ids == codec.encode_text(text)
