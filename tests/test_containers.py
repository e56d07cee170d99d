"""The container files name options, addresses and metrics that the server really has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
