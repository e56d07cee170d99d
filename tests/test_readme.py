"""Every command and code block of the pages runs, in order, in an empty folder, or says why not.

`tools/blocks.py` says how a block is marked.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from blocks import GUIDES, READMES, ROOT, blocks, hidden_commands

from ochat_templates import get_template

PAGES = (*READMES, *GUIDES)
# Guides that train or serve a model: in test-all.
LONG = {"fine-tune.md", "serve.md"}
BLOCK_SECONDS = 600.0


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_every_package_has_a_readme_with_something_to_run() -> None:
    assert len(READMES) == 6
    assert all(any(b.runs and not b.marker for b in blocks(page)) for page in READMES[1:])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_command_hides_where_no_test_sees_it(page: Path) -> None:
    assert hidden_commands(page) == []
    # A marker that stands apart from its block marks nothing.
    text = page.read_text(encoding="utf-8")
    marks = re.findall(r"^<!-- (?:not run|newcomer): ", text, re.MULTILINE)
    assert len(marks) == len([block for block in blocks(page) if block.marker])
    fences = re.findall(r"^```", text, re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder; a server that a page started there and wrote down is stopped."""
    yield tmp_path
    left = tmp_path / "server.pid"
    if left.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(left.read_text()), signal.SIGTERM)


def free_ports(code: str, ports: dict[str, str]) -> str:
    """The code with the pages' ports replaced by free ones, the same in every block."""
    for port in set(re.findall(r"\b1890\d\b", code)) - set(ports):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports[port] = str(probe.getsockname()[1])
    return re.sub(r"\b1890\d\b", lambda match: ports[match[0]], code)


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if page.name in LONG else ()) for page in PAGES],
    ids=name,
)
def test_the_blocks_of_a_page_run_in_order(page: Path, folder: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ports: dict[str, str] = {}
    for block in blocks(page):
        if not block.runs or block.marker:
            continue
        block = replace(block, code=free_ports(block.code, ports))
        result = block.run(
            folder, environment, python=sys.executable, timeout_seconds=BLOCK_SECONDS
        )
        assert result.returncode == 0, f"{block.code}\n{result.stdout}"


def test_the_table_of_models_names_templates_of_that_context() -> None:
    table = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    rows = re.findall(r"B, (\d+) \| `ochat-serve \S+ --model-type (\S+)[^`]*` \|", table)
    assert len(rows) == 9
    for context, model_type in rows:
        assert get_template(model_type).context_length == int(context)


def test_every_figure_of_the_top_page_stands_on_the_page_that_it_links_to() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## Measured here\n")[1].split("\n## ")[0]
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| \[\w+\]\(([^)#]+)", section, re.MULTILINE
    )
    assert len(rows) > 6
    for what, ours, theirs, place in rows:
        page = (ROOT / place).read_text(encoding="utf-8")
        for figure in re.findall(r"\d[\d,]*\.?\d*", ours + theirs):
            assert re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d]|[.,]\d)", page), (
                what,
                figure,
            )


def test_every_extra_is_in_the_table_of_extras() -> None:
    table = (ROOT / "docs/installing.md").read_text(encoding="utf-8").split("\n## The extras\n")[1]
    for file in ROOT.glob("packages/*/pyproject.toml"):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        row = "\n".join(line for line in table.splitlines() if f"`{project['name']}[" in line)
        for extra in project.get("optional-dependencies", {}):
            assert f"[{extra}]`" in row, f"{project['name']}[{extra}]"


def test_every_guide_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for page in GUIDES:
        if page.name not in ("README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md"):
            assert f"{page.name})" in index, name(page)


def test_every_link_between_the_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{name(page)}: {target}"
