"""`/status.json`: requests in progress, the last errors, the model, and the metrics with them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable

from ochat_serve import ScriptedEngine, ServerSettings
from ochat_serve.testing import LocalServer, wait_until
from ochat_templates import Codec

QUESTION = {"model": "openchat_v3.2", "messages": [{"role": "user", "content": "Hi"}]}


def test_the_model_and_the_metrics_are_told_at_one_moment(
    serve: Callable[..., LocalServer], codec: Codec
) -> None:
    server = serve(ScriptedEngine([*codec.encode_text("Yes."), codec.eot_id]))
    assert server.post("/v1/chat/completions", QUESTION)[0] == 200
    # The counters are written after the answer was sent.
    wait_until(lambda: "answers_total" in server.get("/status.json")[1]["metrics"])
    status, told = server.get("/status.json")
    assert status == 200
    assert told["model"]["name"] == "openchat_v3.2"
    assert told["model"]["fingerprint"] == codec.fingerprint.digest
    assert told["model"]["engine"] == "scripted"
    assert told["uptime_seconds"] > 0
    wait_until(
        lambda: (
            'ochat_serve_answers_total{outcome="stop"} 1'
            in server.get("/status.json")[1]["metrics"]
        )
    )
    assert told["errors"] == []


def test_requests_in_progress_are_counted_until_they_end(
    serve: Callable[..., LocalServer], codec: Codec
) -> None:
    engine = ScriptedEngine(codec.encode_text("word " * 400), tokens_per_second=20)
    server = serve(engine)
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    body = json.dumps({**QUESTION, "stream": True})
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    wait_until(lambda: server.get("/status.json")[1]["answering"] == 1)
    connection.close()
    wait_until(lambda: server.get("/status.json")[1]["answering"] == 0)
    assert server.get("/status.json")[1]["waiting"] == 0


def test_the_last_errors_are_kept_newest_first_and_bounded(
    serve: Callable[..., LocalServer],
) -> None:
    server = serve(None, ServerSettings(api_keys=("sk-status",)))
    assert server.get("/status.json")[0] == 401
    assert server.get("/v1/models", key="wrong")[0] == 401
    assert (
        server.post("/v1/chat/completions", {**QUESTION, "model": "x"}, key="sk-status")[0] == 404
    )
    told = server.get("/status.json", key="sk-status")[1]["errors"]
    assert [(each["path"], each["status"], each["code"]) for each in told] == [
        ("/v1/chat/completions", 404, "model_not_found"),
        ("/v1/models", 401, "invalid_api_key"),
    ]
    assert "sk-status" not in json.dumps(told)
    for _ in range(60):
        server.get("/nowhere/" + "x" * 500, key="sk-status")
    told = server.get("/status.json", key="sk-status")[1]["errors"]
    assert len(told) == 50
    assert max(len(each["path"]) for each in told) == 120
