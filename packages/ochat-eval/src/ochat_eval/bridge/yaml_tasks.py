"""Our questions as tasks of lm-evaluation-harness: a folder for its `--include_path`.

One YAML file and one data file a group. lm-eval grades with its own filters, chosen here by family;
its samples can be read back and graded by our rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from ochat_eval.errors import EvalError
from ochat_eval.question import Question
from ochat_eval.store import write_bytes

_LETTER = r"(?i:answer|option|choice)[^\n]{0,30}?\(?\b([A-Z])\b\)?|\(([A-Z])\)|^\s*([A-Z])\b"
_NUMBER = r"(-?\$?[0-9][0-9,]*(?:\.[0-9]+)?)"
_BOX_OR_CUE = r"\\boxed\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}|[Tt]he answer is:?\s*([^\n]+?)\.?\s*$"
_CUE = r"(?i:answer is:?)\s*([^\n]+?)\.?\s*(?:\n|$)"
_PATTERNS = {"gsm8k": _NUMBER, "number": _NUMBER, "math": _BOX_OR_CUE, "bbh_cot": _CUE,
             "text": _CUE}  # fmt: skip
_UNGRADED = frozenset({"humaneval", "mtbench_judge", "pairwise_judge"})


def export_suite(questions: Iterable[Question], output: Path) -> list[str]:
    """Write questions as lm-eval tasks.

    Args:
        questions: Of a suite.
        output: A folder to make; files of the same names are replaced.

    Returns:
        The names of the tasks, for lm-eval's `--tasks`.

    Raises:
        EvalError: The folder cannot be written.
    """
    groups: dict[str, list[Question]] = {}
    for question in questions:
        if question.family not in _UNGRADED:
            groups.setdefault(question.group, []).append(question)
    names: list[str] = []
    try:
        output.mkdir(parents=True, exist_ok=True)
        for group, members in groups.items():
            name = "ochat_" + "".join(c if c.isalnum() else "_" for c in group)
            data = (output / f"{name}.jsonl").resolve()
            write_bytes(data, b"".join(orjson.dumps(_row(each)) + b"\n" for each in members))
            # JSON is YAML too.
            content = orjson.dumps(_task(name, data, members[0]), option=orjson.OPT_INDENT_2)
            write_bytes(output / f"{name}.yaml", content + b"\n")
            names.append(name)
    except OSError as error:
        raise EvalError(f"cannot write to {output}: {error.strerror}; check its rights") from error
    return names


def _row(question: Question) -> dict[str, object]:
    target = question.labels[0]
    if question.family not in _PATTERNS:
        target = target.strip("() ")
    return {"id": question.id, "question": question.prompt, "target": target,
            "choices": list(question.options), "family": question.family}  # fmt: skip


def _task(name: str, data: Path, question: Question) -> Mapping[str, object]:
    pattern = _PATTERNS.get(question.family, _LETTER)
    extraction = {"function": "regex", "regex_pattern": pattern, "group_select": -1}
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{target}}",
        "generation_kwargs": {
            "until": list(question.stop) or ["\n\nQ:"],
            "max_gen_toks": question.max_tokens or 1024,
            "do_sample": False,
            "temperature": 0.0,
        },
        "filter_list": [
            {"name": "ochat", "filter": [extraction, {"function": "take_first"}]},
        ],
        "metric_list": [
            {
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": True,
                "regexes_to_ignore": [",", "\\$", "\\.$"],
            }
        ],
        "metadata": {"version": 1.0},
    }
