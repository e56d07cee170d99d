"""OpenChat's whole idea in minutes: raw chats of mixed quality in, a served and measured model out.

    python3 tools/bootstrap.py demo                    on a machine that has only Python
    python3 tools/bootstrap.py demo --keep-serving     leaves the chat page up at the end

It types the commands that a user would type, prints each one before it runs, and knows nothing of
what happens inside them. The model is a toy, made and trained here; what it shows is real: the
same model answers well or badly depending on the condition it is asked under (C-RLFT).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from openai import OpenAI

from ochat_data import sample_files
from ochat_templates.testing import train_sentencepiece

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
TEMPLATE = "openchat_v3.2"
GOOD, WEAK = "GPT4", "GPT3"
QUESTIONS = (
    "What is the capital of Japan?",
    "How many legs on a spider?",
    "Is a penguin (A) a mammal, (B) a bird, (C) a fish or (D) an insect?",
)
# About two million parameters: enough for the sample's little world, small enough for a laptop.
# Heads of 32, the smallest that vLLM's CPU kernels take.
MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
TRAINING = (
    *("--epochs", "3", "--batch-tokens", "2048", "--lr", "2e-3"),
    *("--warmup-steps", "30", "--eps", "1e-8"),
)


def main() -> int:
    """Runs the walk; the exit status is 1 when the conditions cannot be told apart."""
    options = parse_arguments()
    # A demo that is ended takes its server with it: SystemExit runs what `serve` has to clean up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ["NO_PROXY"] = "127.0.0.1"  # a proxy that is set for the index must not see it
    require_free_port(options.port)
    work = fresh_folder(options.work)
    started = time.monotonic()

    chapter("Raw chats of two sources become clean, labelled conversations (ochat-data)")
    conversations = prepare_conversations(work)

    chapter("A tokenizer, and the exact tokens of every conversation (ochat-templates, ochat-data)")
    base, dataset = tokenize(work, conversations)

    chapter("A small Llama learns both sources, padding-free and weighted (ochat-train)")
    model = train(work, base, dataset)

    chapter("The model goes online behind the OpenAI API (ochat-serve)")
    with serve(model, options.port, work / "server.log") as url:
        chat(url)

        chapter("Held-out questions, asked under both conditions (ochat-eval)")
        better = evaluate(work, url)

        print(f"\nThe whole walk took {time.monotonic() - started:.0f} seconds.")
        if options.keep_serving:
            keep_serving(url)
    print_next_commands(model, options.port)
    return 0 if better else 1


def prepare_conversations(work: Path) -> Path:
    """Imports the shipped dumps, cleans them, and marks and weighs them by their source."""
    imported, clean, labelled = (
        work / name for name in ("imported.jsonl", "clean.jsonl", "labelled.jsonl")
    )
    run("ochat-data", "import", *sample_files(), "--output", imported)
    run("ochat-data", "clean", imported, "--output", clean)
    conditions = ("--map", f"gpt-4={GOOD}", "--map", f"gpt-3.5-turbo={WEAK}")
    run("ochat-data", "label", clean, "--output", labelled, *conditions, "--weights", "crlft-0.1")
    return labelled


def tokenize(work: Path, conversations: Path) -> tuple[Path, Path]:
    """Makes a base model folder without weights, and the token dataset."""
    base, dataset = work / "base", work / "dataset"
    base.mkdir()
    with conversations.open(encoding="utf-8") as lines:
        texts = [item["content"] for line in lines for item in json.loads(line)["items"]]
    prefixes = [f"{condition} User: {condition} Assistant:" for condition in (GOOD, WEAK)] * 99
    train_sentencepiece([*texts, *prefixes], base / "tokenizer.model", vocab_size=1000)
    tokenizing = ("--template", TEMPLATE, "--tokenizer", base, "--eval-fraction", "0.02")
    run("ochat-data", "tokenize", conversations, *tokenizing, "--output", dataset)
    vocabulary = json.loads((dataset / "manifest.json").read_text())["vocab_size"]
    (base / "config.json").write_text(json.dumps(MODEL | {"vocab_size": vocabulary}, indent=2))
    return base, dataset


def train(work: Path, base: Path, dataset: Path) -> Path:
    """Trains from scratch and returns the exported Hugging Face folder."""
    output = work / "training"
    run("ochat-train", "run", "--model", base, "--data", dataset, "--output", output,
        "--from-scratch", *TRAINING)  # fmt: skip
    return output / "model"


@contextlib.contextmanager
def serve(model: Path, port: int, log: Path) -> Iterator[str]:
    """Runs the server while the block lasts; yields its address once it takes requests."""
    command = say("ochat-serve", model, "--port", port)
    with log.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, server, log)
        yield url
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Waits for /ready, or stops with what the server last said."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5):  # noqa: S310
                print(f"serving at {url}")
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit(f"the server did not start; its log {log} ends:\n{log.read_text()[-2000:]}")


def chat(url: str) -> None:
    """Asks three questions under each condition with the official client, streaming."""
    client = OpenAI(base_url=f"{url}/v1", api_key="none-needed")
    for question in QUESTIONS:
        print(f"\n  user: {question}")
        for condition in (GOOD, WEAK):
            print(f"  assistant as {condition}: ", end="", flush=True)
            stream = client.chat.completions.create(
                model=TEMPLATE,
                messages=[{"role": "user", "content": question}],
                temperature=0,
                max_tokens=64,
                stream=True,
                extra_body={"condition": condition},
            )
            for chunk in stream:
                print(chunk.choices[0].delta.content or "", end="", flush=True)
            print()


def evaluate(work: Path, url: str) -> bool:
    """Measures both conditions; true when the good one is better beyond its interval."""
    runs = [work / "evaluation" / condition for condition in (GOOD, WEAK)]
    for folder in runs:
        run("ochat-eval", "run", "--base-url", f"{url}/v1", "--model", TEMPLATE,
            "--suite", "sample", "--condition", folder.name, "--output", folder)  # fmt: skip
    run("ochat-eval", "report", *runs)
    good, weak = (json.loads((folder / "summary.json").read_text()) for folder in runs)
    better = good["overall"]["interval"][0] > weak["overall"]["interval"][1]
    verdict = "better beyond chance" if better else "NOT told apart"
    print(f"{GOOD} against {WEAK}: {verdict} (95 % intervals).")
    return better


def keep_serving(url: str) -> None:
    """Holds the server up until the user has had enough."""
    print(f"\nChat with it: {url}   (Ctrl-C ends it)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def print_next_commands(model: Path, port: int) -> None:
    """What a newcomer can do now."""
    model = model.relative_to(ROOT) if model.is_relative_to(ROOT) else model
    serving = f".venv/bin/ochat-serve {model} --port {port}"
    print(f"""
