"""`response` objects and their events: the answers of `/v1/responses`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ochat_serve.http.sse import error_event
from ochat_serve.http.wire import AnswerParts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ochat_serve.chat import Delta
    from ochat_serve.http.exchange import Exchange


class ResponseWire:
    """One message of text; nothing of it is stored."""

    def __init__(self, exchange: Exchange, echoed: Mapping[str, Any]) -> None:
        """Take the fields of the request that the answer repeats."""
        self._exchange, self._echoed = exchange, echoed
        self._name = "resp_" + exchange.name.partition("-")[2]
        self._item = "msg_" + exchange.name.partition("-")[2]
        self._number = 0
        self._parts = AnswerParts()

    def opening(self) -> bytes:
        """Everything that comes before the text."""
        begun = self._response("in_progress", [])
        place = {"item_id": self._item, "output_index": 0, "content_index": 0}
        return (
            self._event("response.created", response=begun)
            + self._event("response.in_progress", response=begun)
            + self._event(
                "response.output_item.added",
                output_index=0,
                item=self._message("in_progress", None),
            )
            + self._event("response.content_part.added", **place, part=_part(""))
        )

    def delta(self, delta: Delta) -> bytes:
        """New text."""
        if not delta.text:
            return b""
        self._parts.texts.append(delta.text)
        return self._event(
            "response.output_text.delta",
            item_id=self._item,
            output_index=0,
            content_index=0,
            delta=delta.text,
            logprobs=[],
        )

    def closing(self) -> bytes:
        """The whole text again, in OpenAI's order of ever larger pieces."""
        text, status = self._parts.text, self._status()
        place = {"item_id": self._item, "output_index": 0, "content_index": 0}
        message = self._message(status, text)
        return (
            self._event("response.output_text.done", **place, text=text, logprobs=[])
            + self._event("response.content_part.done", **place, part=_part(text))
            + self._event("response.output_item.done", output_index=0, item=message)
            + self._event(f"response.{status}", response=self._response(status, [message]))
        )

    def failure(self, error: bytes) -> bytes:
        """An error that the official clients raise."""
        return error_event(error)

    def document(self, answers: Sequence[AnswerParts]) -> dict[str, object]:
        """The whole response."""
        status = self._status()
        return self._response(status, [self._message(status, answers[0].text)])

    def _status(self) -> str:
        return "incomplete" if self._exchange.reasons == ["length"] else "completed"

    def _event(self, kind: str, **fields: object) -> bytes:
        body = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {kind}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n".encode()

    def _message(self, status: str, text: str | None) -> dict[str, object]:
        return {
            "type": "message",
            "id": self._item,
            "status": status,
            "role": "assistant",
            "content": [] if text is None else [_part(text)],
        }

    def _response(self, status: str, output: list[dict[str, object]]) -> dict[str, object]:
        exchange = self._exchange
        over = status != "in_progress"
        cut = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self._name,
            "object": "response",
            "created_at": exchange.created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": cut,
            "model": exchange.model,
            "output": output,
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "tool_choice": "none",
            "tools": [],
            "truncation": "disabled",
            "usage": _usage(exchange) if over else None,
            **self._echoed,
        }


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(exchange: Exchange) -> dict[str, object]:
    return {
        "input_tokens": exchange.prompt_tokens,
        "input_tokens_details": {"cached_tokens": exchange.cached_tokens or 0},
        "output_tokens": exchange.tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": exchange.prompt_tokens + exchange.tokens,
    }
