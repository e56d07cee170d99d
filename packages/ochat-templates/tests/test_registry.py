"""How a template is found: by name, alias, file, or from another package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ochat_templates import (
    Template,
    TemplateFileError,
    UnknownTemplateError,
    get_template,
    load_codec,
    template_names,
)

PLAIN = """\
schema = 1
name = "acme"
context_length = 64
[control]
eot = "</s>"
[roles]
user = "User:"
assistant = "Assistant:"
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that registers one good template and three broken ones."""
    (tmp_path / "acme.toml").write_text(PLAIN)
    (tmp_path / "acme_chat.py").write_text(
        "from pathlib import Path\n"
        "from ochat_templates import Template\n"
        "ACME = Template.from_toml(Path(__file__).with_name('acme.toml'))\n"
        "NUMBER = 3\n"
    )
    info = tmp_path / "acme_chat-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-chat\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ochat_templates.templates]\nacme = acme_chat:ACME\nmissing = acme_chat:NOTHING\n"
        "number = acme_chat:NUMBER\nother_name = acme_chat:ACME\nopenchat_v3.2 = acme_chat:ACME\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_chat", raising=False)


@pytest.mark.usefixtures("plugin")
def test_another_package_registers_a_template(sentencepiece_file: Path) -> None:
    assert "acme" in template_names()
    assert get_template("acme").roles["user"] == "User:"
    assert load_codec(sentencepiece_file, "acme").template.name == "acme"
    with pytest.raises(UnknownTemplateError, match="did you mean acme"):
        get_template("acmee")


@pytest.mark.usefixtures("plugin")
def test_a_shipped_template_cannot_be_replaced() -> None:
    assert get_template("openchat_v3.2").context_length == 4096
    assert template_names().count("openchat_v3.2") == 1


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "'missing', which 'acme_chat:NOTHING' registers, does not load"),
        ("number", "is a int and no Template"),
        ("other_name", "calls itself 'acme'; give both one name"),
    ],
)
def test_a_broken_registration_is_named(name: str, message: str) -> None:
    with pytest.raises(TemplateFileError, match=message):
        get_template(name)


def test_the_path_of_a_file_is_a_name_too(tmp_path: Path) -> None:
    file = tmp_path / "acme.toml"
    file.write_text(PLAIN)
    assert get_template(str(file)) == Template.from_toml(file)
    with pytest.raises(TemplateFileError, match="cannot read the template file"):
        get_template(str(tmp_path / "nowhere.toml"))


def test_an_unknown_name_lists_the_near_ones() -> None:
    with pytest.raises(UnknownTemplateError, match="did you mean openchat_v3.2"):
        get_template("openchat_v32")
    with pytest.raises(UnknownTemplateError, match="known: .*openchat_v3.1_llama2"):
        get_template("zzz")


def test_every_released_model_type_is_there() -> None:
    released = """openchat openchat_8192 opencoder opencoderplus openchat_v2 openchat_v2_w
    openchat_3 openchat_v3.1 openchat_llama2 openchat_v3.1_llama2 openchat_v3.2 openchat_v3.2_super
    openchat_v3.2_mistral openchat_3.5 openchat_v3.2_gemma openchat_3.5_gemma
    openchat_v3.2_gemma_new openchat_3.5_gemma_new openchat_3.6_moe openchat_3.6 chatml_8192
    chatml_mistral zephyr_mistral chatml zephyr gemma_it llama3_instruct"""
    for name in released.split():
        template = get_template(name)
        assert name in (template.name, *template.aliases)
        assert template.eot in template.stop
        assert template.default_weight("assistant") == 1.0
        assert template.default_weight("user") == 0.0


def test_no_two_templates_share_a_name() -> None:
    names = [name for each in template_names() for name in (each, *get_template(each).aliases)]
    assert len(names) == len(set(names))
