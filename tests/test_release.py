"""The release tool, on a scratch repository with each mistake that it has to catch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SIBLINGS: dict[str, list[str]] = {
    "ochat-templates": [],
    "ochat-data": ["ochat-templates[tokenizers]~=0.1.0"],
    "ochat-train": ["ochat-data~=0.1.0", "ochat-templates~=0.1.0"],
    "ochat-serve": ["ochat-templates~=0.1.0"],
}


@dataclass(frozen=True)
class Repository:
    """A git repository of four small packages."""

    root: Path

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=A Person", "-c", "user.email=person@example.org"]
        command = ["git", *who, *words]
        return subprocess.run(
            command, cwd=self.root, check=True, capture_output=True, text=True
        ).stdout

    def tool(self, *words: str) -> tuple[int, str]:
        """Exit status and all that the tool printed."""
        command = [sys.executable, str(ROOT / "tools/release.py"), "--root", str(self.root), *words]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "Traceback" not in result.stderr
        return result.returncode, (result.stdout + result.stderr).strip()

    def plan(self) -> list[str]:
        status, printed = self.tool("plan")
        assert status == 0, printed
        return json.loads(printed)

    def write(self, name: str, version: str, requires: list[str], heading: str = "") -> None:
        folder = self.root / "packages" / name
        (folder / "src").mkdir(parents=True, exist_ok=True)
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\nversion = "{version}"\n'
            f"dependencies = {json.dumps(requires)}\n"
        )
        heading = heading or f"{version} (2026-11-25)"
        (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## {heading}\n\n- A change.\n")
        (folder / "README.md").write_text(f"# {name}\n")
        (folder / "LICENSE").write_text("Free.\n")

    def touch(self, name: str) -> None:
        (self.root / "packages" / name / "src/code.py").write_text("changed = True\n")

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "A step")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Everything released once, at 0.1.0."""
    repository = Repository(tmp_path)
    repository.git("init", "-q", "-b", "main")
    (tmp_path / "LICENSE").write_text("Free.\n")
    for name, requires in SIBLINGS.items():
        repository.write(name, "0.1.0", requires)
    repository.commit()
    for name in SIBLINGS:
        repository.git("tag", f"{name}-v0.1.0")
    return repository


def test_nothing_changed_is_nothing_to_release(repository: Repository) -> None:
    assert repository.plan() == []
    assert repository.tool("check") == (0, "ready")


def test_a_changed_test_or_benchmark_is_no_reason_for_a_release(repository: Repository) -> None:
    folder = repository.root / "packages/ochat-data/tests"
    folder.mkdir()
    (folder / "test_it.py").write_text("")
    repository.commit()
    assert repository.plan() == []


def test_a_package_without_a_tag_was_never_released(repository: Repository) -> None:
    repository.git("tag", "-d", "ochat-serve-v0.1.0")
    assert repository.plan() == ["ochat-serve"]


@pytest.mark.parametrize("committed", [True, False])
def test_a_change_without_a_new_version_is_named(repository: Repository, committed: bool) -> None:
    repository.touch("ochat-templates")
    if committed:
        repository.commit()
    assert repository.plan() == ["ochat-templates"]
    status, printed = repository.tool("check")
    assert status == 1
    assert printed == (
        "ochat-templates changed since ochat-templates-v0.1.0 but is still 0.1.0: raise its version"
    )


def test_an_incompatible_step_names_every_range_that_has_to_follow(repository: Repository) -> None:
    repository.write("ochat-templates", "0.2.0", [])
    status, printed = repository.tool("check")
    assert status == 1
    assert printed.splitlines() == [
        f"{name} requires {required}, but ochat-templates is 0.2.0: raise the range to ~=0.2.0"
        for name, required in (
            ("ochat-data", "ochat-templates[tokenizers]~=0.1.0"),
            ("ochat-serve", "ochat-templates~=0.1.0"),
            ("ochat-train", "ochat-templates~=0.1.0"),
        )
    ]


def test_ranges_that_follow_make_it_ready_in_dependency_order(repository: Repository) -> None:
    repository.write("ochat-templates", "0.2.0", [])
    repository.write("ochat-data", "0.1.1", ["ochat-templates[tokenizers]~=0.2.0"])
    repository.write("ochat-train", "0.1.1", ["ochat-data~=0.1.1", "ochat-templates~=0.2.0"])
    repository.write("ochat-serve", "0.1.1", ["ochat-templates~=0.2.0"])
    assert repository.tool("check") == (0, "ready")
    plan = repository.plan()
    assert set(plan) == set(SIBLINGS)
    assert plan.index("ochat-templates") == 0
    assert plan.index("ochat-data") < plan.index("ochat-train")


@pytest.mark.parametrize(
    ("version", "requires", "heading", "said"),
    [
        ("0.0.9", [], "", "ochat-templates is 0.0.9, lower than its release 0.1.0: raise it"),
        ("0.1.1-rc1", [], "", "version '0.1.1-rc1' is not in its normal form, 0.1.1rc1"),
        ("0.1.1+mine", [], "", "version '0.1.1+mine' is not in its normal form"),
        ("0.1.1", [], "0.1.0", "CHANGELOG.md starts with '0.1.0', the version is 0.1.1"),
        ("0.1.1", [], "0.1.10 (2026-11-25)", "starts with '0.1.10 (2026-11-25)'"),
        ("0.1.1", ["ochat-data~=0.1.0"], "", "packages require one another:"),
        ("nonsense", [], "", "Invalid version: 'nonsense'"),
        ("0.1.1", ["a b c"], "", "pyproject.toml: Expected"),
    ],
)
def test_a_mistake_in_a_package_is_named(
    repository: Repository, version: str, requires: list[str], heading: str, said: str
) -> None:
    repository.write("ochat-templates", version, requires, heading)
    status, printed = repository.tool("check")
    assert status == 1
    assert said in printed


