"""Prompts for judges: ours, or those of a file in FastChat's layout, filled in.

Which prompt a question needs is decided where calls are made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ochat_eval.errors import JudgeError
from ochat_eval.preferences.annotations import read_json_lines

_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt with its name, a system text and a template with fields such as {question}."""

    name: str
    system: str
    template: str

    def messages(self, fields: Mapping[str, str]) -> list[dict[str, str]]:
        """The chat messages, with fields put in as they are: braces in an answer stay braces.

        Raises:
            JudgeError: The template has a field that this kind of judgement does not.
        """

        def put_in(match: re.Match[str]) -> str:
            if match[1] not in fields:
                raise JudgeError(
                    f"the prompt {self.name!r} has the field {match[0]}, which is not known here: "
                    f"use {', '.join(f'{{{name}}}' for name in sorted(fields))}"
                )
            return fields[match[1]]

        user = {"role": "user", "content": _FIELD.sub(put_in, self.template)}
        return [{"role": "system", "content": self.system}, user] if self.system else [user]


def read_prompts(path: Path | None) -> dict[str, Prompt]:
    """Our prompts by name, with those of a file in their places.

    Raises:
        JudgeError: The file cannot be read, or a line of it is no prompt.
    """
    shipped = Path(str(files("ochat_eval") / "judging" / "prompts.jsonl"))
    found: dict[str, Prompt] = {}
    for file in [shipped, *([path] if path else [])]:
        for number, row in enumerate(read_json_lines(file), start=1):
            try:
                prompt = Prompt(
                    name=str(row["name"]),
                    system=str(row.get("system_prompt") or ""),
                    template=str(row["prompt_template"]),
                )
            except KeyError as error:
                raise JudgeError(
                    f"{file}, line {number}: a prompt needs the field {error}"
                ) from None
            found[prompt.name] = prompt
    return found
