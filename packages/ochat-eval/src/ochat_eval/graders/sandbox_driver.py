"""The inside of `sandbox`: limits first, then the program, its tests, and at the end the word.

Run as a file by an isolated interpreter without site-packages; imports nothing of this package.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import types
from collections.abc import Callable

_FILE_BYTES = 2**20
_MODULE = "candidate"


def main() -> None:
    """Read the task, run it, and print the word if every test passed, else the error's name."""
    word, program, tests, entry_point, cpu_seconds, memory_mib = json.load(sys.stdin)
    report = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    _limit(cpu_seconds, memory_mib * 2**20)
    told = word
    try:
        _check(program, tests, entry_point)
    except BaseException as error:
        told = type(error).__name__
    os.write(report, f"\n{told}\n".encode())
    os._exit(0 if told == word else 1)


def _limit(cpu_seconds: int, memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _check(program: str, tests: str, entry_point: str) -> None:
    # Tests are compiled before the program runs, and in a namespace that it cannot reach by name.
    compiled = compile(tests, "<tests>", "exec")
    module = types.ModuleType(_MODULE)
    sys.modules[_MODULE] = module
    exec(compile(program, "<candidate>", "exec"), module.__dict__)  # noqa: S102 - the task itself
    function = module.__dict__[entry_point]
    checking: dict[str, object] = dict(module.__dict__) | {"__name__": "tests"}
    exec(compiled, checking)  # noqa: S102 - the benchmark's own tests
    check = checking["check"]
    if not callable(check):
        raise TypeError("the tests define no function check")
    check(_honest(function))


def _honest(function: Callable[..., object]) -> Callable[..., object]:
    """The function with results of plain types, so that no `__eq__` of its own can agree to all."""

    def candidate(*arguments: object, **named: object) -> object:
        return _plain(function(*arguments, **named))

    return candidate


def _plain(value: object) -> object:
    kind = type(value)
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return kind(_plain(each) for each in value)  # type: ignore[attr-defined]
    if kind is dict:
        return {_plain(key): _plain(each) for key, each in value.items()}  # type: ignore[attr-defined]
    if kind.__module__ != _MODULE:
        return value
    for base in (int, float, str, bytes, list, tuple, dict, set, frozenset):
        if issubclass(kind, base):
            return _plain(_as_base(base, value))
    if kind.__eq__ is not object.__eq__:
        return object()  # equal to nothing
    return value


def _as_base(base: type, value: object) -> object:
    """The value as the plain type that it inherits from, past whatever it overrides."""
    if base is int:
        return int.__add__(value, 0)  # type: ignore[operator]
    if base is float:
        return float.__add__(value, 0.0)  # type: ignore[operator]
    if base is str:
        return str.__str__(value)[:] if type(value) is str else "".join(str.__iter__(value))  # type: ignore[arg-type]
    if base is bytes:
        return bytes(bytes.__iter__(value))  # type: ignore[arg-type]
    if base is dict:
        return {key: dict.__getitem__(value, key) for key in dict.__iter__(value)}  # type: ignore[arg-type,index]
    return base(base.__iter__(value))  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
