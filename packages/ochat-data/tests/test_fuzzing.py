"""Whatever is fed to the importers and the cleaner, they answer soon, with records or a DataError.

Inputs are files of every format, damaged: bytes changed, cut out, doubled, moved, replaced by what
parsers stumble over, packed and cut off. A hundred thousand of them run in test-all only.
"""

from __future__ import annotations

import gzip
import io
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ochat_data import DataError, Record
from ochat_data.cleaning import CleanOptions, clean_conversation
from ochat_data.formats import convert
from ochat_data.language import conversation_language
from ochat_data.markdown import HTML_MODES, html_to_markdown
from ochat_data.reading import read_items
from ochat_data.record_steps import import_item

CHAT = [
    {"from": "human", "value": "Hi <b>there</b>"},
    {"from": "gpt", "value": "<p>Hello</p><pre><code class='language-py'>a\n  b</code></pre>"},
]
MESSAGES = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello \u6f22"}]
VALUES: list[object] = [
    {"conversations": CHAT, "model": "gpt-4", "id": "x"},
    {"items": CHAT, "system": "Be brief."},
    {"messages": [{"role": "system", "content": [{"type": "text", "text": "a"}]}, *MESSAGES]},
    {"instruction": "a", "input": "b", "output": "c", "history": [["d", "e"]]},
    {"system_prompt": "s", "question": "q", "response": "r"},
    {"system_prompt": "s", "question": "q", "answer_gpt4": "r", "answer_gpt35": None},
    {
        "items": [{"role": "user", "content": "a", "weight": 0.5}, *MESSAGES[1:]],
        "condition": "GPT4",
    },
    {"turns": ["a", "b"], "question_id": 1},
    {"text": "a document", "weight": 1e-3},
    {"instruction": "a", "output": "b", "generator": "gpt4"},
    {"q": "a", "a": "b", "m": [{"who": "user", "says": "x"}]},
]


def _table() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([VALUES[4]] * 3), sink)
    return sink.getvalue()


_LINES = b"\n".join(json.dumps(value).encode() for value in VALUES)
_DATA = {"props": {"pageProps": {"content": {"items": CHAT}}}}
_PAGE = f'<!DOCTYPE html><script id="__NEXT_DATA__">{json.dumps(_DATA)}</script>'.encode()
SEEDS = [
    *(json.dumps(value).encode() for value in VALUES),
    *(_LINES, json.dumps(VALUES, indent=1).encode(), _PAGE, b"Plain text.\n\nOf two paragraphs."),
    *(gzip.compress(_LINES, mtime=0), pa.compress(_LINES, codec="zstd", asbytes=True), _table()),
]
SPITE = [
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\r", b"\x00", b"\xff", b"<", b">"),
    *(b"\\ud800", b"\\u0000", b"1e999", b"-1", b"NaN", b"null", b"true", b"3", b'""', b"{}", b"[]"),
    *(b"\xef\xbb\xbf", b"\xed\xa0\x80", b"[" * 3000, b'{"a":' * 1500, b"<div>" * 800, b"9" * 400),
    *(b'"weight"', b'"items"', b'"messages"', b'"text"', b'"role"', b'"system"', b"</script>"),
    *(b"<pre>", b"<table><tr><td>", b"<!--", b"&#x0;", b"&lt;", b'<p class="', b"<![CDATA["),
]
COLUMNS = [
    {"question": "q", "answer": "a"},
    {"messages": "m", "role": "who", "content": "says"},
    {"text": "text"},
]
places = st.integers(0, 1 << 16)
edits = st.tuples(
    st.sampled_from(["replace", "insert", "remove", "double", "cut"]),
    places,
    places,
    st.sampled_from(SPITE) | st.binary(max_size=8),
)


