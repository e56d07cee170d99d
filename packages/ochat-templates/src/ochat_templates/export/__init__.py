"""Export: a template as Jinja, and a tokenizer folder, for stacks that render strings.

Each export is rendered back and compared id by id with the codec before it is written; what gives
other ids for ordinary conversations is not written unless it is forced. Programs that can send
token ids need none of this. Not imported by the package itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ochat_templates.codec import Codec, load_codec
from ochat_templates.conversation import Conversation
from ochat_templates.conversion import convert_sentencepiece
from ochat_templates.errors import ExportError
from ochat_templates.template import Template
from ochat_templates.tokenizer import SENTENCEPIECE_FILE, TOKENIZERS_FILE

from .folder_check import encode_by_transformers
from .jinja import Flavor, jinja_text
from .rendering import compile_jinja, render, tokenized
from .verdict import Encode, Verdict, judge

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Verdict", "export_jinja", "export_tokenizer", "jinja_template"]

CHAT_TEMPLATE_FILE, SETTINGS_FILE = "chat_template.jinja", "tokenizer_config.json"
_OUR_FILES = frozenset({TOKENIZERS_FILE, SETTINGS_FILE, CHAT_TEMPLATE_FILE})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What an export is made of: the codec, and its tokenizer as a server would hold it."""

    codec: Codec
    tokenizer: Tokenizer

    @property
    def spellings(self) -> frozenset[str]:
        """Every string that the tokenizer turns into a special token."""
        added = json.loads(self.tokenizer.to_str())["added_tokens"]
        special = {entry["content"] for entry in added if entry["special"]}
        return frozenset({*special, *self.codec.control_ids})

    @property
    def joint(self) -> str:
        """The dummy prefix, which stands between two texts in the string."""
        table = self.codec.token_bytes
        text = b"".join(table[i] or b"" for i in self.codec.encode_text("a")).decode()
        return text.removesuffix("a")


def jinja_template(
    template: str | Template,
    tokenizer: str | Path,
    *,
    flavor: Flavor = "serve",
    condition: str = "",
) -> str:
    """The Jinja of a template for a tokenizer, without a comparison; see `export_jinja`.

    Raises:
        UnknownTemplateError: No template has that name.
        TokenizerError: The tokenizer cannot be read, or breaks the rule.
        ConditionError: The template does not take the condition.
    """
    return _jinja(_open(template, tokenizer), flavor, condition, "")


def export_jinja(
    template: str | Template,
    tokenizer: str | Path,
    output: Path | None,
    *,
    flavor: Flavor = "serve",
    condition: str = "",
    force: bool = False,
) -> tuple[Verdict, str]:
    """Writes a template as Jinja and returns the verdict with the text.

    Args:
        template: A template, or the name or alias of one.
        tokenizer: The tokenizer that will run over the string: a `.model` file, a
            `tokenizer.json`, or a folder with one.
        output: The file; None writes nothing.
        flavor: `serve`, or `train` with generation marks.
        condition: The default condition, in place of the template's.
        force: Write it even if the verdict is NOT REPRESENTABLE.

    Raises:
        UnknownTemplateError: No template has that name.
        TokenizerError: The tokenizer cannot be read, or breaks the rule.
        ConditionError: The template does not take the condition.
        ExportError: The format has no string, or a needed package is missing.
    """
    source = _open(template, tokenizer)
    verdict = _judged(source, _jinja(source, flavor, condition, ""), flavor)
    _require_representable(source, verdict, force=force)
    text = _jinja(source, flavor, condition, str(verdict))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        beside = output.with_name(f".{output.name}.partial")
        beside.write_text(text, encoding="utf-8")
        beside.replace(output)
    return verdict, text


