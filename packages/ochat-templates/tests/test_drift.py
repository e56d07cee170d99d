"""Tokenizers that Transformers 5 has changed are refused when a codec is made, with the cause."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ochat_templates import Codec, TokenizerError, convert_sentencepiece, load_codec

transformers = pytest.importorskip("transformers")

LLAMA = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "unk_token": "<unk>"}
# Which file the folder holds, and what its tokenizer_config.json says.
DRIFTED: dict[str, tuple[str, dict[str, Any]]] = {
    "tokenizer.model, legacy": ("tokenizer.model", LLAMA | {"legacy": True}),
    "tokenizer.model, not legacy": ("tokenizer.model", LLAMA | {"legacy": False}),
    "tokenizer.model, no legacy key": ("tokenizer.model", LLAMA),
    "tokenizer.json, legacy": ("tokenizer.json", LLAMA | {"legacy": True}),
    "tokenizer.json, no legacy key": ("tokenizer.json", LLAMA),
}
EXACT = LLAMA | {"tokenizer_class": "PreTrainedTokenizerFast"}


def folder(place: Path, model: Path, kind: str, config: dict[str, Any]) -> Path:
    """A model folder as people publish it."""
    if kind == "tokenizer.model":
        shutil.copy(model, place / kind)
        (place / "added_tokens.json").write_text(json.dumps({"<|end_of_turn|>": 32000}))
    else:
        convert_sentencepiece(model, ("<s>", "<|end_of_turn|>")).save(str(place / kind))
    (place / "tokenizer_config.json").write_text(json.dumps(config))
    return place


@pytest.mark.parametrize("name", DRIFTED)
def test_a_llama_2_tokenizer_rebuilt_by_transformers_is_refused(
    name: str, test_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("google.protobuf")  # Transformers needs it to read a tokenizer.model
    kind, config = DRIFTED[name]
    place = folder(tmp_path, test_data / "llama2_tokenizer.model", kind, config)
    theirs = transformers.AutoTokenizer.from_pretrained(place)
    with pytest.raises(TokenizerError, match="^prefix-space scheme: ' Hello' is") as caught:
        Codec.from_hf(theirs, "openchat_v3.2")
    ordered_by_id = "id-ordered merges" in str(caught.value)
    assert ordered_by_id == (kind == "tokenizer.model")


def test_an_unknown_vocabulary_with_metaspace_is_refused_too(
    sentencepiece_file: Path, tmp_path: Path
) -> None:
    place = folder(tmp_path, sentencepiece_file, "tokenizer.json", LLAMA)
    theirs = transformers.AutoTokenizer.from_pretrained(place)
    with pytest.raises(TokenizerError, match="as the Metaspace pre-tokenizer does it"):
        Codec.from_hf(theirs, "openchat_v3.2")


def test_a_fast_tokenizer_that_keeps_its_normaliser_is_taken(
    sentencepiece_file: Path, tmp_path: Path
) -> None:
    place = folder(tmp_path, sentencepiece_file, "tokenizer.json", EXACT)
    theirs = transformers.AutoTokenizer.from_pretrained(place)
    codec = Codec.from_hf(theirs, "openchat_v3.2")
    assert codec.fingerprint == load_codec(sentencepiece_file, "openchat_v3.2").fingerprint
