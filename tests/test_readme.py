"""Every command and code block of the READMEs runs, in order, in an empty folder.

A block that cannot run here is fenced as `text`, or carries `<!-- not run: why -->` before it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ochat_templates import get_template

ROOT = Path(__file__).resolve().parents[1]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md"))]
BLOCK = re.compile(
    r"(?P<skip><!-- not run: [^\n]+ -->\n)?^```(?P<language>bash|python)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(readme: Path) -> list[tuple[str, str]]:
    found = BLOCK.finditer(readme.read_text(encoding="utf-8"))
    return [(m["language"], m["code"]) for m in found if not m["skip"]]


def test_every_package_has_a_readme_with_something_to_run() -> None:
    assert len(READMES) == 6
    assert all(blocks(readme) for readme in READMES[1:])


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_the_blocks_of_a_readme_run_in_order(readme: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for language, code in blocks(readme):
        command = (
            ["bash", "-euo", "pipefail", "-c"] if language == "bash" else [sys.executable, "-c"]
        )
        result = subprocess.run(
            [*command, code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert result.returncode == 0, f"{code}\n{result.stdout}\n{result.stderr}"


def test_the_table_of_models_names_templates_of_that_context() -> None:
    table = (ROOT / "docs/moving-from-openchat.md").read_text(encoding="utf-8")
    rows = re.findall(r"B, (\d+) \| `ochat-serve \S+ --model-type (\S+)` \|", table)
    assert len(rows) == 8
    for context, model_type in rows:
        assert get_template(model_type).context_length == int(context)
