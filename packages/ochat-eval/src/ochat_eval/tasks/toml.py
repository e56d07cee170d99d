"""A table of a TOML file that checks what is taken from it and says where it was.

Knows types and names; what the values mean is the reader's business.
"""

from __future__ import annotations

from collections.abc import Mapping

from ochat_eval.errors import TaskError


class Table:
    """Values by name, each looked at once; what nobody looked at is an unknown name."""

    def __init__(self, values: Mapping[str, object], place: str) -> None:
        """Wrap a table; `place` names it in messages."""
        self._values, self.place, self._seen = values, place, set[str]()

    def text(self, name: str, default: str | None = None) -> str:
        """A text; required where there is no default.

        Raises:
            TaskError: It is missing or no text.
        """
        value = self._get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self._wrong(name, "a text", value)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; none where it is missing."""
        value = self._get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._wrong(name, "a list of texts", value)
        return tuple(map(str, value))

    def text_or_texts(self, name: str) -> str | tuple[str, ...] | None:
        """One text, a list of them, or None where it is missing."""
        value = self._values.get(name)
        if value is None or isinstance(value, str):
            return self.text(name, "") or None
        return self.texts(name)

    def all_texts(self) -> dict[str, str]:
        """Every value of the table, each a text."""
        return {name: self.text(name) for name in self._values}

    def number(self, name: str) -> int:
        """A whole number above 0."""
        value = self.optional_number(name)
        if value is None:
            raise self._wrong(name, "a whole number above 0", None)
        return value

    def optional_number(self, name: str) -> int | None:
        """A whole number above 0, or None where it is missing."""
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(name, "a whole number above 0", value)
        return value

    def flag(self, name: str) -> bool:
        """True or false; false where it is missing."""
        value = self._get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value is True

    def table(self, name: str) -> Table | None:
        """A table within this one, or None where it is missing."""
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self._wrong(name, "a table", value)
        return Table(value, f"{self.place}, [{name}]")

    def require_no_more(self) -> None:
        """Return if every name was looked at.

        Raises:
            TaskError: One was not, so it is misspelt or unknown to this version.
        """
        unknown = [name for name in self._values if name not in self._seen]
        if unknown:
            raise TaskError(f"{self.place}: unknown field {unknown[0]!r}; correct or remove it")

    def _get(self, name: str) -> object:
        self._seen.add(name)
        return self._values.get(name)

    def _wrong(self, name: str, expected: str, value: object) -> TaskError:
        came = "nothing" if value is None else repr(value)
        return TaskError(f"{self.place}: {name!r} must be {expected}, not {came}; correct it")
