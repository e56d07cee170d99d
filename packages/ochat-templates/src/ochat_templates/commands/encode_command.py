"""`ochat-templates encode`: conversations from standard input to ids, or to a view for people."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import warnings
from collections.abc import Iterable

from ochat_templates.codec import Codec, load_codec
from ochat_templates.conversation import Conversation
from ochat_templates.errors import ConversationError

_DESCRIPTION = """\
Reads conversations, one JSON object a line, with 'items' or 'messages' (role, content, optional
weight) and optional 'system' and 'condition'. Writes {"ids": [...], "weights": [...]} a line: one
unshifted loss weight an id.

examples:
  echo '{"messages": [{"role": "user", "content": "Hello"}]}' |
      ochat-templates encode openchat_v3.2 tokenizer.model --prompt
  ochat-templates encode openchat_3.5 model_folder --explain < conversations.jsonl
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "encode",
        help="conversations (JSON lines on standard input) to token ids",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "template", help="name or alias, such as openchat_v3.2, or a template file (.toml)"
    )
    parser.add_argument(
        "tokenizer", help="a SentencePiece .model, a tokenizer.json, or a folder with one"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--prompt",
        action="store_true",
        help='the inference form: {"ids": [...]}, ready for the assistant\'s next token',
    )
    form.add_argument(
        "--explain",
        action="store_true",
        help="one line a token with its text, loss weight and origin, instead of JSON; coloured "
        "on a terminal",
    )
    parser.add_argument(
        "--special-strings",
        choices=("text", "warn", "error"),
        default="text",
        help="what to do about content that spells a control token: encode it as text, also "
        "warn, or stop (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Runs the sub-command."""
    codec = load_codec(options.tokenizer, options.template, special_strings=options.special_strings)
    stdin = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
    for number, line in _numbered_lines(stdin):
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                text = _encode_line(codec, line, options)
        except ConversationError as error:
            raise ConversationError(f"standard input, line {number}: {error}") from error
        for warning in caught:
            print(
                f"ochat-templates: standard input, line {number}: {warning.message}",
                file=sys.stderr,
            )
        print(text)


def is_terminal() -> bool:
    """Whether a person reads the output."""
    return sys.stdout.isatty()


def _numbered_lines(stream: Iterable[str]) -> Iterable[tuple[int, str]]:
    try:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield number, line
    except UnicodeDecodeError as error:
        raise ConversationError(
            f"standard input is not UTF-8 ({error.reason}); convert it first"
        ) from error


def _encode_line(codec: Codec, line: str, options: argparse.Namespace) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConversationError(f"not valid JSON: {error}") from error
    conversation = Conversation.from_json(value)
    if options.prompt:
        return json.dumps({"ids": codec.prompt(conversation)}, separators=(",", ":"))
    encoded = codec.encode(conversation)
    if options.explain:
        color = is_terminal() and not os.environ.get("NO_COLOR")
        return codec.explain(encoded, color=color)
    result = {"ids": encoded.ids, "weights": encoded.weights()}
    return json.dumps(result, separators=(",", ":"))
