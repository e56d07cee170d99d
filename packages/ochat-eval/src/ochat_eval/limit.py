"""How many requests may be in flight: more while the server keeps up, half when it says too many.

Additive increase, multiplicative decrease, with a doubling start as in TCP; knows no requests.
"""

from __future__ import annotations

_FIRST = 64


class Limit:
    """A number that follows what the server can take."""

    def __init__(self, *, most: int, first: int = _FIRST) -> None:
        """Start at `first`, never above `most`."""
        self._most = most
        self._allowed = float(min(first, most))
        self._gentle_from = float("inf")  # above this, growth is one a round
        self._answers_to_ignore = 0

    @property
    def allowed(self) -> int:
        """Requests that may be in flight now; at least one."""
        return max(1, int(self._allowed))

    def succeed(self) -> None:
        """A request was answered: one more until the server once refused, then one a round."""
        self._answers_to_ignore = max(0, self._answers_to_ignore - 1)
        step = 1.0 if self._allowed < self._gentle_from else 1.0 / self._allowed
        self._allowed = min(self._most, self._allowed + step)

    def throttle(self) -> None:
        """The server refused for load, or did not answer in time: half, once a round.

        A burst of refusals that were all under way counts as one.
        """
        if self._answers_to_ignore:
            self._answers_to_ignore -= 1
            return
        self._answers_to_ignore = self.allowed - 1
        self._allowed = max(1.0, self._allowed / 2)
        self._gentle_from = self._allowed
