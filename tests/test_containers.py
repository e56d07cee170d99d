"""The container files name options, addresses and metrics that the server really has."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from walking import BIN, wait_until_ready

from ochat_serve import ScriptedEngine, ServedModel, build_app
from ochat_serve.testing import local_server
from ochat_templates import load_codec
from ochat_templates.testing import train_sentencepiece

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tools/containers"


def read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def documents(name: str) -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all(read(name)))


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Every option of `ochat-serve`."""
    command = [sys.executable, "-m", "ochat_serve", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(re.findall(r"--[a-z][a-z-]+", result.stdout))


@pytest.mark.parametrize("name", ["serve.Dockerfile", "compose.yaml", "kubernetes.yaml"])
def test_every_variable_and_flag_is_an_option_of_the_server(name: str, options: set[str]) -> None:
    named = set(re.findall(r"OCHAT_SERVE_([A-Z_]+)", read(name)))
    assert named
    assert {f"--{word.lower().replace('_', '-')}" for word in named} <= options


def test_the_cluster_example_waits_for_the_model_and_for_running_answers(options: set[str]) -> None:
    deployment = documents("kubernetes.yaml")[0]
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    arguments = container["args"]
    flags = [word for word in arguments if word.startswith("--")]
    assert set(flags) <= options
    drain = int(arguments[arguments.index("--shutdown-timeout") + 1])
    assert pod["terminationGracePeriodSeconds"] > drain + 5


def test_the_images_install_each_package_with_what_it_imports() -> None:
    assert "for name in templates serve;" in read("serve.Dockerfile")
    assert "for name in templates data train;" in read("train.Dockerfile")
    for name in ("serve.Dockerfile", "train.Dockerfile"):
        assert re.search(r"^USER 10001$", read(name), re.MULTILINE)
    assert "vllm" not in re.sub(r"^#.*$", "", read("train.Dockerfile"), flags=re.MULTILINE)


def test_the_cluster_grows_by_a_figure_that_the_server_gives_out(tmp_path: Path) -> None:
    scaler = next(d for d in documents("kubernetes.yaml") if d["kind"] == "HorizontalPodAutoscaler")
    (metric,) = [rule["pods"]["metric"]["name"] for rule in scaler["spec"]["metrics"]]
    texts = ["A few words are enough for a tokenizer."]
    codec = load_codec(
        train_sentencepiece(texts * 9, tmp_path / "toy.model", vocab_size=300), "openchat_v3.2"
    )
    engine = ScriptedEngine([codec.eot_id])
    deployment = documents("kubernetes.yaml")[0]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    with local_server(build_app(engine, ServedModel.of(codec)), engine) as server:
        with urllib.request.urlopen(f"{server.url}/metrics") as page:  # noqa: S310
            samples = page.read().decode()
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            with urllib.request.urlopen(server.url + container[probe]["httpGet"]["path"]) as page:  # noqa: S310
                assert page.status == 200
    assert re.search(rf"^{metric} 0$", samples, re.MULTILINE)


def test_the_images_variables_start_the_server_and_its_health_check_tells(tmp_path: Path) -> None:
    image = read("serve.Dockerfile")
    variables = dict(re.findall(r"(OCHAT_SERVE_[A-Z_]+)=(\S+)", image.split("\nENV ")[1]))
    assert variables["OCHAT_SERVE_HOST"] == "0.0.0.0"  # noqa: S104 - what the image says
    log = tmp_path / Path(variables["OCHAT_SERVE_LOG_FILE"]).name
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # As in the image, but for this machine's folders and its own address.
    variables |= {
        "OCHAT_SERVE_HOST": "127.0.0.1",
        "OCHAT_SERVE_PORT": str(port),
        "OCHAT_SERVE_LOG_FILE": str(log),
        "OCHAT_SERVE_API_KEYS": "sk-one",
    }
    model = tmp_path / "model"
    model.mkdir()
    train_sentencepiece(["A few words."] * 9, model / "tokenizer.model", vocab_size=280)
    check = json.loads(image.split("\n    CMD ")[1].splitlines()[0])
    check = [word.replace("18888", str(port)) for word in [sys.executable, *check[1:]]]
    words = [BIN / "ochat-serve", model, "--engine", "scripted", "--model-type", "openchat_v3.2"]
    server = subprocess.Popen(words, env=os.environ | variables)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server)
        assert subprocess.run(check, check=False).returncode == 0
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0
    assert log.exists()
