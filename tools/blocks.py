"""The command blocks of the project's pages, and who runs them.

A `bash` or `python` block is run by the tests, in order, in an empty folder, unless the line before
it says otherwise:

    <!-- not run: why -->      it needs what a plain machine lacks; nobody runs it
    <!-- newcomer: why -->     it installs something or takes minutes; tools/newcomer.py runs it

Needs Python only: the newcomer's script runs before anything is installed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READMES = (ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md")))
GUIDES = (
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("packages/*/docs/*.md")),
    *sorted(ROOT.glob(".github/*.md")),
)
_FENCE = re.compile(
    r"(?:^<!-- (?P<marker>not run|newcomer): (?P<reason>[^\n]+) -->\n)?"
    r"^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# What begins a line that a reader would type.
_COMMAND = re.compile(
    r"^(?:\$ )?(?:sudo )?(?:conda|curl|deepspeed|docker|git|hatch|hf|kubectl|npm|ochat-[a-z]+|pip3?"
    r"|pipx|python3?|ray|torchrun|[A-Z_]+=\S+ [a-z]\S*) [^\s─]",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block.

    Attributes:
        language: The word behind the fence, such as `bash`; may be empty.
        code: What stands in it.
        marker: `not run`, `newcomer`, or empty: run by the tests.
        reason: Why it carries the marker.
    """

    language: str
    code: str
    marker: str
    reason: str

    @property
    def runs(self) -> bool:
        """Whether it is a program at all."""
        return self.language in ("bash", "python")

    def run(
        self, folder: Path, environment: Mapping[str, str], *, python: str, timeout_seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Runs it in a folder; standard error goes into standard output.

        A server that it leaves behind must write elsewhere, or its end is waited for.
        """
        shell = ["bash", "-euo", "pipefail", "-c"]
        return subprocess.run(
            [*(shell if self.language == "bash" else [python, "-c"]), self.code],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            language=match["language"],
            code=match["code"],
            marker=match["marker"] or "",
            reason=match["reason"] or "",
        )
        for match in _FENCE.finditer(text)
    ]


def hidden_commands(page: Path) -> list[str]:
    """Lines that look like commands in blocks that are not programs, where no test sees them."""
    return [
        line
        for block in blocks(page)
        if not block.runs
        for line in block.code.splitlines()
        if _COMMAND.match(line)
    ]
