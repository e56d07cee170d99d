"""Connections whose other end does nothing are closed, so that nobody can hold the server.

uvicorn waits for ever: for the rest of a request's head, and for a reader who does not read. Bodies
have a deadline of their own (`http.receiving`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.h11_impl import H11Protocol


def patient(seconds: float) -> type[asyncio.Protocol]:
    """Uvicorn's protocol, which then waits so long for the other end.

    Args:
        seconds: For the head of a request, and for a reader to take anything of a full buffer.
    """
    base = cast("type[H11Protocol]", AutoHTTPProtocol)

    # typing.override, which the checker asks for, needs Python 3.12.
    class Patient(base):
        """One connection."""

        _silence: asyncio.TimerHandle | None = None
        _stall: asyncio.TimerHandle | None = None

        # pyrefly: ignore[missing-override-decorator]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._watch_silence()

        # pyrefly: ignore[missing-override-decorator]
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch_silence()

        def _watch_silence(self) -> None:
            """Half a head is no request yet; whoever has sent a whole one may wait."""
            cycle = self.cycle
            if cycle is not None and not cycle.response_complete:
                self._silence = _cancelled(self._silence)
            elif self._silence is None:
                self._silence = self.loop.call_later(seconds, self.transport.close)

        # pyrefly: ignore[missing-override-decorator]
        def on_response_complete(self) -> None:
            """Uvicorn's own timer takes over between requests."""
            super().on_response_complete()
            self._silence = _cancelled(self._silence)

        # pyrefly: ignore[missing-override-decorator]
        def pause_writing(self) -> None:
            """The buffer is full: the other end does not read."""
            super().pause_writing()
            if self._stall is None:
                # Not closed, which would wait for the buffer to be read.
                self._stall = self.loop.call_later(seconds, self.transport.abort)

        # pyrefly: ignore[missing-override-decorator]
        def resume_writing(self) -> None:
            super().resume_writing()
            self._stall = _cancelled(self._stall)

        # pyrefly: ignore[missing-override-decorator]
        def connection_lost(self, exc: Exception | None) -> None:
            self._silence, self._stall = _cancelled(self._silence), _cancelled(self._stall)
            super().connection_lost(exc)

    return Patient


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