def damaged(seed: bytes, changes: list[tuple[str, int, int, bytes]]) -> bytes:
    """A file after some edits, whose places wrap around its end."""
    data = seed
    for kind, one, other, piece in changes:
        start, end = sorted((one % (len(data) + 1), other % (len(data) + 1)))
        if kind == "replace":
            data = data[:start] + piece + data[start + len(piece) :]
        elif kind == "insert":
            data = data[:start] + piece + data[start:]
        elif kind == "remove":
            data = data[:start] + data[min(end, start + 64) :]
        elif kind == "double":
            data = data[:end] + data[start:]
        else:
            data = data[:end]
        data = data[:200_000]
    return data


files = st.builds(damaged, st.sampled_from(SEEDS), st.lists(edits, max_size=4)) | st.binary(
    max_size=60
)
MARKUP = [
    *("<p>", "</p>", "<pre>", "<code class='language-x'>", "</code>", "</pre>", "<ul>", "<li>"),
    *("</ul>", "<table>", "<tr>", "<td>", "</table>", "<span class='katex'>", "<annotation "),
    *("<button>", "<math>", "<script type='math/tex'>", "</script>", "<div class='markdown'>"),
    *("&amp;", "&#0;", "`" * 5, "$$", "\n    ", "1. ", "| a |", "\u200b", "\x00", "<!--", "</div>"),
    *("<ol start='99999999999'>", "<img src=x alt=", "<a href='", "<br>", "<em>" * 300),
]
texts = st.lists(st.sampled_from(MARKUP) | st.text(max_size=12), max_size=20).map("".join)
options = st.builds(
    CleanOptions,
    html=st.sampled_from(HTML_MODES),
    refusals=st.sampled_from(["keep", "unlearn", "drop"]),
    min_characters=st.integers(0, 20),
)
QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


def some_or(many: int) -> pytest.MarkDecorator:
    """A few hundred inputs always, many in test-all."""
    values = [600, pytest.param(many, marks=pytest.mark.slow)]
    return pytest.mark.parametrize("count", values, ids=["some", "many"])


def in_time(work: Callable[[], None]) -> None:
    """Does what takes at most a second, of this process's own time.

    Python may collect the garbage of thousands of earlier inputs meanwhile, so what was too slow is
    measured again.
    """
    for last in (False, True):
        started = time.process_time()
        work()
        if time.process_time() - started < 1:
            return
        assert not last


@some_or(60_000)
def test_damaged_files_are_records_or_an_error(count: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    imported = 0

    def convert_all(columns: dict[str, str] | None) -> None:
        nonlocal imported
        with suppress(DataError):  # the file is broken as a whole
            for item in read_items([str(path)]):
                with suppress(DataError):
                    for record in import_item(item, columns=columns):
                        assert Record.from_json(json.loads(record.to_line())) == record
                        clean_conversation(record.conversation)
                        imported += 1
                assert item.raw_text() is not None

    @settings(max_examples=count, **QUIET)
    @given(data=files, columns=st.sampled_from([None, None, *COLUMNS]))
    def check(data: bytes, columns: dict[str, str] | None) -> None:
        path.write_bytes(data)
        in_time(lambda: convert_all(columns))

    check()
    assert imported > count // 10  # many are still whole enough to be converted


@some_or(40_000)
def test_any_text_is_cleaned(count: int) -> None:
    def clean(question: str, answer: str, chosen: CleanOptions) -> None:
        html_to_markdown(answer)
        try:
            (record,) = convert({"instruction": question, "output": answer}, source="fuzz")
        except DataError:
            return
        result = clean_conversation(record.conversation, chosen)
        assert (result.conversation is None) == bool(result.reason)
        if result.conversation is not None:
            roles = [message.role for message in result.conversation.messages]
            assert roles == ["user", "assistant"]
            again = clean_conversation(result.conversation, CleanOptions(html="never"))
            assert again.conversation == result.conversation
        conversation_language(record, lambda _: ("en", 1.0))

    @settings(max_examples=count, **QUIET)
    @given(question=texts, answer=texts, chosen=options)
    def check(question: str, answer: str, chosen: CleanOptions) -> None:
        in_time(lambda: clean(question, answer, chosen))

    check()
