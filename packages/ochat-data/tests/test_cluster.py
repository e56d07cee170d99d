"""The pipeline on a real Ray cluster of two nodes gives the bytes that one machine gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ochat_data import InputError
from ochat_data.pipeline import chunks, executors, run_pipeline

RECIPE = """
schema = 1
output = "set"
[[source]]
files = ["dump.jsonl"]
[dedup]
[tokenize]
template = "openchat_v3.2"
tokenizer = "tokenizer.model"
"""


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes on this machine, one processor each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    yield made
    import ray

    ray.shutdown()
    made.shutdown()


@pytest.fixture
def project(tmp_path: Path, tokenizer_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [{"instruction": f"What is {n}?", "output": f"A {n} story. " * 9} for n in range(300)]
    (tmp_path / "dump.jsonl").write_text("\n".join(map(json.dumps, [*rows, *rows[:30]])))
    (tmp_path / "tokenizer.model").write_bytes(tokenizer_path.read_bytes())
    (tmp_path / "pipeline.toml").write_text(RECIPE)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 6000)
    return tmp_path


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


@pytest.mark.filterwarnings("ignore")  # of Ray's own, about its future
def test_two_nodes_give_the_bytes_of_one_machine(project: Path, cluster: Any) -> None:
    run_pipeline(project / "pipeline.toml", executors.HereExecutor())
    expected = digests(project / "set")
    for path in (project / "set").iterdir():
        path.unlink()
    (project / "set").rmdir()
    executor = executors.RayExecutor(cluster.address)
    import ray

    assert len([node for node in ray.nodes() if node["Alive"]]) == 2
    nodes = _Recording(executor)
    with pytest.raises(KeyboardInterrupt):  # as Ctrl-C in the middle
        run_pipeline(project / "pipeline.toml", nodes)
    finished = list(project.glob(".set.work/*/prepare-*.json"))
    assert finished
    lines: list[str] = []
    run_pipeline(project / "pipeline.toml", executor, say=lines.append)
    assert lines == ["going on with the run that was interrupted"]
    assert digests(project / "set") == expected


class _Recording:
    """An executor that is interrupted after three pieces."""

    def __init__(self, inner: executors.Executor) -> None:
        self.inner = inner

    def run(
        self, piece: executors.Piece, recipe: str, work: str, chunks: Sequence[chunks.Chunk]
    ) -> Iterator[tuple[chunks.Chunk, dict[str, Any]]]:
        for count, result in enumerate(self.inner.run(piece, recipe, work, chunks)):
            if count == 3:
                raise KeyboardInterrupt
            yield result


def test_a_cluster_that_is_not_there_is_one_sentence() -> None:
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="no Ray cluster at .*ray start --head"):
        executors.RayExecutor("127.0.0.1:1")