def export_tokenizer(
    template: str | Template,
    tokenizer: str | Path,
    output: Path,
    *,
    condition: str = "",
    force: bool = False,
) -> Verdict:
    """Writes a folder that Transformers and vLLM read as the codec does.

    It holds `tokenizer.json` without anything that Transformers rebuilds, the settings that make
    it keep the file as it is, and the serving Jinja. Where Transformers is installed, the folder
    is loaded by it for the comparison.

    Args:
        template: A template, or the name or alias of one.
        tokenizer: A `.model` file, a `tokenizer.json`, or a folder with one.
        output: The folder; it must not exist, be empty, or hold an earlier export.
        condition: The default condition, in place of the template's.
        force: Write it even if the verdict is NOT REPRESENTABLE.

    Raises:
        UnknownTemplateError: No template has that name.
        TokenizerError: The tokenizer cannot be read, or breaks the rule.
        ConditionError: The template does not take the condition.
        ExportError: The format has no string, the folder is taken, or a package is missing.
    """
    source = _open(template, tokenizer)
    _require_free(output)
    beside = output.with_name(f".{output.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        source.tokenizer.save(str(beside / TOKENIZERS_FILE))
        settings = json.dumps(_settings(source), indent=2)
        (beside / SETTINGS_FILE).write_text(f"{settings}\n", encoding="utf-8")
        plain = _jinja(source, "serve", condition, "")
        (beside / CHAT_TEMPLATE_FILE).write_text(plain, encoding="utf-8")
        encode = encode_by_transformers(beside)
        verdict = _judged(source, plain, "serve", encode)
        _require_representable(source, verdict, force=force)
        text = _jinja(source, "serve", condition, str(verdict))
        (beside / CHAT_TEMPLATE_FILE).write_text(text, encoding="utf-8")
        shutil.rmtree(output, ignore_errors=True)
        beside.replace(output)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return verdict


def _open(template: str | Template, tokenizer: str | Path) -> _Source:
    codec = load_codec(tokenizer, template)
    place = Path(tokenizer)
    model = place / SENTENCEPIECE_FILE if place.is_dir() else place
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ExportError(
            "an export needs: pip install 'ochat-templates[tokenizers,jinja]'"
        ) from error
    if model.suffix == ".json" or not model.exists():
        file = place / TOKENIZERS_FILE if place.is_dir() else place
        whole = Tokenizer.from_file(str(file))
        # A post-processor would add a BOS to a string that has one.
        specification = json.loads(whole.to_str()) | {"post_processor": None}
        whole = Tokenizer.from_str(json.dumps(specification))
        whole.add_special_tokens(list(codec.template.control_tokens))
    else:
        by_id = sorted(codec.control_ids, key=codec.control_ids.__getitem__)
        whole = convert_sentencepiece(model, by_id)
    for token, token_id in codec.control_ids.items():
        if whole.token_to_id(token) != token_id:
            raise ExportError(
                f"{place} gives {token!r} the id {token_id}, which a converted tokenizer.json "
                "cannot: its ids have a gap; export from the folder's own tokenizer.json"
            )
    return _Source(codec=codec, tokenizer=whole)


def _jinja(source: _Source, flavor: Flavor, condition: str, comment: str) -> str:
    source.codec.template.resolve_condition(condition, training=False)
    return jinja_text(
        source.codec.template,
        flavor=flavor,
        joint=source.joint,
        spellings=source.spellings,
        condition=condition,
        comment=comment,
    )


def _judged(source: _Source, text: str, flavor: Flavor, encode: Encode | None = None) -> Verdict:
    compiled = compile_jinja(text)

    def by_ourselves(
        conversation: Conversation, prompt: bool
    ) -> tuple[list[int], list[bool] | None]:
        rendered = render(compiled, conversation, prompt=prompt)
        ids, mask = tokenized(source.tokenizer, rendered)
        return ids, mask if flavor == "train" else None

    return judge(
        source.codec,
        encode or by_ourselves,
        trains=flavor == "train",
        joint=source.joint,
        spellings=source.spellings,
    )


def _settings(source: _Source) -> Mapping[str, object]:
    """`tokenizer_config.json`: this class keeps the normaliser that `tokenizer.json` holds."""
    template = source.codec.template
    model = json.loads(source.tokenizer.to_str())["model"]
    settings: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": template.bos or None,
        "eos_token": template.eot,
        "pad_token": template.eot,
        "unk_token": model.get("unk_token"),
        "model_max_length": template.context_length,
        "clean_up_tokenization_spaces": False,
    }
    return {key: value for key, value in settings.items() if value is not None}


def _require_representable(source: _Source, verdict: Verdict, *, force: bool) -> None:
    if verdict.kind == "NOT REPRESENTABLE" and not force:
        raise ExportError(
            f"{source.codec.template.name} has no string that gives its tokens: {verdict}; send "
            "token ids instead, or write it all the same with --force"
        )


def _require_free(output: Path) -> None:
    taken = output.exists() and (
        not output.is_dir() or not {file.name for file in output.iterdir()} <= _OUR_FILES
    )
    if taken:
        raise ExportError(f"{output} holds other files; give --output a new folder")