@pytest.mark.parametrize(
    "wide", ["ochat-templates", "ochat-templates>=0.1", "ochat-templates==0.1.0"]
)
def test_a_range_that_promises_nothing_is_named(repository: Repository, wide: str) -> None:
    repository.write("ochat-serve", "0.1.1", [wide])
    status, printed = repository.tool("check")
    assert (status, printed.endswith("give a compatible range, ochat-templates~=0.1.0")) == (
        1,
        True,
    )


def test_a_silent_changelog_and_a_foreign_licence_are_named(repository: Repository) -> None:
    folder = repository.root / "packages/ochat-serve"
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## 0.1.0\n")
    (folder / "LICENSE").write_text("Not so free.\n")
    status, printed = repository.tool("check")
    assert status == 1
    assert "CHANGELOG.md says nothing about 0.1.0" in printed
    assert "its LICENSE is not the project's" in printed


def test_a_tag_that_agrees_with_everything_is_released(repository: Repository) -> None:
    repository.write("ochat-data", "0.1.1", SIBLINGS["ochat-data"])
    repository.commit()
    repository.git("tag", "ochat-data-v0.1.1")
    assert repository.tool("verify", "ochat-data-v0.1.1") == (
        0,
        "package=ochat-data\nversion=0.1.1",
    )
    assert repository.tool("notes", "ochat-data-v0.1.1") == (0, "- A change.")


def test_a_tag_is_held_back_until_what_it_requires_is_released(repository: Repository) -> None:
    repository.write("ochat-templates", "0.2.0", [])
    repository.write("ochat-serve", "0.1.1", ["ochat-templates~=0.2.0"])
    repository.commit()
    repository.git("tag", "ochat-serve-v0.1.1")
    status, printed = repository.tool("verify", "ochat-serve-v0.1.1")
    assert status == 1
    assert "no release satisfies: release ochat-templates first" in printed
    repository.git("tag", "ochat-templates-v0.2.0")
    assert repository.tool("verify", "ochat-serve-v0.1.1")[0] == 0


def test_a_tag_that_disagrees_is_refused(repository: Repository) -> None:
    for tag, said in {
        "v0.1.0": "'v0.1.0' names no package: ochat-NAME-vVERSION is expected",
        "ochat-other-v0.1.0": "names no package",
        "ochat-serve-v0.2.0": "ochat-serve-v0.2.0 was set, but ochat-serve is 0.1.0",
    }.items():
        status, printed = repository.tool("verify", tag)
        assert status == 1
        assert said in printed
    repository.touch("ochat-serve")
    status, printed = repository.tool("verify", "ochat-serve-v0.1.0")
    assert (status, printed) == (1, "packages/ochat-serve holds uncommitted changes")
    repository.commit()
    status, printed = repository.tool("verify", "ochat-serve-v0.1.0")
    assert (status, "is another commit than the one checked out" in printed) == (1, True)


def test_an_unset_tag_and_an_undated_section_are_refused(repository: Repository) -> None:
    repository.write("ochat-serve", "0.1.1", SIBLINGS["ochat-serve"], "0.1.1 (unreleased)")
    repository.commit()
    assert (
        "there is no tag ochat-serve-v0.1.1 here"
        in repository.tool("verify", "ochat-serve-v0.1.1")[1]
    )
    repository.git("tag", "ochat-serve-v0.1.1")
    status, printed = repository.tool("verify", "ochat-serve-v0.1.1")
    assert (status, printed.endswith("still says '0.1.1 (unreleased)': put the date")) == (1, True)


def test_a_shallow_clone_is_told_to_fetch_the_tags(repository: Repository, tmp_path: Path) -> None:
    repository.touch("ochat-serve")
    repository.commit()
    place = tmp_path / "shallow"
    repository.git("clone", "-q", "--depth", "1", repository.root.as_uri(), str(place))
    status, printed = Repository(place).tool("plan")
    assert (status, "this clone is shallow" in printed) == (1, True)


def test_this_repository_itself_has_no_mistake() -> None:
    shallow = subprocess.run(
        ["git", "rev-parse", "--is-shallow-repository"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if shallow.stdout.strip() != "false":
        pytest.skip("not a full git clone")
    status, printed = Repository(ROOT).tool("check")
    assert status == 0, printed


def test_two_builds_of_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    for place, epoch in (("first", "1700000000"), ("second", "1700000000")):
        for name in (*SIBLINGS, "ochat-eval"):
            command = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path / place)]
            subprocess.run(
                command,
                cwd=ROOT / "packages" / name,
                env=os.environ | {"SOURCE_DATE_EPOCH": epoch},
                check=True,
                capture_output=True,
            )
    first = {file.name: file.read_bytes() for file in (tmp_path / "first").iterdir()}
    second = {file.name: file.read_bytes() for file in (tmp_path / "second").iterdir()}
    assert len(first) == 10
    assert first == second
