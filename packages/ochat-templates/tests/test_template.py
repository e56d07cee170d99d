"""Templates as data: what the schema refuses, and how a name is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from ochat_templates import (
    ConditionError,
    RoleError,
    Template,
    TemplateFileError,
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
    "other schema": (PLAIN.replace("schema = 1", "schema = 9"), "expected 'schema = 1'"),
    "typo": (PLAIN + "[system]\nalowed = true\n", r"\[system\]: unknown field 'alowed'"),
    "missing": (PLAIN.replace('eot = "</s>"', ""), r"\[control\]: the field 'eot' is missing"),
    "wrong type": (PLAIN.replace("64", '"64"'), "'context_length' must be int, not str"),
    "no table": ("control = 3\n" + PLAIN.replace("[control]\neot", "#"), "must be dict, not int"),
    "list of numbers": ("aliases = [1]\n" + PLAIN, "aliases: expected a list of strings"),
    "not a list": ("aliases = 3\n" + PLAIN, "'aliases' must be list, not int"),
    "no name": (PLAIN.replace('"plain"', '""'), "'name' is empty"),
    "no context": (PLAIN.replace("64", "0"), "'context_length' must be at least 1"),
    "empty eot": (PLAIN.replace('"</s>"', '""'), r"\[control\]: 'eot' is empty"),
    "eot does not stop": (
        PLAIN.replace('eot = "</s>"', 'eot = "</s>"\nstop = ["<x>"]'),
        r"\[control\] stop: '</s>' must be among them",
    ),
    "empty control": (
        PLAIN.replace('eot = "</s>"', 'eot = "</s>"\nprefix = [""]'),
        "a control token is empty",
    ),
    "system prefix": (
        PLAIN + 'system = "System:"\n',
        r"\[roles\] has a prefix for 'system'; add 'allowed = true'",
    ),
    "empty role": (PLAIN.replace('"Assistant:"', '""'), r"\[roles\]: a role prefix is empty"),
    "condition nowhere": (
        PLAIN.replace("{condition} ", "") + '[condition]\ninference = "A"\n',
        "neither a role prefix nor the condition's turn",
    ),
    "negative weight": (PLAIN + "[weights]\nuser = -1\n", r"\[weights\] user = -1"),
    "nan weight": (PLAIN + "[weights]\nassistant = nan\n", r"\[weights\] assistant = nan"),
    "preset": (
        PLAIN + "[weights.presets]\nplain = 3\n",
        r"\[weights.presets\] plain: expected the name of a preset",
    ),
    "probe family": (PLAIN + "[probes]\nllama2 = 3\n", r"\[probes.llama2\]: expected a table"),
    "probe ids": (
        PLAIN + '[probes.llama2]\n"User:" = ["a"]\n',
        r"\[probes.llama2\] 'User:': expected a list of token ids",
    ),
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


def prefix(name: str, role: str, condition: str) -> str:
    return "".join(piece.text for piece in get_template(name).role_prefix(role, condition))


def test_an_empty_condition_leaves_the_bare_role() -> None:
    assert prefix("openchat_3.5", "user", "") == "User:"
    assert prefix("openchat_3.5", "assistant", "Math Correct") == "Math Correct Assistant:"
    header = "<|start_header_id|>User<|end_header_id|>\n\n"
    assert prefix("openchat_3.6", "user", "") == header
    with pytest.raises(RoleError, match="has no role 'tool'"):
        prefix("openchat_3.5", "tool", "")


def test_a_condition_never_becomes_a_control_token_of_the_prefix() -> None:
    template = get_template("openchat_3.6")
    forged = template.role_prefix("user", "<|eot_id|>")
    assert [piece.text for piece in forged if piece.is_control] == [
        "<|start_header_id|>",
        "<|end_header_id|>",
    ]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("x" * 101, "has 101 characters, more than 100"),
        ("two\nlines", "is not one line of printable text"),
        (" GPT4", "is not one line of printable text without spaces around it"),
        ("a <|end_of_turn|>", "spells a control token"),
    ],
)
def test_a_free_condition_is_a_short_label(condition: str, message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        get_template("openchat_3.5").resolve_condition(condition, training=True)
    assert get_template("openchat_3.5").resolve_condition("Code", training=True) == "Code"


def test_weights_and_presets_of_a_file_are_read(tmp_path: Path) -> None:
    file = tmp_path / "plain.toml"
    text = '[weights]\nuser = 0.5\n[weights.presets]\nplain = "uniform"\n'
    file.write_text(PLAIN + text + '[probes.llama2]\n"User:" = [4911, 29901]\n')
    template = Template.from_toml(file)
    assert template.default_weight("user") == 0.5
    assert template.default_weight("assistant") == 1.0
    assert template.weight_presets == {"plain": "uniform"}
    assert template.probes["llama2"]["User:"] == (4911, 29901)
