"""`verify` names what has drifted, in files, in Transformers and in a running server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, processors

from ochat_templates import (
    Codec,
    Conversation,
    TokenizerError,
    convert_sentencepiece,
    load_codec,
)
from ochat_templates.__main__ import main
from ochat_templates.testing import write_trap_model
from ochat_templates.verification import Report, verify

transformers = pytest.importorskip("transformers")

NO_SPACE_BEFORE_SPACE = "prefix-space scheme: none before text that starts with a space"
NO_SPACE_AFTER_CONTROL = "prefix-space scheme: none after a control token"
ID_ORDERED = "id-ordered merges"
EOT = "<|end_of_turn|>"
LLAMA = {
    "tokenizer_class": "LlamaTokenizer",
    "bos_token": "<s>",
    "eos_token": EOT,
    "unk_token": "<unk>",
}
DRIFTED: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "tokenizer.model, legacy": (
        "tokenizer.model",
        LLAMA | {"legacy": True},
        {ID_ORDERED, NO_SPACE_BEFORE_SPACE},
    ),
    "tokenizer.model, not legacy": (
        "tokenizer.model",
        LLAMA | {"legacy": False},
        {ID_ORDERED, NO_SPACE_BEFORE_SPACE, NO_SPACE_AFTER_CONTROL},
    ),
    "tokenizer.model, no legacy key": (
        "tokenizer.model",
        LLAMA,
        {ID_ORDERED, NO_SPACE_BEFORE_SPACE, NO_SPACE_AFTER_CONTROL},
    ),
    "tokenizer.json, legacy": (
        "tokenizer.json",
        LLAMA | {"legacy": True},
        {NO_SPACE_BEFORE_SPACE},
    ),
    "tokenizer.json, no legacy key": (
        "tokenizer.json",
        LLAMA,
        {NO_SPACE_BEFORE_SPACE, NO_SPACE_AFTER_CONTROL},
    ),
}
EXACT = LLAMA | {"tokenizer_class": "PreTrainedTokenizerFast"}
CONTROL = ("<s>", "<|end_of_turn|>")
JINJA = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'system' %}"
    "{{ message.content }}<|end_of_turn|>{% else %}"
    "{{ 'GPT4 Correct ' + message.role.title() + ':' }}"
    "{{ message.content and ' ' + message.content }}<|end_of_turn|>"
    "{% endif %}{% endfor %}{{ 'GPT4 Correct Assistant:' }}"
)


@pytest.fixture(scope="session")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model on which the known defects show."""
    return write_trap_model(tmp_path_factory.mktemp("trap") / "tokenizer.model")


def folder(
    place: Path, model: Path, kind: str, config: dict[str, Any], eot: str = "<|end_of_turn|>"
) -> Path:
    """A model folder as people publish it."""
    place.mkdir(exist_ok=True)
    if kind == "tokenizer.model":
        shutil.copy(model, place / kind)
        added = {eot: load_codec(model, "openchat_v3.2").eot_id}
        (place / "added_tokens.json").write_text(json.dumps(added))
    else:
        convert_sentencepiece(model, ("<s>", eot)).save(str(place / kind))
    if eot != EOT:
        config = config | {"eos_token": "</s>"}
    (place / "tokenizer_config.json").write_text(json.dumps(config))
    return place


def names(report: Report) -> set[str]:
    return {cause.name for cause in report.causes}


