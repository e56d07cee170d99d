"""A template as Jinja, for stacks that render conversations to one string.

Every tag trims the white space around it and all output comes from expressions, so that the text
reads well and renders the same whatever the environment's block settings are. The serving flavour
keeps to what minijinja knows as well; the training flavour has Transformers' generation marks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from ochat_templates.template import LONGEST_CONDITION, PLACEHOLDER, Piece, Template

Flavor = Literal["serve", "train"]
_CONTENT = "message['content']"


def jinja_text(
    template: Template,
    *,
    flavor: Flavor,
    joint: str,
    spellings: Iterable[str],
    condition: str = "",
    comment: str = "",
) -> str:
    """Writes the Jinja of a template.

    Args:
        template: The chat format.
        flavor: `serve`, whose default condition is that of prompts; or `train`, whose default is
            that of unlabelled data and whose answers are marked as generated.
        joint: What stands between two texts, so that the tokenizer gives each its own dummy
            prefix: a space with SentencePiece, nothing with a byte-level vocabulary.
        spellings: Every string that the tokenizer would turn into a special token.
        condition: The default condition, in place of the template's.
        comment: A remark on top.
    """
    lines = [_comment(f"{template.name}, {flavor}. {comment}".strip())]
    lines += _condition_lines(template, flavor, condition)
    lines += _check_lines(template, spellings, free_condition=_is_free(template))
    lines += _opening_lines(template, joint)
    lines += _turn_lines(template, flavor, joint)
    lines += [
        "{%- if add_generation_prompt -%}",
        f"{{{{- {_after_suffix(template, joint, 'system or turns', 'assistant')} -}}}}",
        "{%- endif -%}",
    ]
    return "\n".join(lines) + "\n"


def literal(text: str) -> str:
    """A string literal that jinja2 and minijinja read alike."""
    return json.dumps(text, ensure_ascii=False)


def _comment(text: str) -> str:
    return "{#- " + text.replace("#}", "# }").replace("\n", " ") + " -#}"


def _is_free(template: Template) -> bool:
    return bool(template.condition.default and not template.condition.allowed)


def _condition_lines(template: Template, flavor: Flavor, condition: str) -> Iterator[str]:
    rule = template.condition
    if not (rule.allowed or rule.default):
        return
    usual = condition or (rule.unlabelled if flavor == "train" else rule.default)
    given = "condition if condition is defined and condition else"
    yield f"{{%- set condition = {given} {literal(usual)} -%}}"
    if rule.allowed:
        allowed = ", ".join(literal(each) for each in rule.allowed)
        yield f"{{%- if condition not in [{allowed}] -%}}"
        yield _raise(f"the condition must be one of {', '.join(rule.allowed)}")
        yield "{%- endif -%}"
        return
    wrong = (
        f"condition | length > {LONGEST_CONDITION} or condition != condition | trim or "
        '"\\n" in condition or "\\r" in condition'
    )
    yield f"{{%- if {wrong} -%}}"
    yield _raise(f"a condition is a short label such as {rule.default}")
    yield "{%- endif -%}"


def _check_lines(
    template: Template, spellings: Iterable[str], *, free_condition: bool
) -> Iterator[str]:
    """Everything that the codec refuses too, and contents that no string can carry."""
    yield f"{{%- set special = [{', '.join(literal(each) for each in sorted(spellings))}] -%}}"
    yield "{%- for message in messages -%}"
    yield "{%- if message['content'] is not string -%}"
    yield _raise("the content of a message must be text")
    yield "{%- endif -%}"
    yield "{%- for token in special -%}{%- if token in message['content'] -%}"
    yield _raise("a content spells a control token; send token ids instead")
    yield "{%- endif -%}{%- endfor -%}"
    yield "{%- endfor -%}"
    if free_condition:
        yield "{%- for token in special -%}{%- if token in condition -%}"
        yield _raise("the condition spells a control token")
        yield "{%- endif -%}{%- endfor -%}"
    yield "{%- if messages and messages[0]['role'] == \"system\" -%}"
    yield "{%- set system = messages[0]['content'] -%}{%- set turns = messages[1:] -%}"
    yield '{%- else -%}{%- set system = "" -%}{%- set turns = messages -%}{%- endif -%}'
    if not template.system_allowed:
        yield "{%- if system -%}"
        yield _raise(f"{template.name} has no system text; leave it out")
        yield "{%- endif -%}"


def _opening_lines(template: Template, joint: str) -> Iterator[str]:
    if template.bos:
        yield f"{{{{- {literal(template.bos)} -}}}}"
    end = literal(template.eot + template.turn_suffix)
    if template.condition.turn:
        yield f"{{{{- {_filled(template.condition.turn)} ~ {end} -}}}}"
    if not template.system_allowed:
        return
    prefix = template.role_prefix("system", "") if "system" in template.roles else ()
    content = _with_content(prefix, joint, "system")
    opening = " ~ ".join([*(literal(piece.text) for piece in prefix), content, end])
    if template.condition.turn and template.turn_suffix and _starts_with_text(prefix):
        opening = f"{literal(joint)} ~ {opening}"
    yield f"{{%- if system -%}}{{{{- {opening} -}}}}{{%- endif -%}}"


def _turn_lines(template: Template, flavor: Flavor, joint: str) -> Iterator[str]:
    end = literal(template.eot)
    yield "{%- for message in turns -%}"
    for index, role in enumerate(role for role in template.roles if role != "system"):
        pieces = template.role_prefix(role, PLACEHOLDER)
        content = f"{_with_content(pieces, joint, _CONTENT)} ~ {end}"
        prefix = _after_suffix(template, joint, "system or not loop.first", role)
        word = "elif" if index else "if"
        yield f"{{%- {word} message['role'] == \"{role}\" -%}}"
        yield f"{{{{- {prefix} -}}}}"
        if flavor == "train" and template.default_weight(role) > 0:
            yield f"{{%- generation -%}}{{{{- {content} -}}}}{{%- endgeneration -%}}"
        else:
            yield f"{{{{- {content} -}}}}"
    yield "{%- else -%}"
    yield _raise("a role must be user or assistant, and system may stand only first")
    yield "{%- endif -%}"
    if template.turn_suffix:
        yield f"{{{{- {literal(template.turn_suffix)} -}}}}"
    yield "{%- endfor -%}"


def _after_suffix(template: Template, joint: str, later: str, role: str) -> str:
    """A role prefix; after a turn's suffix it is a second text, with its own dummy prefix."""
    pieces = template.role_prefix(role, PLACEHOLDER)
    prefix = " ~ ".join(_filled(p.text) if not p.is_control else literal(p.text) for p in pieces)
    if not (joint and template.turn_suffix and _starts_with_text(pieces)):
        return prefix
    later = "true" if template.condition.turn else later
    return f'({literal(joint)} if {later} else "") ~ {prefix}'


def _starts_with_text(pieces: Sequence[Piece]) -> bool:
    return not pieces or not pieces[0].is_control


def _with_content(pieces: Sequence[Piece], joint: str, name: str) -> str:
    """A content after its prefix, joined to text but not to a control token or to nothing."""
    if joint and pieces and not pieces[-1].is_control:
        return f'(({literal(joint)} ~ {name}) if {name} else "")'
    return name


def _filled(pattern: str) -> str:
    """An expression for text that holds the condition; without one, what is left is trimmed."""
    if PLACEHOLDER not in pattern:
        return literal(pattern)
    before, after = pattern.split(PLACEHOLDER, 1)
    parts = [literal(before)] * bool(before) + ["condition"] + [literal(after)] * bool(after)
    bare = literal(pattern.replace(PLACEHOLDER, "").strip())
    return f"(({' ~ '.join(parts)}) if condition else {bare})"


def _raise(text: str) -> str:
    return f"{{{{- raise_exception({literal(text)}) -}}}}"
