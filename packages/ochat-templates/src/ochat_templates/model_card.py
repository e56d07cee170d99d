"""`openchat.json`: how a model folder says which template and tokenizer it was trained with.

Written by the trainer, read by the server and the evaluation. The weights are not its business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import FingerprintMismatchError, ModelCardError
from .fingerprint import Fingerprint

FILE_NAME = "openchat.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What `openchat.json` holds.

    Attributes:
        model_type: The template's name.
        context_length: The longest sequence, in tokens, that the model is meant for.
        fingerprint: The fingerprint of the training data's tokens.
        training: The training arguments, as JSON values.
    """

    model_type: str
    context_length: int
    fingerprint: Fingerprint
    training: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | Path) -> ModelCard:
        """Reads the card of a model folder.

        Raises:
            ModelCardError: The file is missing, is no JSON, or lacks a field.
        """
        import json

        file = Path(folder) / FILE_NAME
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ModelCardError(
                f"{folder} has no {FILE_NAME}; name the template with --model-type"
            ) from error
        except (OSError, ValueError) as error:
            raise ModelCardError(f"cannot read {file}: {error}; export the model again") from error
        try:
            if data["schema_version"] != SCHEMA_VERSION:
                raise ModelCardError(
                    f"{file} has schema_version {data['schema_version']}, this version reads "
                    f"{SCHEMA_VERSION}; update ochat-templates"
                )
            return cls(
                model_type=str(data["model_type"]),
                context_length=int(data["context_length"]),
                fingerprint=Fingerprint.from_json(data["fingerprint"]),
                training=dict(data.get("training", {})),
            )
        except (KeyError, TypeError, ValueError, FingerprintMismatchError) as error:
            raise ModelCardError(f"{file} is incomplete ({error}); export the model again") from (
                error
            )

    def write(self, folder: str | Path) -> Path:
        """Writes the card into a model folder and returns its path."""
        import json

        file = Path(folder) / FILE_NAME
        data = {
            "schema_version": SCHEMA_VERSION,
            "model_type": self.model_type,
            "context_length": self.context_length,
            "fingerprint": self.fingerprint.to_json(),
            "training": dict(self.training),
        }
        beside = file.with_name(f".{FILE_NAME}.partial")
        beside.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        beside.replace(file)
        return file