@pytest.mark.parametrize("name", DRIFTED)
@pytest.mark.parametrize("vocabulary", ["trap", "llama2"])
def test_every_drifted_layout_is_detected_by_its_causes(
    name: str, vocabulary: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pytest.importorskip("google.protobuf")  # Transformers needs it to read a tokenizer.model
    if vocabulary == "trap":
        model = request.getfixturevalue("trap")
    else:
        model = request.getfixturevalue("test_data") / "llama2_tokenizer.model"
    kind, config, causes = DRIFTED[name]
    place = folder(tmp_path / "model", model, kind, config)
    report = verify("openchat_v3.2", model, hf=place, cases=60)
    assert not report.exact
    assert names(report) == causes
    assert {cause.where for cause in report.causes} == {"transformers"}
    assert all(0 < cause.differing <= cause.checked for cause in report.causes)
    flagged = any(note.startswith("legacy flag: ") for note in report.notes)
    assert flagged == (NO_SPACE_AFTER_CONTROL in causes)
    assert report.to_text().splitlines()[-1].startswith("NOT EXACT: ")


def test_the_exact_layout_is_exact_and_its_dangers_are_noted(trap: Path, tmp_path: Path) -> None:
    place = folder(tmp_path / "model", trap, "tokenizer.json", EXACT)
    report = verify("openchat_v3.2", trap, hf=place, cases=60)
    assert report.exact
    assert report.to_text().splitlines()[-1] == "EXACT"
    assert any(note.startswith("flag reset: Transformers sets") for note in report.notes)
    assert any("unless split_special_tokens" in note for note in report.notes)
    differing = [check.differing for check in report.checks]
    assert len(differing) == 8
    assert not any(differing)


def test_a_tokenizer_that_cannot_be_read_alone_shows_all_its_causes(
    trap: Path, tmp_path: Path
) -> None:
    drifted = folder(tmp_path / "drifted", trap, "tokenizer.model", LLAMA | {"legacy": True})
    theirs = transformers.AutoTokenizer.from_pretrained(drifted)
    theirs.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "tokenizer.model").unlink(missing_ok=True)
    assert not verify("openchat_v3.2", tmp_path / "saved").exact
    report = verify("openchat_v3.2", tmp_path / "saved", hf=drifted)
    assert "prefix-space scheme" in names(report)
    assert report.notes == ("nothing was compared with it, because it is no reference itself",)
    # Beside the model it was made from, the model decides, and the other file is compared.
    shutil.copy(trap, tmp_path / "saved" / "tokenizer.model")
    assert names(verify("openchat_v3.2", tmp_path / "saved", cases=60)) == {
        ID_ORDERED,
        NO_SPACE_BEFORE_SPACE,
    }


def test_a_missing_end_of_turn_token_is_the_cause(trap: Path, tmp_path: Path) -> None:
    plain = folder(tmp_path / "plain", trap, "tokenizer.json", EXACT, eot="<other>")
    report = verify("openchat_v3.2", plain)
    assert names(report) == {"missing end-of-turn token"}
    assert "ochat-train add-tokens" in report.causes[0].remedy
    report = verify("openchat_v3.2", trap, hf=plain)
    assert names(report) == {"missing end-of-turn token"}
    headers = verify("openchat_3.6", plain)
    assert names(headers) == {"missing control token"}


def test_an_end_of_turn_token_under_another_id_is_the_cause(trap: Path, tmp_path: Path) -> None:
    place = folder(tmp_path / "model", trap, "tokenizer.json", EXACT)
    tokenizer = convert_sentencepiece(trap, ("<s>", "<other>", "<|end_of_turn|>"))
    tokenizer.save(str(place / "tokenizer.json"))
    report = verify("openchat_v3.2", trap, hf=place)
    assert names(report) == {"other control id"}
    report = verify("openchat_3.5", trap, hf=folder(place, trap, "tokenizer.json", EXACT, "<x>"))
    assert names(report) == {"missing end-of-turn token"}
    report = verify("zephyr", trap, hf=strange_bos(tmp_path / "bos", trap))
    assert names(report) == {"missing control token"}


def strange_bos(place: Path, model: Path) -> Path:
    """A folder whose vocabulary calls the BOS something else."""
    folder(place, model, "tokenizer.json", EXACT)
    text = (place / "tokenizer.json").read_text().replace('"<s>"', '"<S>"')
    (place / "tokenizer.json").write_text(text)
    (place / "tokenizer_config.json").write_text(
        json.dumps(EXACT | {"bos_token": "<S>", "eos_token": "</s>"})
    )
    return place


def test_an_end_of_turn_that_is_no_special_token_is_forgeable(trap: Path, tmp_path: Path) -> None:
    """Transformers splits special tokens on request, but never other added ones."""
    pytest.importorskip("google.protobuf")
    undeclared = {key: value for key, value in LLAMA.items() if key != "eos_token"}
    place = folder(tmp_path / "model", trap, "tokenizer.model", undeclared | {"legacy": True})
    report = verify("openchat_v3.2", trap, hf=place, cases=60)
    assert "special strings in text become control tokens" in names(report)


