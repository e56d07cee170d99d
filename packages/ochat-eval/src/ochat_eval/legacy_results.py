"""The result file of the original's evaluation: one JSON array of tasks with their responses.

`is_matched`, `answer` and `is_correct` are the original's verdicts (profile `original-2024`), so
that its own scripts read the file; ours are in the run folder.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from ochat_eval.errors import RunFolderError
from ochat_eval.store import RunFolder, read_lines, write_bytes

_TYPES = {
    "agieval": "zs/agieval",
    "bbh_cot": "fs_cothub/bbh",
    "bbh_zs": "zs/bbh_mc_orca",
    "gpqa": "zs/gpqa",
    "gsm8k": "fs_cothub/gsm8k",
    "humaneval": "coding/humaneval",
    "math": "fs_cothub/math",
    "mmlu": "fs_cothub/mmlu",
    "truthfulqa": "zs/truthfulqa_orca",
}


def write_results(run: Path, output: Path) -> None:
    """Write the old result file of a run folder that was graded by `original-2024` too.

    Raises:
        RunFolderError: The folder lacks those verdicts, or the file cannot be written.
    """
    folder = RunFolder.open(run)
    responses = folder.responses()
    verdicts = {row["key"]: row for row in read_lines(run / "verdicts.original-2024.jsonl")}
    results: list[dict[str, object]] = []
    for question in folder.questions():
        response, verdict = responses.get(question.key), verdicts.get(question.key, {})
        rule, answer = str(verdict.get("rule", "")), verdict.get("extracted")
        results.append(
            {
                "question": question.prompt,
                "label": list(question.labels),
                "options": list(question.options) or None,
                "_metadata": dict(question.context) or None,
                "task_name": question.group,
                "task_type": _TYPES.get(question.family, question.family),
                "response": (response.text if response else None) or "",
                "is_matched": bool(verdict) and not rule.endswith("-unmatched"),
                "answer": answer,
                "is_correct": verdict.get("status") == "correct",
            }
        )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(output, orjson.dumps(results, option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise RunFolderError(f"cannot write {output}: {error.strerror}; check its place") from error
