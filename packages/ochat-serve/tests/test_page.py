"""The page's own sources: what they may not contain, and that everything they name is there.

How it behaves is tested in the folder `page`, in a real browser.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "src" / "ochat_serve" / "page"
MODULES = sorted(p for p in PAGE.rglob("*.js") if "vendor" not in p.parts)
STYLES = sorted(p for p in PAGE.rglob("*.css") if "vendor" not in p.parts)
# Answers are shown by the renderer, whose sanitiser alone may make elements of markup.
WITHOUT_MARKUP = [p for p in MODULES if "render" not in p.parts]


def named(path: Path) -> str:
    return path.relative_to(PAGE).as_posix()


@pytest.mark.parametrize("path", WITHOUT_MARKUP, ids=named)
def test_no_module_makes_markup_of_text(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert forbidden not in source


@pytest.mark.parametrize("path", [*MODULES, *STYLES], ids=named)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    source = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"(?:https?:)?//[\w-]+\.\w+/", source)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_modules_are_short_and_say_what_they_are(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 300
    assert lines[0].startswith("// ")


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_every_import_leads_to_what_is_exported_there(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for names, target in re.findall(r"import \{([^}]*)\} from \"(\.[^\"]+)\"", source):
        there = (path.parent / target).resolve()
        assert there.is_file(), target
        if "vendor" in there.parts:
            continue
        exported = there.read_text(encoding="utf-8")
        for name in (part.split(" as ")[0].strip() for part in names.split(",") if part.strip()):
            assert re.search(rf"export [^\n]*\b{re.escape(name)}\b", exported), f"{target}: {name}"


def test_the_document_has_what_the_modules_ask_for() -> None:
    document = (PAGE / "index.html").read_text(encoding="utf-8")
    ids = set(re.findall(r'\bid="([^"]+)"', document))
    asked: set[str] = set()
    for path in MODULES:
        if "status" not in path.parts:
            asked |= set(re.findall(r'byId\("([^"]+)"\)', path.read_text(encoding="utf-8")))
    made = {"settings-key"}  # by the settings panel
    assert asked - made <= ids
    for target in re.findall(r'(?:src|href)="(page/[^"]+)"', document):
        assert (PAGE.parent / target).is_file(), target
