"""Reads what a model folder says before any weight is loaded: template, tokenizer, context.

Everything that can be wrong with a folder is found here in a moment, and said in one sentence;
loading the weights belongs to the engine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ochat_serve.chat.model import ServedModel
from ochat_serve.errors import SetupError
from ochat_templates import ModelCard, TemplatesError, get_template, load_codec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ochat_templates import Template

_WEIGHTS = ("*.safetensors", "*.bin")
# Architectures name their number of positions differently.
_POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A checked model folder.

    Attributes:
        path: Where it is.
        model: Names, template and tokenizer.
        max_model_len: Most tokens of prompt and answer together.
    """

    path: Path
    model: ServedModel
    max_model_len: int


def open_model_folder(
    path: Path,
    *,
    model_type: str | None = None,
    max_model_len: int | None = None,
    needs_weights: bool = True,
) -> ModelFolder:
    """Read and check a model folder.

    Args:
        path: A Hugging Face model folder, with `openchat.json` or a `model_type`.
        model_type: The template to use; None takes the one that `openchat.json` names.
        max_model_len: The context to serve; None takes what the folder and the template say.
        needs_weights: Whether the engine will load config.json and weights.

    Raises:
        SetupError: Something is missing or does not fit; the sentence says what to do.
    """
    if not path.is_dir():
        # What OpenChat's published commands name is a name on the hub, with one slash.
        on_hub = len(path.parts) == 2 and not path.is_absolute()
        name, folder = (path.as_posix(), path.name) if on_hub else ("NAME", "FOLDER")
        raise SetupError(
            f"There is no model folder {path}; give a folder with config.json, weights and "
            f"tokenizer (download one with: hf download {name} --local-dir {folder})."
        )
    card = _read_card(path, required=model_type is None)
    config = _read_config(path) if needs_weights else {}
    try:
        template = get_template(model_type or (card.model_type if card else ""))
        codec = load_codec(path, template)
        if card is not None and template.name == get_template(card.model_type).name:
            codec.fingerprint.require_equal(card.fingerprint, what=f"the training of {path}")
    except TemplatesError as error:
        raise SetupError(f"{path} cannot be served: {str(error).rstrip('.')}.") from error
    rows = config.get("vocab_size")
    if isinstance(rows, int) and rows < codec.vocab_size:
        raise SetupError(
            f"The model in {path} has {rows} embedding rows and {template.name} needs "
            f"{codec.vocab_size} with its control tokens; add them with: ochat-train add-tokens."
        )
    return ModelFolder(
        path=path,
        model=ServedModel.of(codec, path.resolve().name),
        max_model_len=_context(path, config, card, template, max_model_len),
    )


def _read_card(path: Path, *, required: bool) -> ModelCard | None:
    if not required and not (path / "openchat.json").exists():
        return None
    try:
        return ModelCard.read(path)
    except TemplatesError as error:
        raise SetupError(f"{str(error).rstrip('.')}.") from error


def _read_config(path: Path) -> Mapping[str, object]:
    """config.json, after making sure that weights lie beside it."""
    file = path / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SetupError(
            f"{path} has no config.json, so it is no model folder; export or download it again."
        ) from error
    except (OSError, ValueError) as error:
        raise SetupError(f"{file} cannot be read ({error}); export the model again.") from error
    if not isinstance(config, dict):
        raise SetupError(f"{file} holds no JSON object; export or download the model again.")
    if not any(next(path.glob(pattern), None) for pattern in _WEIGHTS):
        raise SetupError(
            f"{path} has no weights (*.safetensors or *.bin); export or download the model again."
        )
    return config


def _context(
    path: Path,
    config: Mapping[str, object],
    card: ModelCard | None,
    template: Template,
    wanted: int | None,
) -> int:
    """The context to serve: what was asked for, within what the model can address."""
    found = [config[key] for key in _POSITION_KEYS if isinstance(config.get(key), int)]
    positions = next((value for value in found if isinstance(value, int)), None)
    if wanted is None:
        trained = template.context_length if card is None else card.context_length
        return trained if positions is None else min(trained, positions)
    if positions is not None and wanted > positions:
        raise SetupError(
            f"--max-model-len {wanted} is more than the {positions} positions of the model in "
            f"{path}; ask for at most {positions}."
        )
    return wanted
