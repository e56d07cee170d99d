"""JSONL to a token dataset, against bare SentencePiece and against the path of OpenChat in 2023.

Texts are passages of Python's own source and documentation, each met once; every round begins with
a fresh codec, so that nothing is remembered from an earlier one. Ours is all of `ochat-data
tokenize`: parsing, encoding, weights, Parquet, manifest. The bare side encodes the same contents,
which lie in memory as strings. The path of 2023 is restated here: Transformers' slow tokenizer,
message by message, masks as Python lists, a table of them, Parquet. It needs an environment with

    pip install 'transformers<5' sentencepiece protobuf
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import pkgutil
import random
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sentencepiece
from sides import cpu_seconds, leave, parser, tokenizer_file, verdict

from ochat_data import Record
from ochat_data.__main__ import main as ochat_data
from ochat_templates import Conversation, Message

TEMPLATE = "openchat_v3.2"


def passages(characters: int) -> list[str]:
    """The standard library's source, cut into passages of a few hundred to thousands letters."""
    rng = random.Random(0)  # noqa: S311 - a seed, not a secret
    folder = Path(inspect.getfile(pkgutil)).parent
    found: list[str] = []
    for path in sorted(folder.rglob("*.py")):
        if "site-packages" in path.parts:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        start = 0
        while start < len(text):
            end = start + rng.randint(100, 1200)
            found.append(text[start:end])
            characters -= end - start
            start = end
        if characters <= 0:
            break
    rng.shuffle(found)
    return found


def write_records(path: Path, texts: list[str]) -> list[Record]:
    """Conversations of four messages as `ochat-data import` writes them."""
    records: list[Record] = []
    for start in range(0, len(texts) - 3, 4):
        messages = tuple(
            Message(role=("user", "assistant")[turn % 2], content=text)
            for turn, text in enumerate(texts[start : start + 4])
        )
        condition = ("GPT4", "GPT3")[start // 4 % 2]
        records.append(Record.create(Conversation(messages=messages, condition=condition)))
    path.write_bytes(b"".join(record.to_line() for record in records))
    return records


def read_records(path: Path) -> list[Record]:
    """The records of a file that somebody has."""
    with path.open("rb") as file:
        return [Record.from_json(json.loads(line)) for line in file]


def tokenize(records: Path, tokenizer: Path, output: Path) -> None:
    """The command, quietly."""
    options = ["--template", TEMPLATE, "--tokenizer", str(tokenizer), "--overwrite"]
    command = ["tokenize", str(records), "--output", str(output), *options]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = ochat_data(command)
    if code:
        raise SystemExit(said.getvalue())


def path_of_2023(records: Path, tokenizer: Any, output: Path) -> int:  # noqa: ANN401
    """Encodes and writes as OpenChat did in 2023; returns the number of tokens."""

    def encode(text: str) -> list[int]:
        return tokenizer.convert_tokens_to_ids(tokenizer._tokenize(text))

    end = 32000
    columns: dict[str, list[Any]] = {"total_length": [], "tokens": [], "masks": [], "weight": []}
    with records.open(encoding="utf-8") as file:
        conversations = [json.loads(line) for line in file]
    for conversation in conversations:
        condition = conversation.get("condition") or "GPT4"
        tokens, masks = [1], [False]
        for item in conversation["items"]:
            answers = item["role"] == "assistant"
            prefix = encode(f"{condition} {'Assistant' if answers else 'User'}:")
            content = [*encode(item["content"]), end]
            tokens += prefix + content
            masks += [False] * len(prefix) + [answers] * len(content)
        columns["total_length"].append(len(tokens[:4096]))
        columns["tokens"].append(tokens[:4096])
        columns["masks"].append(masks[:4096])
        columns["weight"].append(1.0)
    pq.write_table(pa.Table.from_pydict(columns), output)
    return sum(columns["total_length"])


def slow_tokenizer(file: Path) -> Any | None:  # noqa: ANN401
    """Transformers' slow Llama tokenizer; None where there is none."""
    try:
        transformers = import_module("transformers")
    except ImportError:
        return None
    tokenizer = transformers.LlamaTokenizer(vocab_file=str(file), legacy=True)
    return tokenizer if hasattr(tokenizer, "sp_model") else None


def main() -> None:
    """Measures and prints both ratios."""
    options = parser(__doc__ or "", rounds=3)
    options.add_argument("--characters", type=int, default=24_000_000, help="text to encode")
    options.add_argument("--records", type=Path, help="records to measure on instead")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = tokenizer_file(arguments.tokenizer, folder)
        records, output = arguments.records or folder / "records.jsonl", folder / "dataset"
        if arguments.records:
            chats = read_records(records)
        else:
            chats = write_records(records, passages(arguments.characters))
        bare = sentencepiece.SentencePieceProcessor(model_file=str(file))
        contents = [each.content for chat in chats for each in chat.conversation.messages]
        sides: list[Callable[[], object]] = [
            lambda: tokenize(records, file, output),
            lambda: [bare.encode(text) for text in contents],
        ]
        slow = slow_tokenizer(file)
        if slow is not None:
            sides.append(lambda: path_of_2023(records, slow, folder / "old.parquet"))
        seconds = cpu_seconds(arguments.rounds, *sides)
        manifest = json.loads((output / "manifest.json").read_text())
        tokens = manifest["splits"]["train"]["totals"]["tokens"]
        print(f"{len(chats):,} conversations, {tokens:,} tokens")
        for side, spent in zip(("ochat-data tokenize", "bare", "2023"), seconds, strict=False):
            print(f"  {side}: {tokens / spent / 1e6:.2f} M tokens per CPU second")
        reached = [verdict("rate of tokenize / bare", seconds[1] / seconds[0], at_least=0.8)]
        if slow is None:
            print("left out: the path of 2023, which needs 'transformers<5' with sentencepiece")
        else:
            same = path_of_2023(records, slow, folder / "old.parquet") == tokens
            print(f"  as many tokens on both sides: {same}")
            ratio = seconds[2] / seconds[0]
            reached += [same, verdict("rate of tokenize / path of 2023", ratio, at_least=1.8)]
    leave(*reached)


if __name__ == "__main__":
    main()
