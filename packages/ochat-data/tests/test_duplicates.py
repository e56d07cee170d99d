"""Duplicates are found exactly and nearly, the first one stays, and groups are listed."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ochat_data import Record, deduplication
from ochat_data.deduplication import (
    dropped_places,
    exact_digest,
    exact_groups,
    minhash,
    near_groups,
)

Talk = Callable[..., Record]
Command = Callable[..., tuple[int, str, str]]
WORDS = [f"word{number}" for number in range(400)]


def text(seed: int, words: int = 120) -> list[str]:
    return random.Random(seed).choices(WORDS, k=words)  # noqa: S311 - a seed, not a secret


def changed(words: list[str], share: float, seed: int) -> list[str]:
    rng = random.Random(seed)  # noqa: S311
    return ["other" if rng.random() < share else word for word in words]


def jaccard(one: list[str], other: list[str]) -> float:
    def runs(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(words[start : start + 5]) for start in range(len(words) - 4)}

    return len(runs(one) & runs(other)) / len(runs(one) | runs(other))


def test_case_and_spaces_do_not_make_a_record_another(talk: Talk) -> None:
    same = [talk("Hi there", "Hello"), talk(" hi  THERE\n", "hello", model="x")]
    assert exact_digest(same[0]) == exact_digest(same[1])
    others = [talk("Hi", "there Hello"), talk("Hi there", "Hello", "x", "y"), talk("Hithere", "x")]
    others.append(Record.create_document("Hi there Hello"))
    assert len({exact_digest(record) for record in [same[0], *others]}) == 5


@pytest.fixture(params=[1, 3, 1000])
def most_recent(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(deduplication, "_MOST_RECENT", request.param)
    return request.param


# Two of them share their first half, two their last.
DIGESTS = [b"a" * 16, b"b" * 16, b"a" * 8 + b"b" * 8, b"b" * 8 + b"a" * 8, b"\xff" * 16, bytes(16)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(digests=st.lists(st.sampled_from(DIGESTS)))
@pytest.mark.usefixtures("most_recent")
def test_of_equal_digests_the_first_is_kept(digests: list[bytes]) -> None:
    dropped = dropped_places(exact_groups(digests))
    kept = [digest for place, digest in enumerate(digests) if place not in dropped]
    assert kept == list(dict.fromkeys(digests))


def test_many_records_are_told_apart_in_little_room() -> None:
    numbers = np.random.default_rng(0).integers(0, 1 << 62, (300_000, 2)).tobytes()
    seen = deduplication.ExactDuplicates()
    tracemalloc.start()
    for place in range(300_000):
        assert seen.first_of(numbers[16 * place : 16 * place + 16], place) is None
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen.first_of(numbers[16 * 777 : 16 * 778], 300_000) == 777
    assert held < 25e6  # a dictionary of them takes 50 MB


@pytest.mark.parametrize("share", [0.0, 0.02, 0.05, 0.2])
def test_minhash_estimates_the_similarity_of_texts(share: float, talk: Talk) -> None:
    errors: list[float] = []
    for seed in range(20):
        one = text(seed)
        other = changed(one, share, seed + 1000)
        signatures = [minhash(talk("", " ".join(words))) for words in (one, other)]
        estimate = float((signatures[0] == signatures[1]).mean())
        errors.append(estimate - jaccard(one, other))
    assert abs(np.mean(errors)) < 0.03
    assert np.max(np.abs(errors)) < 0.16  # four standard deviations of 128 draws


def test_near_duplicates_are_grouped_and_others_are_not(talk: Talk) -> None:
    originals = [text(seed) for seed in range(30)]
    copies = [changed(words, 0.01, seed) for seed, words in enumerate(originals[:10])]
    far = [changed(words, 0.3, seed) for seed, words in enumerate(originals[10:20])]
    records = [talk("q", " ".join(words)) for words in [*originals, *copies, *far]]
    groups = near_groups(np.array([minhash(record) for record in records]), 0.7)
    assert [(group.kept, group.dropped) for group in groups] == [(i, (30 + i,)) for i in range(10)]
    assert all(0.7 <= group.similarity <= 1 for group in groups)


def test_a_thousand_copies_of_a_template_are_one_group_in_no_time(talk: Talk) -> None:
    record = talk("q", " ".join(text(1)))
    signatures = np.array([minhash(record)] * 3000)
    (group,) = near_groups(signatures, 0.9)
    assert group.kept == 0
    assert len(group.dropped) == 2999


@pytest.mark.parametrize("method", ["exact", "near"])
def test_the_command_keeps_the_first_and_lists_the_groups(
    method: str, tmp_path: Path, talk: Talk, command: Command
) -> None:
    near = [talk("q", " ".join(changed(text(1), 0.01, 5)))]
    records = [talk("q", " ".join(text(1))), talk("a", "b"), *near, talk("A", " b"), talk("c", "d")]
    path, output, groups = (tmp_path / name for name in ("r.jsonl", "o.jsonl", "g.jsonl"))
    path.write_bytes(b"".join(record.to_line() for record in records))
    options = ("--method", method, "--groups", groups, "--threshold", "0.7")
    code, _, errors = command("dedup", path, "--output", output, *options)
    assert code == 0
    kept = [Record.from_json(json.loads(line)) for line in output.read_bytes().splitlines()]
    listed = [json.loads(line) for line in groups.read_bytes().splitlines()]
    exact = {"kept": records[1].id, "dropped": [records[3].id], "similarity": 1.0}
    if method == "exact":
        assert kept == [*records[:3], records[4]]
        assert listed == [exact]
        assert "5 in = 4 out + 1 dropped (duplicate) + 0 rejected, in 1 groups" in errors
    else:
        assert kept == [*records[:2], records[4]]
        assert listed[0] == exact
        assert (listed[1]["kept"], listed[1]["dropped"]) == (records[0].id, [records[2].id])


def test_a_threshold_of_nothing_is_refused(tmp_path: Path, talk: Talk, command: Command) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(talk("a", "b").to_line())
    options = ("--method", "near", "--threshold", "0")
    assert "would make all records one" in command("dedup", path, "--output", "-", *options)[2]
