"""Templates as data: what the schema refuses, and how a name is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from ochat_templates import (
    RoleError,
    Template,
    TemplateFileError,
    UnknownTemplateError,
    get_template,
)

PLAIN = """\
schema = 1
name = "plain"
context_length = 64
[control]
eot = "</s>"
[roles]
user = "{condition} User:"
assistant = "Assistant:"
"""


def test_a_template_file_of_ones_own_is_read(tmp_path: Path) -> None:
    file = tmp_path / "plain.toml"
    file.write_text(PLAIN)
    template = Template.from_toml(file)
    assert (template.name, template.control_tokens) == ("plain", ("</s>",))


BROKEN = {
    "no toml": ("schema =", "not valid TOML"),
    "other schema": (PLAIN.replace("schema = 1", "schema = 9"), "schema 9 is not known"),
    "typo": (PLAIN + "[system]\nalowed = true\n", r"\[system\]: unknown field 'alowed'"),
    "missing": (PLAIN.replace('eot = "</s>"', ""), r"\[control\]: the field 'eot' is missing"),
    "wrong type": (PLAIN.replace("64", '"64"'), "'context_length' must be int, not str"),
    "no table": ("control = 3\n" + PLAIN.replace("[control]\neot", "#"), "must be dict, not int"),
    "list of numbers": ("aliases = [1]\n" + PLAIN, "aliases: expected a list of strings"),
    "default not allowed": (
        PLAIN + '[condition]\nallowed = ["A"]\ninference = "B"\n',
        "inference = 'B' is not among 'allowed'",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_template_file_is_refused_by_file_and_field(name: str, tmp_path: Path) -> None:
    text, message = BROKEN[name]
    file = tmp_path / "broken.toml"
    file.write_text(text)
    with pytest.raises(TemplateFileError, match=message) as caught:
        Template.from_toml(file)
    assert "broken.toml" in str(caught.value)


def test_a_missing_template_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateFileError, match="nowhere.toml"):
        Template.from_toml(tmp_path / "nowhere.toml")


def test_an_empty_condition_leaves_the_bare_role() -> None:
    template = get_template("openchat_3.5")
    assert template.role_prefix("user", "") == "User:"
    assert template.role_prefix("assistant", "Math Correct") == "Math Correct Assistant:"
    with pytest.raises(RoleError, match="has no role 'tool'"):
        template.role_prefix("tool", "")


def test_an_unknown_name_lists_the_near_ones() -> None:
    with pytest.raises(UnknownTemplateError, match="did you mean openchat_v3.2"):
        get_template("openchat_v32")
    with pytest.raises(UnknownTemplateError, match="known: openchat_v3.1_llama2"):
        get_template("zzz")
