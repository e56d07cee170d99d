"""The tools around the packages: the bootstrap, the required markers, the sample's generator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ochat_data import sample_files

ROOT = Path(__file__).resolve().parents[1]


def test_a_python_that_cannot_make_environments_is_told_what_to_install(tmp_path: Path) -> None:
    # What Debian's Python is like without python3-venv: no ensurepip.
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/bootstrap.py", tmp_path / "tools")
    (tmp_path / "ensurepip.py").write_text("raise ImportError('split off')")
    result = subprocess.run(
        [sys.executable, tmp_path / "tools/bootstrap.py", "demo"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert "apt install python3" in last
    assert "Traceback" not in result.stderr
    assert not (tmp_path / ".hatch").exists()


@pytest.mark.parametrize(("required", "status"), [("", 0), ("vllm browser", 1)])
def test_a_skip_that_was_promised_to_run_is_a_failure(
    required: str, status: int, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = browser\n")
    (tmp_path / "test_page.py").write_text(
        "import pytest\n\n@pytest.mark.browser\ndef test_page():\n    pytest.skip('no chromium')\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=tmp_path,
        env=os.environ | {"OCHAT_REQUIRE": required},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == status, result.stdout


def test_the_sample_set_is_what_its_generator_writes(tmp_path: Path) -> None:
    for place in ("packages/ochat-data/src/ochat_data", "packages/ochat-eval/src/ochat_eval"):
        (tmp_path / place).mkdir(parents=True)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    subprocess.run([sys.executable, tmp_path / "tools/make_sample.py"], check=True)
    written = sorted(tmp_path.glob("packages/*/src/*/sample/*"))
    assert len(written) == 3
    for file in written:
        assert file.read_bytes() == (ROOT / file.relative_to(tmp_path)).read_bytes()


def test_no_held_out_question_was_asked_in_training() -> None:
    asked = {
        turn["value"].strip()
        for file in sample_files()
        for record in json.loads(file.read_text(encoding="utf-8"))
        for turn in record["conversations"]
    }
    questions = ROOT / "packages/ochat-eval/src/ochat_eval/sample/questions.jsonl"
    held_out = [json.loads(line)["question"] for line in questions.read_text().splitlines()]
    assert len(held_out) > 100
    assert not asked.intersection(held_out)