The model is in {model}. Next:
  {serving}
      serves it again: a chat page at http://127.0.0.1:{port}, the OpenAI API at /v1
  .venv/bin/ochat-data import YOUR_CHATS.json --output yours.jsonl
      brings in your own ShareGPT or OpenAI dump; every command explains itself with --help""")


def parse_arguments() -> argparse.Namespace:
    """The demo's own options."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--port", type=int, default=18888, help="server port (default: 18888)")
    parser.add_argument("--keep-serving", action="store_true", help="leave the server up")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".demo",
        help="folder for what is made, emptied first (default: .demo)",
    )  # fmt: skip
    return parser.parse_args()


def require_free_port(port: int) -> None:
    """Says so now rather than after the training if something else listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            sys.exit(f"port {port} is in use; choose another with --port, such as --port 18889")


def fresh_folder(folder: Path) -> Path:
    """Empties the folder of an earlier demo; never one that the demo did not make."""
    mark = folder / ".made-by-the-demo"
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        sys.exit(f"{folder} holds something else; give an empty folder with --work")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mark.touch()
    return folder.resolve()


def chapter(title: str) -> None:
    """Prints a heading."""
    print(f"\n\033[1m== {title}\033[0m" if sys.stdout.isatty() else f"\n== {title}", flush=True)


def say(*words: object) -> Sequence[str]:
    """Prints a command as a user would type it, and returns it as it will be run."""
    texts = [str(word) for word in words]
    short = [text.replace(f"{os.getcwd()}/", "") for text in texts]  # noqa: PTH109 - a prefix
    print(f"$ {shlex.join(short)}", flush=True)
    return [str(BIN / texts[0]), *texts[1:]]


def run(*words: object) -> None:
    """Runs one command of the project; a failed one has said why and ends the demo."""
    status = subprocess.run(say(*words), check=False).returncode
    if status != 0:
        sys.exit(status)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
