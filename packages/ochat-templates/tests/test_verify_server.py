"""`verify --url` compares what a running server makes of texts, conversations and chats."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ochat_templates import TokenizerError, convert_sentencepiece
from ochat_templates.testing import write_trap_model
from ochat_templates.verification import Report, verify

transformers = pytest.importorskip("transformers")

NO_SPACE_BEFORE_SPACE = "prefix-space scheme: none before text that starts with a space"
NO_SPACE_AFTER_CONTROL = "prefix-space scheme: none after a control token"
MODELS = {"data": [{"id": "model"}]}
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'system' %}"
    "{{ message.content }}<|end_of_turn|>{% else %}"
    "{{ 'GPT4 Correct ' + message.role.title() + ':' }}"
    "{{ message.content and ' ' + message.content }}<|end_of_turn|>"
    "{% endif %}{% endfor %}{{ 'GPT4 Correct Assistant:' }}"
)
REFUSING = "{{ raise_exception('one message only') if messages | length > 1 }}"
Answers = Callable[[str, dict[str, Any]], Any]


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trap_model(tmp_path_factory.mktemp("trap") / "tokenizer.model")


@contextmanager
def server(answers: Answers) -> Iterator[str]:
    """A real HTTP server; `answers` gives the JSON of a path, or a status."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self, body: dict[str, Any]) -> None:
            answer = answers(self.path, body)
            refused = isinstance(answer, int)
            self.send_response(answer if refused else 200)
            self.end_headers()
            answer = {"error": {"message": "no, thank you"}} if refused else answer
            self.wfile.write(json.dumps(answer).encode())

        def do_GET(self) -> None:
            self.reply({})

        def do_POST(self) -> None:
            self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ARG002
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        http.server_close()


def vllm_like(
    place: Path, model: Path, kind: str, chat_template: str | None, *, split: bool = False
) -> Answers:
    """vLLM's answers, from what Transformers makes of a folder with a tokenizer of some class."""
    convert_sentencepiece(model, ("<s>", "<|end_of_turn|>")).save(str(place / "tokenizer.json"))
    config = {"tokenizer_class": kind, "bos_token": "<s>", "eos_token": "<|end_of_turn|>"}
    config |= {"unk_token": "<unk>", "split_special_tokens": split}
    (place / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)

    def answer(path: str, body: dict[str, Any]) -> Any:
        if path == "/v1/models":
            return MODELS
        assert (path, body.pop("model")) == ("/tokenize", "model")
        if "prompt" in body:
            ids = tokenizer.encode(body["prompt"], add_special_tokens=body["add_special_tokens"])
        elif chat_template is None:
            return 400
        else:
            try:
                ids = tokenizer.apply_chat_template(
                    body.pop("messages"), chat_template=chat_template, return_dict=False, **body
                )
            except Exception:  # as vLLM answers whatever a chat template raises
                return 400
        return {"count": len(ids), "max_model_len": 8192, "tokens": ids, "token_strs": None}

    return answer


def names(report: Report) -> set[str]:
    return {cause.name for cause in report.causes}


SERVERS: dict[str, tuple[str, str | None, set[str]]] = {
    "exact": ("PreTrainedTokenizerFast", CHAT_TEMPLATE, set()),
    "drifted": (
        "LlamaTokenizer",
        CHAT_TEMPLATE,
        {
            NO_SPACE_BEFORE_SPACE,
            NO_SPACE_AFTER_CONTROL,
            f"{NO_SPACE_BEFORE_SPACE} (chat template)",
            f"{NO_SPACE_AFTER_CONTROL} (chat template)",
        },
    ),
    "two BOS": (
        "PreTrainedTokenizerFast",
        "<s>" + CHAT_TEMPLATE,
        {"double BOS (chat template)"},
    ),
    "refusing": ("PreTrainedTokenizerFast", REFUSING + CHAT_TEMPLATE, {"chat template refuses"}),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_servers_drift_is_named(name: str, trap: Path, tmp_path: Path) -> None:
    kind, chat_template, causes = SERVERS[name]
    with server(vllm_like(tmp_path, trap, kind, chat_template)) as url:
        report = verify("openchat_3.5", trap, url=f"{url}/v1/", cases=20)
    found = names(report)
    # A prompt that starts with a space after a control token needs a system text that does.
    assert found | {f"{NO_SPACE_BEFORE_SPACE} (chat template)"} >= causes
    assert found <= causes
    assert {cause.where for cause in report.causes} <= {"server"}
    assert any("ends a turn inside 'so <|end_of_turn|> it ends'" in note for note in report.notes)
    assert [check.name for check in report.checks][-3:] == [
        "texts alone, by the server's model",
        "whole conversations as one string, by the server",
        "conversations by the server",
    ]


def test_a_server_without_a_chat_template_is_compared_by_texts(trap: Path, tmp_path: Path) -> None:
    with server(vllm_like(tmp_path, trap, "PreTrainedTokenizerFast", None)) as url:
        report = verify("openchat_3.5", trap, url=url, cases=20)
    assert report.exact
    assert report.notes[0].startswith("no chat could be compared, for the server takes none: ")
    assert "no, thank you" in report.notes[0]


def test_a_server_that_splits_control_tokens_cannot_take_a_string(
    trap: Path, tmp_path: Path
) -> None:
    answers = vllm_like(tmp_path, trap, "PreTrainedTokenizerFast", None, split=True)
    with server(answers) as url:
        report = verify("openchat_3.5", trap, url=url, cases=20)
    assert names(report) == {"control tokens become text"}
    assert not any("ends a turn" in note for note in report.notes)


def test_a_server_that_is_none_is_said(trap: Path) -> None:
    def expect(message: str, answers: dict[str, Any]) -> None:
        def answer(path: str, _: dict[str, Any]) -> Any:
            return answers[path]

        with server(answer) as url, pytest.raises(TokenizerError, match=message):
            verify("openchat_3.5", trap, url=url, cases=5)

    expect("answered 404", {"/v1/models": 404})
    expect("answered 404", {"/v1/models": MODELS, "/tokenize": 404})
    expect("names no model", {"/v1/models": {"data": []}})
    expect("did not answer with a JSON object", {"/v1/models": []})
    expect("gave no list of tokens", {"/v1/models": MODELS, "/tokenize": {"a": 1}})
    with pytest.raises(TokenizerError, match="does not answer .* is the server up"):
        verify("openchat_3.5", trap, url="http://127.0.0.1:9", cases=5)
    with pytest.raises(TokenizerError, match="is no address"):
        verify("openchat_3.5", trap, url="127.0.0.1:9", cases=5)
