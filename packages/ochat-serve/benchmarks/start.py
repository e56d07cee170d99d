"""How long the command takes to say what it can do, and from its start to the first answer.

    python benchmarks/start.py [--runs 5]

The model is a Llama of 4 layers on the embedded engine; each run is
a new process. Medians of wall time, with the least beside, which other programs disturb least.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# pyrefly: ignore[missing-import] - it lies beside this script
from against_vllm import make_model

COMMAND = [sys.executable, "-m", "ochat_serve"]


def help_seconds() -> float:
    """From the start to the end of `--help`."""
    began = time.perf_counter()
    subprocess.run([*COMMAND, "--help"], capture_output=True, check=True)  # noqa: S603
    return time.perf_counter() - began


def answer_seconds(folder: Path) -> float:
    """From the start of the server to the whole answer to a first chat of 16 tokens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.perf_counter()
    words = [*COMMAND, str(folder), "--engine", "transformers", "--port", str(port)]
    server = subprocess.Popen(words, stderr=subprocess.PIPE)  # noqa: S603
    body = json.dumps(
        {"model": "toy", "max_tokens": 16, "messages": [{"role": "user", "content": "Hello"}]}
    )
    try:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("POST", "/v1/chat/completions", body)
                answer = connection.getresponse()
                answer.read()
            except ConnectionRefusedError:
                if server.poll() is not None:
                    raise SystemExit("the server did not start") from None
                time.sleep(0.02)
                continue
            finally:
                connection.close()
            if answer.status != 200:
                raise SystemExit(f"the server answered {answer.status}")
            return time.perf_counter() - began
    finally:
        server.terminate()
        server.communicate()


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "toy"
        folder.mkdir()
        make_model(folder)
        for name, seconds in (
            ("--help", [help_seconds() for _ in range(runs)]),
            ("start to first answer", [answer_seconds(folder) for _ in range(runs)]),
        ):
            print(f"{name:<24}{statistics.median(seconds):>8.2f} s   least {min(seconds):.2f} s")


if __name__ == "__main__":
    main()
