"""An exported folder is read by Transformers as by the codec, and overwrites nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ochat_templates import (
    Codec,
    Conversation,
    ExportError,
    Message,
    Template,
    convert_sentencepiece,
    get_template,
    load_codec,
)
from ochat_templates.__main__ import main
from ochat_templates.export import export_tokenizer, jinja_template
from ochat_templates.sampling import sample_conversations

REFUSED = "EXACT EXCEPT contents that spell a control token are refused"


def loaded(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def rows(conversation: Conversation) -> list[dict[str, str]]:
    system = [{"role": "system", "content": conversation.system}] if conversation.system else []
    return system + [{"role": m.role, "content": m.content} for m in conversation.messages]


REAL = {
    "openchat_v3.2": "llama2",
    "openchat_v3.1": "llama2",
    "openchat_v2": "llama2",
    "openchat_3.5": "mistral",
}


@pytest.mark.parametrize("name", REAL)
def test_a_folder_of_a_released_tokenizer_is_read_by_transformers_as_by_us(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if REAL[name] == "llama2":
        model = request.getfixturevalue("test_data") / "llama2_tokenizer.model"
    else:
        package = pytest.importorskip("mistral_common")
        model = Path(package.__file__).parent / "data" / "tokenizer.model.v1"
    verdict = export_tokenizer(name, model, tmp_path / "folder")
    assert str(verdict).startswith(REFUSED)
    codec, theirs = load_codec(model, name), loaded(tmp_path / "folder")
    train = jinja_template(name, model, flavor="train")
    chats = sample_conversations(codec.template, seed=7, special_strings=False)
    for chat in islice(chats, 300):
        options = {"return_dict": False, "condition": chat.condition}
        asked = replace(chat, messages=chat.messages[:-1])
        assert codec.prompt(asked) == theirs.apply_chat_template(
            rows(asked), add_generation_prompt=True, **options
        )
        encoded = codec.encode(chat)
        assert encoded.ids == theirs.apply_chat_template(rows(chat), **options)
        masked = theirs.apply_chat_template(
            rows(chat),
            chat_template=train,
            condition=chat.condition,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        assert masked["input_ids"] == encoded.ids
        assert masked["assistant_masks"] == [int(weight > 0) for weight in encoded.weights()]
    assert load_codec(tmp_path / "folder", name).fingerprint == codec.fingerprint


def test_a_folder_made_from_a_byte_level_file_keeps_its_ids(
    tmp_path: Path, byte_level_file: Callable[[Template], Path]
) -> None:
    template = get_template("openchat_3.6")
    file = byte_level_file(template)
    verdict = export_tokenizer(template, file, tmp_path / "folder", condition="Code")
    assert verdict.kind == "EXACT EXCEPT"
    codec, theirs = load_codec(file, template), loaded(tmp_path / "folder")
    asked = Conversation(messages=(Message(role="user", content="Hi"),), condition="Code")
    ids = theirs.apply_chat_template(rows(asked), add_generation_prompt=True, return_dict=False)
    assert ids == codec.prompt(asked)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "tokenizer.json").write_bytes(file.read_bytes())
    again = export_tokenizer(template, tmp_path / "source", tmp_path / "folder", condition="Code")
    assert again == verdict
    assert not list(tmp_path.glob(".*"))


def test_an_answer_can_be_continued(sentencepiece_file: Path, tmp_path: Path) -> None:
    export_tokenizer("openchat_v3.2", sentencepiece_file, tmp_path / "folder")
    codec, theirs = load_codec(sentencepiece_file, "openchat_v3.2"), loaded(tmp_path / "folder")
    chat = Conversation(
        messages=(
            Message(role="user", content="Say it"),
            Message(role="assistant", content="So it"),
        )
    )
    assert codec.prompt(chat) == theirs.apply_chat_template(
        rows(chat), continue_final_message=True, return_dict=False
    )


def test_a_taken_folder_and_a_gap_in_the_ids_are_refused(
    sentencepiece_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "model.safetensors").write_text("weights")
    with pytest.raises(ExportError, match="holds other files; give --output a new folder"):
        export_tokenizer("openchat_v3.2", sentencepiece_file, tmp_path / "taken")
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="holds other files"):
        export_tokenizer("openchat_v3.2", sentencepiece_file, tmp_path / "file")
    gap = tmp_path / "gap"
    gap.mkdir()
    (gap / "tokenizer.model").write_bytes(sentencepiece_file.read_bytes())
    (gap / "added_tokens.json").write_text('{"<s>": 1, "<|end_of_turn|>": 4000}')
    with pytest.raises(ExportError, match="its ids have a gap"):
        export_tokenizer("openchat_v3.2", gap, tmp_path / "folder")


def test_without_transformers_the_folder_is_compared_by_ourselves(
    sentencepiece_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    verdict = export_tokenizer("openchat_v3.2", sentencepiece_file, tmp_path / "folder")
    assert str(verdict).startswith(REFUSED)


def test_the_command_writes_and_exits_by_the_verdict(
    sentencepiece_file: Path, trap: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "jinja", "openchat_v3.2", str(sentencepiece_file)]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "raise_exception" in out
    assert err.startswith("EXACT EXCEPT")
    assert main([*words, "--output", str(tmp_path / "new" / "chat.jinja")]) == 0
    assert (tmp_path / "new" / "chat.jinja").read_text() == out
    assert capsys.readouterr().out == ""
    words = ["export", "jinja", "openchat", str(trap)]
    assert main(words) == 1
    assert "NOT REPRESENTABLE" in capsys.readouterr().err
    assert main([*words, "--force"]) == 1
    assert "NOT REPRESENTABLE" in capsys.readouterr().err
    words = ["export", "tokenizer", "openchat_3.5", str(sentencepiece_file)]
    assert main([*words, "--output", str(tmp_path / "folder")]) == 0
    assert (tmp_path / "folder" / "chat_template.jinja").exists()
    reference = load_codec(sentencepiece_file, "openchat_3.5")
    converted = convert_sentencepiece(sentencepiece_file, reference.template.control_tokens)
    exported = Codec.from_tokenizers(tmp_path / "folder" / "tokenizer.json", "openchat_3.5")
    assert exported.fingerprint == Codec.from_tokenizers(converted, "openchat_3.5").fingerprint
