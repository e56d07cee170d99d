"""What can be wrong with a folder is said in one sentence before anything is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_serve import SetupError, open_model_folder
from ochat_templates import convert_sentencepiece


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def test_a_folder_of_the_trainer_needs_nothing_said(model_folder: Path) -> None:
    folder = open_model_folder(model_folder)
    assert folder.model.codec.template.name == "openchat_v3.2"
    assert folder.model.names[0] == "openchat_v3.2"
    assert folder.model.names[-1] == "toy-llama"
    assert folder.max_model_len == 256


def test_a_model_type_replaces_a_missing_card(copy: Path) -> None:
    (copy / "openchat.json").unlink()
    folder = open_model_folder(copy, model_type="openchat_v3.1_llama2")
    assert folder.model.names[0] == "openchat_v3.1_llama2"


def test_a_shorter_context_may_be_asked_for(model_folder: Path) -> None:
    assert open_model_folder(model_folder, max_model_len=100).max_model_len == 100


def edit(name: str, change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        change(value)
        (folder / name).write_text(json.dumps(value))

    return apply


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def break_off(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:20])

    return apply


def without_end_of_turn(folder: Path) -> None:
    """Leave only a tokenizer.json that lacks the control token."""
    convert_sentencepiece(folder / "tokenizer.model", []).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer.model").unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (remove("openchat.json"), "--model-type"),
        (break_off("openchat.json"), "export the model again"),
        (edit("openchat.json", lambda card: card.update(model_type="openchat_v9")), "openchat_v9"),
        (edit("openchat.json", lambda card: card.pop("fingerprint")), "fingerprint"),
        (remove("config.json"), "no config.json"),
        (break_off("config.json"), "cannot be read"),
        (remove("model.safetensors"), "no weights"),
        (remove("tokenizer.model"), "tokenizer"),
        (break_off("tokenizer.model"), "tokenizer"),
        (without_end_of_turn, "add-tokens"),
        (edit("config.json", lambda config: config.update(vocab_size=100)), "add-tokens"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(
    copy: Path, damage: Callable[[Path], None], says: str
) -> None:
    damage(copy)
    with pytest.raises(SetupError) as caught:
        open_model_folder(copy)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_is_not_the_trained_one_is_refused(copy: Path) -> None:
    from ochat_templates.testing import train_sentencepiece

    train_sentencepiece(
        ["other words entirely, in another order"] * 9, copy / "tokenizer.model", vocab_size=300
    )
    with pytest.raises(SetupError, match="cannot be served"):
        open_model_folder(copy)


def test_a_missing_folder_and_an_unknown_model_type_are_refused(
    model_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match="hf download"):
        open_model_folder(tmp_path / "nothing")
    with pytest.raises(SetupError, match="openchat_v3.2"):
        open_model_folder(model_folder, model_type="openchat_v3.22")


def test_a_context_beyond_the_models_positions_is_refused(model_folder: Path) -> None:
    with pytest.raises(SetupError, match="256 positions"):
        open_model_folder(model_folder, max_model_len=300)


def test_the_scripted_engine_needs_no_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "config.json").unlink()
    assert open_model_folder(copy, needs_weights=False).max_model_len == 256
