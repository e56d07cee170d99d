"""Gives a base model new control tokens: rows of its embeddings and entries of its tokenizer.

The new rows start at the mean of the existing ones, as OpenChat's base models "with EOT token"
did; how a template uses the tokens is `ochat_templates`' business.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import torch

from ochat_templates import convert_sentencepiece

from .errors import ModelError, OutputError
from .files import refuse_occupied, whole_folder
from .forward import embedding_table
from .model import load_weights, no_progress_bars, read_config, require_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

_TOKENIZER_JSON, _SENTENCEPIECE = "tokenizer.json", "tokenizer.model"


def add_tokens(folder: Path, tokens: Sequence[str], output: Path) -> dict[str, int]:
    """Writes a copy of a model folder whose vocabulary has the given control tokens.

    Args:
        folder: Hugging Face folder with weights and a tokenizer.json or tokenizer.model.
        tokens: spellings of the control tokens, none of them in the vocabulary yet.
        output: new or empty folder.

    Returns:
        The id of each token.

    Raises:
        ModelError: the folder is no model with a tokenizer, or a token is there already.
        OutputError: `output` is not empty, or what was written reads back differently.
    """
    refuse_occupied(output)
    read_config(folder)
    require_weights(folder)
    specification, taken = _read_tokenizer(folder)
    ids = _new_ids(tokens, taken)
    model = load_weights(folder, "auto")
    _grow(model, first=min(ids.values()), count=len(ids))
    specification["added_tokens"] += [_entry(token, token_id) for token, token_id in ids.items()]
    with whole_folder(output) as beside:
        for file in folder.iterdir():
            # What says how to read text and prompts stays; weights and config are written anew.
            if file.is_file() and file.suffix in {".json", ".model", ".txt", ".jinja"}:
                shutil.copyfile(file, beside / file.name)
        (beside / "model.safetensors.index.json").unlink(missing_ok=True)
        with no_progress_bars():
            model.save_pretrained(beside)
        text = json.dumps(specification, ensure_ascii=False, indent=2)
        (beside / _TOKENIZER_JSON).write_text(text, encoding="utf-8")
        _verify(model, beside)
    return ids


def _read_tokenizer(folder: Path) -> tuple[dict[str, list[dict[str, object]]], dict[str, int]]:
    """The tokenizer.json of a folder, converted if need be, and every token's id."""
    file, sentencepiece = folder / _TOKENIZER_JSON, folder / _SENTENCEPIECE
    if not (file.is_file() or sentencepiece.is_file()):
        raise ModelError(
            f"{folder} has neither {_TOKENIZER_JSON} nor {_SENTENCEPIECE}; "
            "copy the tokenizer of the base model there"
        )
    try:
        if file.is_file():
            text = file.read_text(encoding="utf-8")
        else:
            text = convert_sentencepiece(sentencepiece, ()).to_str()
        specification = json.loads(text)
        vocabulary = specification["model"]["vocab"]
        # A unigram model lists [piece, score] pairs in the order of their ids.
        if not isinstance(vocabulary, dict):
            vocabulary = {piece: index for index, (piece, _) in enumerate(vocabulary)}
        added = {entry["content"]: entry["id"] for entry in specification["added_tokens"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} is no tokenizer file ({error}); copy it again") from error
    return specification, vocabulary | added


def _new_ids(tokens: Sequence[str], taken: dict[str, int]) -> dict[str, int]:
    """The ids after the last one of the vocabulary, in the given order."""
    present = [token for token in tokens if token in taken]
    if present or not tokens or len(set(tokens)) != len(tokens) or "" in tokens:
        what = f"{present[0]!r} is in the vocabulary already" if present else "give each token once"
        raise ModelError(f"nothing to add: {what}")
    first = max(taken.values()) + 1
    return {token: first + index for index, token in enumerate(tokens)}


def _entry(token: str, token_id: int) -> dict[str, object]:
    """An added token as tokenizer.json writes it: special, matched as it stands."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token_id, "content": token, **flags, "special": True}


@torch.no_grad()
def _grow(model: PreTrainedModel, *, first: int, count: int) -> None:
    """Makes room for rows `first` to `first + count` and starts them at the mean of the others.

    Rows past the vocabulary (padding) are used before the table grows, and take no part in the
    mean.
    """
    if embedding_table(model).shape[0] < first + count:
        model.resize_token_embeddings(first + count, mean_resizing=False)
    tables = [model.get_input_embeddings(), model.get_output_embeddings()]
    for table in (table for table in tables if table is not None):
        for parameter in (table.weight, getattr(table, "bias", None)):
            if isinstance(parameter, torch.Tensor):
                mean = parameter[:first].float().mean(dim=0)
                parameter[first : first + count] = mean.to(parameter.dtype)


def _verify(model: PreTrainedModel, folder: Path) -> None:
    """Reloads the folder and compares every tensor."""
    reloaded = load_weights(folder, "auto").state_dict()
    for name, tensor in model.state_dict().items():
        if name not in reloaded or not torch.equal(tensor, reloaded[name]):
            raise OutputError(f"{folder}: tensor {name!r} reads back differently; try again")
