"""Resident memory of `ochat-data run` over gigabytes: import, clean, exact dedup, tokenize.

Generates ShareGPT JSON Lines, runs the pipeline as a user does and reads, five times a second, what
each of its processes holds. Printed by phase: the largest process, and the sum of all, in which
pages that processes share count several times. Needs Linux, and four times the size on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from sides import leave, parser, passage, tokenizer_file, verdict

LIMIT_GIB = 1.5
PAGE = os.sysconf("SC_PAGE_SIZE")
RECIPE = """
schema = 1
output = "dataset"
[[source]]
files = ["dump.jsonl"]
[clean]
[dedup]
method = "exact"
[tokenize]
template = "openchat_v3.2"
tokenizer = "tokenizer.model"
"""


def generate(path: Path, size: int, characters: int) -> None:
    """Writes conversations of four messages; each twentieth is a copy of an earlier one."""
    rng = random.Random(0)  # noqa: S311 - a seed, not a secret
    earlier: list[bytes] = []
    written = count = 0
    with path.open("wb") as file:
        while written < size:
            if count % 20 == 19:
                line = rng.choice(earlier)
            else:
                turns = [
                    {"from": role, "value": f"{count}.{turn} {passage(rng, characters // 4)}"}
                    for turn, role in enumerate(("human", "gpt", "human", "gpt"))
                ]
                model = rng.choice(("gpt-4", "gpt-3.5-turbo"))
                line = json.dumps({"model": model, "conversations": turns}).encode() + b"\n"
                if len(earlier) < 1000:
                    earlier.append(line)
            written += file.write(line)
            count += 1
    print(f"  {count:,} conversations, {written / 1e9:.2f} GB of JSON Lines", flush=True)


def processes_below(root: int) -> list[int]:
    """A process and all that descend from it."""
    found, waiting = [root], [root]
    while waiting:
        parent = waiting.pop()
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                below = list(map(int, children.read_text().split()))
            except OSError:
                continue  # the thread has ended
            found += below
            waiting += below
    return found


def resident(process: int) -> int:
    """Bytes of a process that lie in memory; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


class Watch:
    """Notes the greatest memory since it was last asked."""

    def __init__(self, root: int) -> None:
        """Watches a process, with all that it starts, until the program ends."""
        self._root = root
        self.largest = self.sum = 0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            sizes = [resident(process) for process in processes_below(self._root)]
            self.largest = max(self.largest, *sizes)
            self.sum = max(self.sum, sum(sizes))
            time.sleep(0.2)


def run(folder: Path, workers: int) -> tuple[float, float]:
    """Runs the pipeline; returns the greatest process and the greatest sum, in GiB."""
    (folder / "pipeline.toml").write_text(RECIPE)
    command = [sys.executable, "-m", "ochat_data", "run", str(folder / "pipeline.toml")]
    started = time.monotonic()
    largest = total = 0.0
    with subprocess.Popen(  # noqa: S603
        [*command, "--workers", str(workers)], stderr=subprocess.PIPE, text=True
    ) as running:
        watch = Watch(running.pid)
        for line in running.stderr or ():
            one, together = watch.largest / 2**30, watch.sum / 2**30
            watch.largest = watch.sum = 0
            largest, total = max(largest, one), max(total, together)
            seconds = time.monotonic() - started
            held = f"largest process {one:.2f} GiB, all {together:.2f} GiB: " if one else ""
            print(f"  {seconds:7.0f} s, {held}{line.rstrip()}", flush=True)
    if running.returncode:
        raise SystemExit(f"the pipeline ended with {running.returncode}")
    return largest, total


def main() -> None:
    """Generates, runs, prints."""
    options: argparse.ArgumentParser = parser(__doc__ or "")
    options.add_argument("--gigabytes", type=float, default=5.0, help="default: %(default)s")
    options.add_argument("--characters", type=int, default=2400, help="of one conversation")
    options.add_argument("--workers", type=int, default=2, help="default: %(default)s")
    options.add_argument("--folder", type=Path, default=Path("memory-benchmark"))
    arguments = options.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True)
    try:
        made = tokenizer_file(arguments.tokenizer, folder)
        if made != folder / "tokenizer.model":
            shutil.copy(made, folder / "tokenizer.model")
        generate(folder / "dump.jsonl", int(arguments.gigabytes * 1e9), arguments.characters)
        largest, total = run(folder, arguments.workers)
    finally:
        shutil.rmtree(folder)
    leave(
        verdict("GiB of the largest process", largest, at_most=LIMIT_GIB),
        verdict("GiB of all processes together", total, at_most=LIMIT_GIB),
    )


if __name__ == "__main__":
    main()
