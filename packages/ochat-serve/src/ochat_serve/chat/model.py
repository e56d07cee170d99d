"""The model being served, as its callers see it: names, template, tokenizer.

Where it was read from belongs to `ochat_serve.model_folder`; running it to the engine.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ochat_serve.errors import ModelNotFoundError

if TYPE_CHECKING:
    from ochat_templates import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """What the API needs to know of the model.

    Attributes:
        codec: Template and tokenizer.
        names: Names it answers to, the preferred one first; at least one.
        adapters: Those of the names that are adapters.
        created: When it was loaded, in seconds since 1970.
    """

    codec: Codec
    names: tuple[str, ...]
    adapters: tuple[str, ...] = ()
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def of(cls, codec: Codec, *names: str) -> ServedModel:
        """Serve under the template's name, its aliases and further names, each once."""
        template = codec.template
        return cls(
            codec=codec, names=tuple(dict.fromkeys((template.name, *template.aliases, *names)))
        )

    def with_adapters(self, *adapters: str) -> ServedModel:
        """The same model, also serving adapters by name."""
        return replace(self, names=(*self.names, *adapters), adapters=adapters)

    def adapter_of(self, name: str) -> str:
        """The adapter that a request's model name asks for, "" for the model itself."""
        return name if name in self.adapters else ""

    def require_name(self, name: str) -> None:
        """Return if the model answers to `name`.

        Raises:
            ModelNotFoundError: It does not; the message lists the names.
        """
        if name not in self.names:
            raise ModelNotFoundError(
                f"The model {name[:200]!r} does not exist here; served: {', '.join(self.names)}.",
                param="model",
            )
