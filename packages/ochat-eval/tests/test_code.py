from __future__ import annotations

import pytest

from ochat_eval import Status, Verdict
from ochat_eval.graders.code import grade_code
from ochat_eval.graders.programs import program_of
from ochat_eval.graders.sandbox import has_network_isolation

PROMPT = (
    "from typing import List\n\n\ndef helper(x):\n    return x + 1\n\n\n"
    'def double_all(xs: List[int]) -> List[int]:\n    """Twice each of xs."""\n'
)
TEST = (
    "def check(candidate):\n    assert candidate([]) == []\n"
    "    assert candidate([1, 2]) == [2, 4]\n"
)
GOOD = "def double_all(xs):\n    return [2 * x for x in xs]\n"


def verdict(response: str, *, test: str = TEST, finish_reason: str | None = None) -> Verdict:
    context = {"prompt": PROMPT, "test": test, "entry_point": "double_all"}
    return grade_code(response, context, finish_reason=finish_reason, allow_code=True)


@pytest.mark.parametrize(
    "response",
    [
        GOOD,
        f"```python\n{GOOD}```",
        f"Sure! Here it is:\n\n```py\n{GOOD}```\n\nIt doubles each number.",
        f"~~~\n{GOOD}~~~",
        f"```python\n{GOOD}",
        f"Here is the function.\n\n{GOOD}\nThis works because lists are iterable.",
        "    return [2 * x for x in xs]\n",
        "```\nreturn [2 * x for x in xs]\n```",
        f"<think>{GOOD.replace('2 *', '3 *')}</think>```python\n{GOOD}```",
        "```python\ndef twice(x):\n    return 2 * x\n```\nand\n"
        "```python\ndef double_all(xs):\n    return [twice(x) for x in xs]\n```",
        f"```python\n{GOOD.replace('2', '3')}```\nNo, that is wrong:\n```python\n{GOOD}```",
        f"```python\n{GOOD}\nimport sys\nsys.exit(0)\n```",
        f"```python\n{GOOD}\nprint(double_all([1]))\nassert double_all([1]) == [3]\n```",
        f"```python\n{GOOD}\nif __name__ == '__main__':\n    x = input()\n```",
        f"```python\n{GOOD.rstrip()}```",
        f"```python\n{GOOD}```".replace("\n", "\r\n"),
        "    found = []\n    for x in xs:\n        found.append(2 * x)\n    return found",
        "found = []\nfor x in xs:\n    found.append(2 * x)\nreturn found",
        "The function:\n\n    def double_all(xs):\n        return [2 * x for x in xs]\n\nDone.",
        f"```python\n{GOOD}\nwhile True: pass\n```",
        f"```js\nfunction double_all(xs) {{}}\n```\n```python\n{GOOD}```",
        "```python\ndouble_all = lambda xs: [2 * x for x in xs]\n```",
        "```python\ndef double_all(xs: List[int]) -> List[int]:\n"
        "    return [helper(x) + x - 1 for x in xs]\n```",
        f"```python\n{PROMPT}    return [2 * x for x in xs]\n```",
        f"Run `pip install x` first.\n```bash\npip install x\n```\n```python\n{GOOD}```",
    ],
)
def test_a_right_program_is_found_in_every_form(response: str) -> None:
    assert verdict(response).status is Status.CORRECT, program_of(response, PROMPT, "double_all")


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("return xs", "tests-AssertionError"),
        ("import os; os._exit(0)", "tests-ended-early"),
        ("raise SystemExit(0)", "tests-SystemExit"),
        ("return unknown", "tests-NameError"),
        ("while True: pass", "tests-timeout"),
        ("return [0] * 10**10", "tests-MemoryError"),
        ("import os; return os.fork()", "tests-BlockingIOError"),
        ("print('x' * 10**6); return xs", "tests-AssertionError"),
        ("return input()", "tests-EOFError"),
    ],
)
def test_a_wrong_program_is_wrong_and_says_how_it_ended(body: str, rule: str) -> None:
    found = verdict(f"def double_all(xs):\n    {body}\n")
    assert found.status is Status.INCORRECT
    # As root no limit of processes holds, so that a fork may end in another way.
    assert found.rule == rule or "fork" in body


@pytest.mark.parametrize(
    "program",
    [
        "class Z(list):\n    def __eq__(self, o): return True\n"
        "def double_all(xs):\n    return Z()\n",
        "class Z:\n    def __eq__(self, o): return True\ndef double_all(xs):\n    return Z()\n",
        "class Z(int):\n    def __eq__(self, o): return True\n"
        "def double_all(xs):\n    return [Z() for _ in xs]\n",
        "def check(f): pass\ndef double_all(xs):\n    return 0\n",
    ],
)
def test_a_program_that_would_agree_to_everything_is_wrong(program: str) -> None:
    assert verdict(program).status is Status.INCORRECT


@pytest.mark.skipif(not has_network_isolation(), reason="no network namespaces here")
def test_a_program_sees_no_network() -> None:
    body = (
        "import socket\n    names = [n for _, n in socket.if_nameindex()]\n"
        "    assert names == ['lo'], names\n    return [2 * x for x in xs]"
    )
    assert verdict(f"def double_all(xs):\n    {body}\n").status is Status.CORRECT


def test_no_program_is_unparsed_and_a_cut_one_truncated() -> None:
    assert verdict("I would use a list comprehension.").status is Status.UNPARSED
    assert verdict("").rule == "empty"
    assert verdict("```python\ndef doub", finish_reason="length").status is Status.TRUNCATED
    assert verdict("<think>def double_all").status is Status.TRUNCATED
