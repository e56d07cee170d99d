"""Adapters in the embedded engine: PEFT puts their layers into the model that runs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from ochat_serve.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peft import LoraModel
    from transformers import PreTrainedModel

    from ochat_serve.engine.adapters import Adapter


def load_adapters(model: PreTrainedModel, adapters: Sequence[Adapter]) -> Callable[[str], None]:
    """Put adapters into a model, which stays itself until one is chosen.

    Args:
        model: Changed in place.
        adapters: At least one.

    Returns:
        What makes the model the one of an adapter's name, or itself for "".

    Raises:
        SetupError: PEFT is missing, or an adapter does not fit the model.
    """
    if find_spec("peft") is None:
        raise SetupError("Serving adapters needs PEFT: pip install 'ochat-serve[lora]'.")
    from peft import PeftModel

    # PEFT's names are names of modules, where a dot would be a path.
    names = {adapter.name: f"served{number}" for number, adapter in enumerate(adapters)}
    first = adapters[0]
    try:
        wrapped = PeftModel.from_pretrained(model, first.folder, adapter_name=names[first.name])
        for adapter in adapters[1:]:
            wrapped.load_adapter(adapter.folder, names[adapter.name])
    except (RuntimeError, ValueError, KeyError, OSError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise SetupError(
            f"The adapters do not fit this model ({reason[:300]}); serve them with the base model "
            "that they were trained on."
        ) from error
    wrapped.eval()
    layers = cast("LoraModel", wrapped.base_model)
    current: str | None = None

    def use(name: str) -> None:
        nonlocal current
        if name == current:
            return
        if name:
            layers.enable_adapter_layers()
            wrapped.set_adapter(names[name])
        else:
            layers.disable_adapter_layers()
        current = name

    return use
