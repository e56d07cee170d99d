"""From a response to the program that it means: all its code blocks, definitions only.

Works on syntax trees, so that prose, examples and calls at the top level ("sys.exit(0)", a demo)
neither help nor harm. Nothing is executed here; that is `sandbox`'s business.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator

_FENCE = re.compile(
    r"^[ \t]*(?P<mark>`{3,}|~{3,})[^\n`]*\n(?P<code>.*?)(?:(?P=mark)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_BEGINS_CODE = re.compile(r"\s*(?:from|import|def|class|async|@|\w+\s*=)")
# Tries of "which lines are code" in a response without a fence.
_MOST_STARTS = 40


def program_of(response: str, prompt: str, entry_point: str) -> str | None:
    """The source of a module that defines the entry point, or None where the response has none.

    Args:
        response: What the model wrote, reasoning removed.
        prompt: The code that the model was to complete; its imports and helpers are kept.
        entry_point: The name that the tests call.
    """
    given = _parsed(prompt)
    if given is None:
        given = _parsed(prompt + "    pass\n")
    before = [
        node for node in (given.body if given else []) if getattr(node, "name", "") != entry_point
    ]
    defined: list[ast.stmt] = []
    for block in _blocks(response):
        defined += _definitions(block, prompt, entry_point)
    if not _defines(defined, entry_point):
        return None
    module = ast.Module(body=[*_futures_first([*before, *defined])], type_ignores=[])
    return ast.unparse(ast.fix_missing_locations(module))


def _blocks(response: str) -> Iterator[str]:
    """The fenced blocks, closed or not; without any, the response itself."""
    fenced = [match["code"] for match in _FENCE.finditer(response)]
    yield from fenced or [response]


def _definitions(block: str, prompt: str, entry_point: str) -> list[ast.stmt]:
    """What a block defines: as a module, as the function's body, or in its longest run of code."""
    tree = _parsed(textwrap.dedent(block))
    # A body alone parses as a module too, with its `return` outside of any function.
    if tree is not None and not _returns(tree.body) and _kept(tree, entry_point):
        return _kept(tree, entry_point)
    for body in _as_body(block):
        continued = _parsed(prompt.rstrip() + "\n" + body)
        if continued is not None and _has_own_body(continued, entry_point):
            return _kept(continued, entry_point)
    return _within_prose(block, entry_point)


def _as_body(block: str) -> Iterator[str]:
    lines = block.strip("\n").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    yield "\n".join(lines)
    yield textwrap.indent(textwrap.dedent("\n".join(lines)), "    ")
    # A body whose first line lost its indentation, as tokenizers that strip do to completions.
    if lines and not lines[0].startswith((" ", "\t")):
        yield "\n".join([f"    {lines[0]}", *lines[1:]])


def _within_prose(block: str, entry_point: str) -> list[ast.stmt]:
    """The longest run of lines that is code and defines the entry point."""
    lines = block.splitlines()
    starts = [i for i, line in enumerate(lines) if _BEGINS_CODE.match(line)]
    for start in starts[:_MOST_STARTS]:
        for end in range(len(lines), start, -1):
            tree = _parsed(textwrap.dedent("\n".join(lines[start:end])))
            if tree is not None and _defines(kept := _kept(tree, entry_point), entry_point):
                return kept
    return []


def _kept(tree: ast.Module, entry_point: str) -> list[ast.stmt]:
    """Definitions, imports and constants, in order; an assignment may fail without harm."""
    kept: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, (*_DEFINITIONS, *_IMPORTS)):
            kept.append(node)
        elif isinstance(node, _ASSIGNMENTS) and not _calls(node, entry_point):
            kept.append(node if _names(node, entry_point) else _tolerant(node))
        elif isinstance(node, ast.Try | ast.If) and not _is_main_guard(node):
            kept += [each for each in node.body if isinstance(each, (*_DEFINITIONS, *_IMPORTS))]
    return kept


def _tolerant(node: ast.stmt) -> ast.stmt:
    handler = ast.ExceptHandler(
        type=ast.Name(id="Exception", ctx=ast.Load()), name=None, body=[ast.Pass()]
    )
    return ast.Try(body=[node], handlers=[handler], orelse=[], finalbody=[])


def _futures_first(body: list[ast.stmt]) -> list[ast.stmt]:
    futures = [n for n in body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    return [*futures, *(node for node in body if node not in futures)]


def _defines(body: list[ast.stmt], name: str) -> bool:
    return any(
        (isinstance(node, _DEFINITIONS) and node.name == name) or _names(node, name)
        for node in body
    )


def _has_own_body(tree: ast.Module, name: str) -> bool:
    """Whether the function has more than the docstring that the prompt gave it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            bare = [n for n in node.body if not _is_text(n)]
            return bool(bare)
    return False


def _returns(body: list[ast.stmt]) -> bool:
    """Whether statements return without being in a function."""
    for node in body:
        if isinstance(node, ast.Return):
            return True
        inner = [*getattr(node, "body", []), *getattr(node, "orelse", [])]
        if not isinstance(node, _DEFINITIONS) and _returns(inner):
            return True
    return False


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _names(node: ast.stmt, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _calls(node: ast.stmt, name: str) -> bool:
    return any(
        isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == name
        for each in ast.walk(node)
    ) and not _names(node, name)


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.dump(node.test)


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
