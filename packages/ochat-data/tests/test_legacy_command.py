"""OpenChat's published data command writes the files that OpenChat's trainers read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ochat_data import LegacyDataset
from ochat_data.legacy_command import main
from ochat_templates.testing import train_sentencepiece


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Forty conversations, one bad line, and a tokenizer."""
    folder = tmp_path_factory.mktemp("legacy")
    lines = [
        json.dumps(
            {
                "items": [
                    {"role": "user", "content": f"Question {n}"},
                    {"role": "assistant", "content": f"Answer {n}", "weight": 1.0},
                ],
                "condition": "GPT4" if n % 2 else "GPT3",
                "system": "",
            }
        )
        for n in range(40)
    ]
    chats = folder / "chats.jsonl"
    chats.write_text("\n".join([*lines, "no json"]) + "\n")
    tokenizer = folder / "tokenizer.model"
    train_sentencepiece([f"Question {n} Answer {n}" for n in range(400)], tokenizer)
    return chats, tokenizer


@pytest.mark.parametrize(
    ("model_type", "column"),
    [("openchat_v3.2", "total_loss_weight"), ("openchat_3.6", "nz_shifted_loss_weights")],
)
def test_each_release_gets_its_layout(
    files: tuple[Path, Path],
    model_type: str,
    column: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chats, tokenizer = files
    prefix = tmp_path / "new" / "set"
    words = ["--model-type", model_type, "--model-path", str(tokenizer)]
    words += ["--in-files", str(chats), "--out-prefix", str(prefix), "--eval-ratio", "0.25"]
    assert main(words) == 0
    made = {file.name for file in prefix.parent.iterdir()}
    assert made == {"set.train.parquet", "set.eval.parquet", "set.rejects.jsonl"}
    assert column in pq.read_table(f"{prefix}.train.parquet").column_names
    assert "1 rejected" in capsys.readouterr().err
    dataset = LegacyDataset.open(prefix)
    assert dataset.eval_file is not None
    counts = [pq.read_metadata(file).num_rows for file in (*dataset.train_files, dataset.eval_file)]
    # The 2023 layout groups its rows by condition.
    assert all(counts)
    assert dataset.model_type == model_type


def test_the_published_module_refuses_what_it_cannot_do(files: tuple[Path, Path]) -> None:
    chats, tokenizer = files
    command = [sys.executable, "-m", "ochat.data.generate_dataset", "--model-type", "openchat_v9"]
    command += ["--model-path", str(tokenizer), "--in-files", str(chats), "--out-prefix", "x"]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert result.returncode == 1
    assert "openchat_v9" in result.stderr
    assert "Traceback" not in result.stderr
