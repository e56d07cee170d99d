"""The code stays readable: no module or function outgrows its ceiling."""

from __future__ import annotations

import ast
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("packages/*/src/**/*.py"), *ROOT.glob("tools/*.py")])
TESTS = sorted([*ROOT.glob("packages/*/tests/**/*.py"), *ROOT.glob("tests/*.py")])
MODULE_CEILING, FUNCTION_CEILING = 400, 60
# Taken together: half of the modules are at most this long, nine of ten at most that.
MODULE_MEDIAN, MODULE_P90 = 120, 250
FUNCTION_MEDIAN, FUNCTION_P90 = 8, 25


def functions(path: Path) -> list[tuple[str, int]]:
    """Every function with its lines, the docstring's not counted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", length(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.fixture(scope="module")
def measured() -> dict[Path, list[tuple[str, int]]]:
    """Every file's functions, parsed in a process of its own.

    CPython 3.11's parser keeps one depth for all threads, and raises a SystemError when a thread
    that another test left behind compiles something meanwhile (gh-106905).
    """
    paths = [*SOURCES, *TESTS]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return dict(zip(paths, pool.map(functions, paths, chunksize=len(paths)), strict=True))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    documented = ast.get_docstring(function, clean=False)
    docstring = len(documented.splitlines()) if documented else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_there_is_something_to_measure() -> None:
    assert len(SOURCES) > 30
    assert {path.parts[-3] for path in SOURCES} > {"src"}


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_or_function_is_above_its_ceiling(
    path: Path, measured: dict[Path, list[tuple[str, int]]]
) -> None:
    assert lines(path) <= MODULE_CEILING
    long = [f"{name}: {size}" for name, size in measured[path] if size > FUNCTION_CEILING]
    assert not long


def test_most_modules_and_functions_are_short(
    measured: dict[Path, list[tuple[str, int]]],
) -> None:
    modules = [lines(path) for path in SOURCES if lines(path) > 2]
    lengths = [size for path in SOURCES for _, size in measured[path]]
    assert median(modules) <= MODULE_MEDIAN
    assert quantiles(modules, n=10)[8] <= MODULE_P90
    assert median(lengths) <= FUNCTION_MEDIAN
    assert quantiles(lengths, n=10)[8] <= FUNCTION_P90
