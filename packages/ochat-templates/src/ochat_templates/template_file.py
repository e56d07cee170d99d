"""Reading a template from TOML, checked field by field.

What the fields mean is told by `Template`; here is only how they are written.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .errors import TemplateFileError
from .template import PLACEHOLDER, ConditionRule, Template

SCHEMA = 1
# What each table may hold: field -> (type, required).
_TOP = {
    "schema": (int, True),
    "name": (str, True),
    "aliases": (list, False),
    "description": (str, False),
    "context_length": (int, True),
    "control": (dict, True),
    "roles": (dict, True),
    "turn": (dict, False),
    "condition": (dict, False),
    "system": (dict, False),
    "decode": (dict, False),
    "weights": (dict, False),
    "probes": (dict, False),
}
_CONTROL = {
    "bos": (str, False),
    "eot": (str, True),
    "prefix": (list, False),
    "stop": (list, False),
    "reserved": (list, False),
}
_ROLES = {"user": (str, True), "assistant": (str, True), "system": (str, False)}
_TURN = {"suffix": (str, False)}
_CONDITION = {
    "allowed": (list, False),
    "inference": (str, False),
    "training": (str, False),
    "turn": (str, False),
}
_SYSTEM = {"allowed": (bool, False)}
_DECODE = {"strip_leading_space": (bool, False)}
_WEIGHTS = {"user": (float, False), "assistant": (float, False), "presets": (dict, False)}


def read_template(path: str | Path) -> Template:
    """Reads a template file; errors as `Template.from_toml` says."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateFileError(f"cannot read the template file {path}: {error}") from error
    return parse_template(text, where=str(path))


