"""Say which packages must be released, and hold back a release that would break one.

    python tools/release.py plan          JSON list of changed packages, in dependency order
    python tools/release.py check         every mistake in a sentence; exit 1 where there is one
    python tools/release.py verify TAG    the same for one tag, about to be published
    python tools/release.py notes TAG     that version's section of the changelog

A package has changed when its `src/`, `pyproject.toml` or `README.md` differ from its last tag
`ochat-NAME-vVERSION`. A package without a tag has never been released and counts as changed.
Needs git, and `packaging` (pip install packaging).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

TAG = re.compile(r"(?P<name>ochat-[a-z]+)-v(?P<version>.+)")
# What a user gets; a change of tests or benchmarks alone is no reason for a release.
PUBLISHED = ("src", "pyproject.toml", "README.md")


class ReleaseError(Exception):
    """Something that makes the question itself unanswerable."""


@dataclass(frozen=True, slots=True)
class Package:
    """One distribution as its files describe it.

    Attributes:
        name: Distribution name, such as `ochat-data`.
        folder: Where it lies.
        version: What `pyproject.toml` says.
        siblings: Requirements on other packages of this repository, extras' included.
        tag: Its newest release tag that this commit descends from, None before the first.
    """

    name: str
    folder: Path
    version: Version
    siblings: tuple[Requirement, ...]
    tag: str | None

    @property
    def released(self) -> Version | None:
        """The version of the newest tag."""
        return None if self.tag is None else Version(self.tag.removeprefix(f"{self.name}-v"))


def git(root: Path, *words: str) -> str:
    """Output of one git command in a repository."""
    result = subprocess.run(
        ["git", *words],  # noqa: S607 - the git that the person uses
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise ReleaseError(f"git {' '.join(words)} failed: {result.stderr.strip()}")
    return result.stdout


def load(root: Path) -> dict[str, Package]:
    """The repository's packages by name, in dependency order."""
    if git(root, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise ReleaseError(
            "this clone is shallow, so older tags cannot be seen: fetch all of it "
            "(git fetch --unshallow --tags, or fetch-depth: 0 of actions/checkout)"
        )
    files = sorted(root.glob("packages/*/pyproject.toml"))
    if not files:
        raise ReleaseError(f"no packages/*/pyproject.toml below {root}")
    tags = git(root, "tag", "--merged", "HEAD").split()
    names = {file.parent.name for file in files}
    packages = {package.name: package for package in (read(file, names, tags) for file in files)}
    graph = {name: {r.name for r in package.siblings} for name, package in packages.items()}
    try:
        return {name: packages[name] for name in TopologicalSorter(graph).static_order()}
    except CycleError as error:
        raise ReleaseError(f"packages require one another: {' -> '.join(error.args[1])}") from None


def read(file: Path, names: set[str], tags: list[str]) -> Package:
    """One package from its `pyproject.toml` and the repository's tags."""
    project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    name = project.get("name")
    if name != file.parent.name:
        raise ReleaseError(f"{file}: name is {name!r}, the folder's name is {file.parent.name!r}")
    texts = [
        *project.get("dependencies", []),
        *(text for extra in project.get("optional-dependencies", {}).values() for text in extra),
    ]
    try:
        version = Version(project.get("version", ""))
        required = [Requirement(text) for text in texts]
    except (InvalidVersion, InvalidRequirement) as error:
        raise ReleaseError(f"{file}: {error}") from None
    siblings = tuple(r for r in required if r.name in names and r.name != name)
    return Package(name, file.parent, version, siblings, newest(name, tags))


def newest(name: str, tags: list[str]) -> str | None:
    """A package's tag with the highest version."""
    own = [tag for tag in tags if (m := TAG.fullmatch(tag)) and m["name"] == name]
    try:
        return max(own, key=lambda tag: Version(tag.removeprefix(f"{name}-v")), default=None)
    except InvalidVersion as error:
        raise ReleaseError(f"a tag of {name} holds no version, remove it: {error}") from None


def changed(root: Path, package: Package) -> bool:
    """Whether what users get differs from the last release, uncommitted changes included."""
    if package.tag is None:
        return True
    paths = [str((package.folder / part).relative_to(root)) for part in PUBLISHED]
    differing = git(root, "diff", "--name-only", package.tag, "--", *paths)
    unknown = git(root, "ls-files", "--others", "--exclude-standard", "--", *paths)
    return bool(differing.strip() or unknown.strip())


def heading(package: Package) -> tuple[str, str]:
    """The changelog's top heading, without its marks, and the text below it."""
    file = package.folder / "CHANGELOG.md"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    sections = re.split(r"^## +(.+)$", text, flags=re.MULTILINE)
    return (sections[1].strip(), sections[2].strip()) if len(sections) > 2 else ("", "")


def mistakes(root: Path, packages: dict[str, Package]) -> list[str]:
    """Everything that would break a release made from these files, each in a sentence."""
    found: list[str] = []
    for package in packages.values():
        found += version_mistakes(root, package)
        found += range_mistakes(package, packages)
        found += file_mistakes(root, package)
    return found


def version_mistakes(root: Path, package: Package) -> list[str]:
    """What is wrong between a package's version and its last tag."""
    name, version = package.name, package.version
    if version.local or str(version) != raw_version(package):
        return [f"{name}: version {raw_version(package)!r} is not in its normal form, {version}"]
    if package.released is None or not changed(root, package):
        return []
    if version == package.released:
        return [f"{name} changed since {package.tag} but is still {version}: raise its version"]
    if version < package.released:
        return [f"{name} is {version}, lower than its release {package.released}: raise it"]
    return []


def raw_version(package: Package) -> str:
    """The version as it is written."""
    text = (package.folder / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]["version"]


def range_mistakes(package: Package, packages: dict[str, Package]) -> list[str]:
    """Sibling ranges that are open, or do not hold the sibling as it stands here."""
    found: list[str] = []
    for required in package.siblings:
        sibling = packages[required.name]
        operators = {specifier.operator for specifier in required.specifier}
        if "~=" not in operators:
            found.append(
                f"{package.name} requires {required}: give a compatible range, "
                f"{sibling.name}~={compatible(sibling.version)}"
            )
        elif not required.specifier.contains(sibling.version, prereleases=True):
            found.append(
                f"{package.name} requires {required}, but {sibling.name} is {sibling.version}: "
                f"raise the range to ~={compatible(sibling.version)}"
            )
    return found


def compatible(version: Version) -> str:
    """The range that may change nothing a caller sees: ~=0.N.0 before 1.0, ~=1.N after."""
    if version.major == 0:
        return f"0.{version.minor}.0"
    return f"{version.major}.{version.minor}"


def file_mistakes(root: Path, package: Package) -> list[str]:
    """A changelog of another version or without a word, a licence that is not the project's."""
    found: list[str] = []
    title, body = heading(package)
    if title.split(" ")[0] != str(package.version):
        found.append(
            f"{package.name}: CHANGELOG.md starts with {title!r}, the version is "
            f"{package.version}: add its section"
        )
    elif not body:
        found.append(f"{package.name}: CHANGELOG.md says nothing about {package.version}")
    own, common = package.folder / "LICENSE", root / "LICENSE"
    if not own.exists() or own.read_bytes() != common.read_bytes():
        found.append(f"{package.name}: its LICENSE is not the project's: copy it again")
    return found


def verify(root: Path, packages: dict[str, Package], tag: str) -> Package:
    """The package that a tag releases.

    Raises:
        ReleaseError: If the tag, this commit and the package's files do not agree, or a sibling
            that it requires is not released yet.
    """
    package = of_tag(packages, tag)
    if not git(root, "tag", "--list", tag).strip():
        raise ReleaseError(f"there is no tag {tag} here: set it (git tag {tag}), or fetch the tags")
    if git(root, "rev-parse", f"{tag}^{{commit}}") != git(root, "rev-parse", "HEAD"):
        raise ReleaseError(f"{tag} is another commit than the one checked out here")
    if git(root, "status", "--porcelain", "--", str(package.folder)).strip():
        raise ReleaseError(f"{package.folder.relative_to(root)} holds uncommitted changes")
    title, _ = heading(package)
    if "unreleased" in title.lower():
        raise ReleaseError(f"{package.name}: CHANGELOG.md still says {title!r}: put the date")
    problems = range_mistakes(package, packages) + file_mistakes(root, package)
    for required in package.siblings:
        if not any(
            required.specifier.contains(version, prereleases=True)
            for version in released(root, required.name)
        ):
            problems.append(
                f"{package.name} requires {required}, which no release satisfies: "
                f"release {required.name} first"
            )
    if problems:
        raise ReleaseError("\n".join(problems))
    return package


def of_tag(packages: dict[str, Package], tag: str) -> Package:
    """The package that a tag names, at the version that it names."""
    match = TAG.fullmatch(tag)
    if not match or match["name"] not in packages:
        raise ReleaseError(f"{tag!r} names no package: ochat-NAME-vVERSION is expected")
    package = packages[match["name"]]
    if match["version"] != str(package.version):
        raise ReleaseError(f"{tag} was set, but {package.name} is {package.version}")
    return package


def released(root: Path, name: str) -> list[Version]:
    """All released versions of a package, of every branch."""
    tags = git(root, "tag", "--list", f"{name}-v*").split()
    return [Version(tag.removeprefix(f"{name}-v")) for tag in tags]


def main(words: list[str] | None = None) -> int:
    """Runs one of the commands."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("plan", help="changed packages as a JSON list")
    commands.add_parser("check", help="every mistake in a sentence")
    for name in ("verify", "notes"):
        commands.add_parser(name).add_argument("tag")
    arguments = parser.parse_args(words)
    try:
        return run(arguments.root.resolve(), arguments.command, getattr(arguments, "tag", ""))
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1


def run(root: Path, command: str, tag: str) -> int:
    """One command on one repository; its exit status."""
    packages = load(root)
    if command == "plan":
        print(json.dumps([name for name, package in packages.items() if changed(root, package)]))
    elif command == "notes":
        print(heading(of_tag(packages, tag))[1])
    elif command == "verify":
        package = verify(root, packages, tag)
        # `name=value` lines, as a workflow's output file takes them.
        print(f"package={package.name}\nversion={package.version}")
    else:
        found = mistakes(root, packages)
        print("\n".join(found) or "ready", file=sys.stderr if found else sys.stdout)
        return 1 if found else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
