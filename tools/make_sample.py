"""Write the sample set: two sources of different quality talking about the same little world.

    python tools/make_sample.py

The good source answers carefully and rightly; the weak one is sloppy and believes something wrong
about three facts of four. Both are asked in the same words, so what a model learns of each can be
measured. One way of asking every fact is kept out of both sources: those are the held-out
questions of the evaluation. The same seed writes the same files.
"""

from __future__ import annotations

import json
import random
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONVERSATIONS = ROOT / "packages/ochat-data/src/ochat_data/sample"
QUESTIONS = ROOT / "packages/ochat-eval/src/ochat_eval/sample/questions.jsonl"
SEED = 20230730  # the day OpenChat V3 was released
GOOD, WEAK = "gpt-4", "gpt-3.5-turbo"
COUNTS = {GOOD: 2400, WEAK: 3600}
WRONG_SHARE = 3 / 4
TURNS = (1, 1, 2, 2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of question, with every way to ask and to answer it."""

    name: str
    family: str
    questions: list[str]
    follow_up: str
    careful: list[str]
    sloppy: list[str]
    facts: dict[str, str]
    options: list[str]

    def answer(self, pattern: str, x: str, y: str) -> str:
        """Fills an answer pattern; a sentence starts with a capital letter."""
        letter = "ABCD"[self.options.index(y)] if self.options else ""
        text = pattern.format(x=x, y=y, letter=letter)
        return text[0].upper() + text[1:] if pattern in self.careful else text


@dataclass(frozen=True, kw_only=True)
class World:
    """The kinds, what the weak source believes, and which question of each fact is held out."""

    kinds: list[Kind]
    beliefs: dict[tuple[str, str], str]
    held_out: dict[tuple[str, str], int]


def read_kinds() -> list[Kind]:
    """Reads the tables and adds the sums, which are computed."""
    with (ROOT / "tools/sample_facts.toml").open("rb") as file:
        tables = tomllib.load(file)["kind"]
    sums = {f"{a} plus {b}": str(a + b) for a in range(1, 8) for b in range(a, 8)}
    return [Kind(**{"facts": sums, "options": []} | table) for table in tables]


def make_world(kinds: list[Kind], rng: random.Random) -> World:
    """Decides what the weak source gets wrong and which questions nobody is trained on."""
    beliefs: dict[tuple[str, str], str] = {}
    held_out: dict[tuple[str, str], int] = {}
    for kind in kinds:
        for x, y in kind.facts.items():
            others = sorted(set(kind.facts.values()) - {y})
            if kind.family == "number":  # a near miss, as from somebody who half remembers
                others = [str(int(y) + step) for step in (-2, -1, 1, 2) if int(y) + step > 0]
            beliefs[kind.name, x] = rng.choice(others) if rng.random() < WRONG_SHARE else y
            held_out[kind.name, x] = rng.randrange(len(kind.questions))
    return World(kinds=kinds, beliefs=beliefs, held_out=held_out)


def ask(kind: Kind, x: str, world: World, rng: random.Random) -> str:
    """Asks for a fact in one of the ways that are not held out."""
    ways = [q for i, q in enumerate(kind.questions) if i != world.held_out[kind.name, x]]
    return rng.choice(ways).format(x=x)


def talk(model: str, world: World, rng: random.Random) -> list[dict[str, str]]:
    """One conversation of one to four turns; a follow-up stays with its kind."""
    turns: list[dict[str, str]] = []
    kind: Kind | None = None
    for _ in range(rng.choice(TURNS)):
        follows = kind is not None and rng.random() < 0.3
        if kind is None or not follows:
            # By the number of facts, so that every fact comes up equally often.
            [kind] = rng.choices(world.kinds, [len(kind.facts) for kind in world.kinds])
        x = rng.choice(list(kind.facts))
        question = kind.follow_up.format(x=x) if follows else ask(kind, x, world, rng)
        if model == GOOD:
            answer = kind.answer(rng.choice(kind.careful), x, kind.facts[x])
        else:
            answer = kind.answer(rng.choice(kind.sloppy), x, world.beliefs[kind.name, x])
        turns += [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return turns


def spoil(turns: list[dict[str, str]], rng: random.Random) -> list[dict[str, str]]:
    """The dirt of real dumps, in one conversation of fifty, for the cleaning to find."""
    fault = rng.choice(["empty answer", "answer first", "no answer", "line ends", "unknown role"])
    if fault == "empty answer":
        return [*turns, {"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "  "}]
    if fault == "answer first":
        return [{"from": "gpt", "value": "Hi, what would you like to know?"}, *turns]
    if fault == "no answer":
        return [*turns, {"from": "human", "value": "Thanks!"}]
    if fault == "line ends":
        first = turns[0] | {"value": turns[0]["value"] + "\r\n"}
        return [first, *turns[1:]]
    return [*turns, {"from": "plugin", "value": "{}"}]


def conversations(model: str, world: World, rng: random.Random) -> list[dict[str, object]]:
    """All conversations of one source, in ShareGPT's form."""
    records: list[dict[str, object]] = []
    for number in range(COUNTS[model]):
        turns = talk(model, world, rng)
        if rng.random() < 0.02:
            turns = spoil(turns, rng)
        records.append({"id": f"{model}-{number:05d}", "model": model, "conversations": turns})
    return records


def questions(world: World) -> list[dict[str, object]]:
    """The held-out way of asking every fact that can be graded as a choice or a number."""
    rows: list[dict[str, object]] = []
    for kind in world.kinds:
        if kind.family == "text":
            continue
        for x, y in kind.facts.items():
            pattern = kind.questions[world.held_out[kind.name, x]]
            row: dict[str, object] = {
                "id": f"{kind.name}/{x.replace(' ', '-')}",
                "group": kind.name,
                "family": kind.family,
                "question": pattern.format(x=x),
                "label": "ABCD"[kind.options.index(y)] if kind.options else y,
            }
            if kind.options:
                row["options"] = list("ABCD")
            rows.append(row)
    return rows


def main() -> None:
    """Writes the two dumps and the held-out questions."""
    rng = random.Random(SEED)  # noqa: S311 - a sample, not a secret
    world = make_world(read_kinds(), rng)
    CONVERSATIONS.mkdir(parents=True, exist_ok=True)
    QUESTIONS.parent.mkdir(parents=True, exist_ok=True)
    for model, name in ((GOOD, "sharegpt_gpt4.json"), (WEAK, "sharegpt_gpt35.json")):
        records = conversations(model, world, rng)
        lines = ",\n".join(json.dumps(record, separators=(",", ":")) for record in records)
        (CONVERSATIONS / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(f"{name}: {len(records)} conversations")
    rows = questions(world)
    QUESTIONS.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{QUESTIONS.name}: {len(rows)} held-out questions")


if __name__ == "__main__":
    main()