def parse_template(text: str, *, where: str) -> Template:
    """Makes a template of TOML text; `where` names its origin in errors."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TemplateFileError(f"{where}: not valid TOML: {error}") from error
    if data.get("schema") != SCHEMA:
        raise TemplateFileError(
            f"{where}: expected 'schema = {SCHEMA}', which is what this version reads, "
            f"got {data.get('schema')!r}"
        )
    _check_table(data, _TOP, where)
    control = _check_table(data["control"], _CONTROL, f"{where}: [control]")
    weights = _check_table(data.get("weights", {}), _WEIGHTS, f"{where}: [weights]")
    system = _check_table(data.get("system", {}), _SYSTEM, f"{where}: [system]")
    decode = _check_table(data.get("decode", {}), _DECODE, f"{where}: [decode]")
    turn = _check_table(data.get("turn", {}), _TURN, f"{where}: [turn]")
    template = Template(
        name=data["name"],
        aliases=_strings(data.get("aliases", []), f"{where}: aliases"),
        description=data.get("description", ""),
        context_length=data["context_length"],
        bos=control.get("bos", ""),
        eot=control["eot"],
        prefix_controls=_strings(control.get("prefix", []), f"{where}: [control] prefix"),
        stop=_strings(control.get("stop", [control["eot"]]), f"{where}: [control] stop"),
        reserved=_strings(control.get("reserved", []), f"{where}: [control] reserved"),
        roles=MappingProxyType(dict(_check_table(data["roles"], _ROLES, f"{where}: [roles]"))),
        turn_suffix=turn.get("suffix", ""),
        condition=_condition_rule(data.get("condition", {}), f"{where}: [condition]"),
        system_allowed=system.get("allowed", False),
        strip_leading_space=decode.get("strip_leading_space", False),
        weights=MappingProxyType(_default_weights(weights, f"{where}: [weights]")),
        weight_presets=MappingProxyType(
            _presets(weights.get("presets", {}), f"{where}: [weights.presets]")
        ),
        probes=MappingProxyType(_probes(data.get("probes", {}), where)),
    )
    _require_consistent(template, where)
    return template


def _require_consistent(template: Template, where: str) -> None:
    """What the schema cannot say: fields that contradict each other."""
    if not template.name:
        raise TemplateFileError(f"{where}: 'name' is empty")
    if template.context_length < 1:
        raise TemplateFileError(f"{where}: 'context_length' must be at least 1")
    if not template.eot:
        raise TemplateFileError(f"{where}: [control]: 'eot' is empty")
    if template.eot not in template.stop:
        raise TemplateFileError(f"{where}: [control] stop: {template.eot!r} must be among them")
    if "" in (*template.prefix_controls, *template.stop, *template.reserved):
        raise TemplateFileError(f"{where}: [control]: a control token is empty")
    if "system" in template.roles and not template.system_allowed:
        raise TemplateFileError(
            f"{where}: [roles] has a prefix for 'system'; add 'allowed = true' under [system]"
        )
    rule = template.condition
    carriers = [rule.turn, *template.roles.values()]
    if any((rule.allowed, rule.default, rule.unlabelled)) and not any(
        PLACEHOLDER in pattern for pattern in carriers
    ):
        raise TemplateFileError(
            f"{where}: [condition] is given, but neither a role prefix nor the condition's turn "
            f"holds {PLACEHOLDER}"
        )
    if "" in template.roles.values():
        raise TemplateFileError(f"{where}: [roles]: a role prefix is empty")


def _condition_rule(value: Mapping[str, Any], where: str) -> ConditionRule:
    table = _check_table(value, _CONDITION, where)
    allowed = _strings(table.get("allowed", []), f"{where} allowed")
    for field in ("inference", "training"):
        given = table.get(field, "")
        if allowed and given not in allowed:
            raise TemplateFileError(f"{where} {field} = {given!r} is not among 'allowed'")
    return ConditionRule(
        allowed=allowed,
        default=table.get("inference", ""),
        unlabelled=table.get("training", ""),
        turn=table.get("turn", ""),
    )


def _default_weights(table: Mapping[str, Any], where: str) -> dict[str, float]:
    weights = {"user": table.get("user", 0.0), "assistant": table.get("assistant", 1.0)}
    for role, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise TemplateFileError(f"{where} {role} = {weight}: a loss weight is 0 or positive")
    return weights


def _presets(table: Mapping[str, object], where: str) -> dict[str, str]:
    presets: dict[str, str] = {}
    for release, preset in table.items():
        if not isinstance(preset, str):
            raise TemplateFileError(f"{where} {release}: expected the name of a preset")
        presets[release] = preset
    return presets


def _probes(families: Mapping[str, object], where: str) -> dict[str, Mapping[str, tuple[int, ...]]]:
    probes: dict[str, Mapping[str, tuple[int, ...]]] = {}
    for family, texts in families.items():
        place = f"{where}: [probes.{family}]"
        if not isinstance(texts, Mapping):
            raise TemplateFileError(f"{place}: expected a table of texts with their ids")
        for text, ids in texts.items():
            if not isinstance(ids, list) or not all(type(i) is int and i >= 0 for i in ids):
                raise TemplateFileError(f"{place} {text!r}: expected a list of token ids")
        probes[family] = MappingProxyType({text: tuple(ids) for text, ids in texts.items()})
    return probes


def _check_table(
    value: Mapping[str, Any], fields: Mapping[str, tuple[type, bool]], where: str
) -> Mapping[str, Any]:
    for key in value:
        if key not in fields:
            raise TemplateFileError(f"{where}: unknown field {key!r}; known: {', '.join(fields)}")
    for key, (kind, required) in fields.items():
        if key not in value:
            if required:
                raise TemplateFileError(f"{where}: the field {key!r} is missing")
        elif type(value[key]) is not kind and not (kind is float and type(value[key]) is int):
            raise TemplateFileError(
                f"{where}: {key!r} must be {kind.__name__}, not {type(value[key]).__name__}"
            )
    return value


def _strings(values: Iterable[object], where: str) -> tuple[str, ...]:
    strings = tuple(item for item in values if isinstance(item, str))
    if len(strings) != len(tuple(values)):
        raise TemplateFileError(f"{where}: expected a list of strings")
    return strings
