"""What the page is made of and how it is sent: libraries as locked, headers, small and once."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_serve.http.page import PAGE_PATHS
from ochat_serve.testing import LocalServer

PACKAGE = Path(__file__).resolve().parents[1]
PAGE = PACKAGE / "src" / "ochat_serve" / "page"
LOCK = PACKAGE / "page-libraries" / "package-lock.json"


def get(
    server: LocalServer, path: str, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers=sent)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("folder", "group"),
    [(PAGE / "vendor", "dependencies"), (PACKAGE / "tests" / "vendor", "devDependencies")],
    ids=["page", "tests"],
)
def test_vendored_files_are_those_of_the_lock_file(folder: Path, group: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    locked = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
    licences = (folder / "LICENSES.txt").read_text(encoding="utf-8")
    # esbuild makes the bundles and is not in them.
    wanted = locked[""][group].keys() - {"esbuild"}
    assert manifest["libraries"].keys() == wanted
    for name, library in manifest["libraries"].items():
        entry = locked[f"node_modules/{name}"]
        assert library == {key: entry[key] for key in ("version", "integrity")}
        assert f"{name} {entry['version']} ({entry['license']})" in licences
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there - {"manifest.json"} == manifest["files"].keys()
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def test_the_lock_file_names_no_place_to_download_from() -> None:
    entries = json.loads(LOCK.read_text(encoding="utf-8"))["packages"].values()
    assert all("resolved" not in entry for entry in entries)
    assert all("integrity" in entry for entry in entries if "dependencies" not in entry)


def test_every_file_of_the_page_is_served_with_a_policy(serve: Callable[..., LocalServer]) -> None:
    server = serve()
    assert {"/", "/page/app.js", "/page/vendor/marked.js"} <= PAGE_PATHS
    for path in sorted(PAGE_PATHS):
        status, headers, _ = get(server, path)
        assert status == 200
        policy = str(headers["content-security-policy"])
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_a_file_is_sent_compressed_and_only_once(serve: Callable[..., LocalServer]) -> None:
    server = serve()
    plain = (PAGE / "vendor" / "marked.js").read_bytes()
    assert get(server, "/page/vendor/marked.js")[2] == plain
    _, headers, packed = get(server, "/page/vendor/marked.js", accept_encoding="gzip, br")
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 2
    status, again, body = get(server, "/page/vendor/marked.js", if_none_match=str(headers["etag"]))
    assert (status, body) == (304, b"")
    assert again["etag"] == headers["etag"]
    status, *_ = get(server, "/page/vendor/marked.js", if_none_match='W/"other"')
    assert status == 200


def test_files_that_are_no_part_of_the_page_are_not_served(
    serve: Callable[..., LocalServer],
) -> None:
    server = serve()
    for path in ("/page/vendor/manifest.json", "/page/../metrics.py", "/page/%2e%2e/keys.py"):
        assert get(server, path)[0] == 404


def test_what_the_page_reads_first_is_small() -> None:
    sources = [path for path in PAGE.rglob("*") if path.suffix in (".html", ".css", ".js")]
    late = {"highlight.js", "katex.js", "katex.css"}
    packed = sum(len(gzip.compress(p.read_bytes())) for p in sources if p.name not in late)
    assert packed < 120_000


def test_no_file_names_a_foreign_address() -> None:
    allowed = re.compile(r"https?://(www\.w3\.org/|127\.0\.0\.1)")
    for path in PAGE.rglob("*"):
        if path.suffix in (".html", ".css", ".js", ".svg") and path.parent.name != "vendor":
            text = path.read_text(encoding="utf-8")
            found = [m for m in re.findall(r"https?://[\w.]+/?", text) if not allowed.match(m)]
            assert not found, path