def test_a_second_bos_is_noted_and_named(trap: Path, tmp_path: Path) -> None:
    place = folder(tmp_path / "model", trap, "tokenizer.json", EXACT)
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    tokenizer.save(str(place / "tokenizer.json"))
    report = verify("openchat_3.5", trap, hf=place, cases=20)
    assert report.exact
    assert any(note.startswith("double BOS: a rendered conversation") for note in report.notes)
    (place / "chat_template.jinja").write_text("{{ bos_token }}" + JINJA)
    report = verify("openchat_3.5", trap, hf=place, cases=60)
    assert "double BOS" in names(report)


TEMPLATES = {
    "exact": (JINJA, None),
    "trims": (
        JINJA.replace("message.content", "(message.content | trim)"),
        "chat template trims contents",
    ),
    "no space": (
        JINJA.replace("message.content and ' ' + message.content", "message.content"),
        "chat template joins prefix and content without the space",
    ),
    "other format": (JINJA.replace("Correct", "Wrong"), "chat template renders another format"),
    "refuses": (
        "{{ raise_exception('only one message') if messages | length > 1 }}" + JINJA,
        "chat template refuses",
    ),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_folders_chat_template_is_told_apart_from_its_tokenizer(
    name: str, trap: Path, tmp_path: Path
) -> None:
    jinja, cause = TEMPLATES[name]
    place = folder(tmp_path / "model", trap, "tokenizer.json", EXACT)
    (place / "chat_template.jinja").write_text(jinja)
    report = verify("openchat_3.5", trap, hf=place, cases=120)
    assert names(report) == ({cause} if cause else set())


def test_a_chat_template_cannot_express_the_first_format(trap: Path, tmp_path: Path) -> None:
    """V1's prefixes end in a space, which no string reproduces."""
    place = folder(tmp_path / "model", trap, "tokenizer.json", EXACT)
    (place / "chat_template.jinja").write_text(
        "{{ bos_token }}{% for message in messages %}"
        "{{ {'user': 'Human: ', 'assistant': 'Assistant: '}[message.role] + message.content }}"
        "<|end_of_turn|>{% endfor %}{{ 'Assistant: ' }}"
    )
    report = verify("openchat", trap, hf=place, cases=60)
    assert "chat template cannot express it" in names(report)
    drifted = folder(tmp_path / "drifted", trap, "tokenizer.json", LLAMA)
    (drifted / "chat_template.jinja").write_text(JINJA)
    assert NO_SPACE_AFTER_CONTROL in names(verify("openchat_3.5", trap, hf=drifted, cases=60))


def test_what_cannot_be_compared_is_said(
    trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TokenizerError, match="is no folder; --hf takes a model folder"):
        verify("openchat_v3.2", trap, hf=tmp_path / "nowhere", cases=5)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TokenizerError, match="Transformers cannot load the tokenizer in"):
        verify("openchat_v3.2", trap, hf=tmp_path / "empty", cases=5)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(TokenizerError, match=r"pip install .ochat-templates\[transformers\]"):
        verify("openchat_v3.2", trap, hf=tmp_path, cases=5)


def test_the_command_exits_by_the_verdict(
    trap: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["verify", "openchat_v3.2", str(trap), "--cases", "20"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "EXACT"
    place = folder(tmp_path / "model", trap, "tokenizer.json", LLAMA)
    assert main([*words, "--hf", str(place), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["exact"] is False
    assert report["causes"][0]["differing"] > 0
    with pytest.raises(SystemExit):
        main([*words, "--cases", "0"])
    assert "must be at least 1" in capsys.readouterr().err
    assert main(["verify", "openchat_v3.2", str(tmp_path / "nothing")]) == 1
    assert "no tokenizer at" in capsys.readouterr().err


def test_a_broken_promise_and_a_broken_golden_case_are_found(
    test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a defect in this package itself would look like."""
    model = test_data / "llama2_tokenizer.model"
    honest = Codec.prompt

    def shortened(self: Codec, conversation: Conversation) -> list[int]:
        return honest(self, conversation)[1:]

    monkeypatch.setattr(Codec, "prompt", shortened)
    assert names(verify("openchat_v3.2", model, cases=5)) == {
        "golden case broken",
        "promise broken",
    }
