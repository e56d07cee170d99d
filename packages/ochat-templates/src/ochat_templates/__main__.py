"""The command `ochat-templates`: list and show templates, encode conversations.

Parses arguments and prints; the work is done by the codec.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterable, Sequence

from .codec import Codec, load_codec
from .conversation import Conversation
from .errors import ConversationError, TemplatesError
from .registry import get_template, template_names


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except TemplatesError as error:
        print(f"ochat-templates: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (head, say) has seen enough; Python would complain at exit otherwise.
        sys.stderr.close()
    except OSError as error:
        print(f"ochat-templates: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ochat-templates",
        description="Turn conversations into the exact tokens of OpenChat models.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="list the templates with their aliases")
    listing.set_defaults(run=_list)

    show = commands.add_parser("show", help="print everything a template says, as JSON")
    show.add_argument("template", help="name or alias, such as openchat_v3.2")
    show.set_defaults(run=_show)

    encode = commands.add_parser(
        "encode",
        help="conversations (JSON lines on standard input) to token ids (JSON lines)",
        description=(
            "Reads conversations, one JSON object a line, with 'items' or 'messages' (role, "
            "content, optional weight) and optional 'system' and 'condition'. Writes "
            '{"ids": [...], "weights": [...]} a line: one unshifted loss weight an id.'
        ),
        epilog=(
            'example: echo \'{"messages": [{"role": "user", "content": "Hello"}]}\' | '
            "ochat-templates encode openchat_v3.2 tokenizer.model --prompt"
        ),
    )
    encode.add_argument("template", help="name or alias, such as openchat_v3.2")
    encode.add_argument(
        "tokenizer", help="a SentencePiece .model, a tokenizer.json, or a folder with one"
    )
    encode.add_argument(
        "--prompt",
        action="store_true",
        help='the inference form: {"ids": [...]}, ready for the assistant\'s next token',
    )
    encode.set_defaults(run=_encode)
    return parser


def _list(_: argparse.Namespace) -> None:
    for name in template_names():
        template = get_template(name)
        print(f"{name}\t{', '.join(template.aliases)}\t{template.description}")


def _show(options: argparse.Namespace) -> None:
    template = get_template(options.template)
    rule = template.condition
    shown = {
        "name": template.name,
        "aliases": template.aliases,
        "description": template.description,
        "context_length": template.context_length,
        "control_tokens": template.control_tokens,
        "roles": dict(template.roles),
        "condition": {
            "allowed": rule.allowed or "any text",
            "inference_default": rule.default,
            "training_default": rule.unlabelled,
            "turn": rule.turn,
        },
        "system_allowed": template.system_allowed,
        "strip_leading_space": template.strip_leading_space,
    }
    print(json.dumps(shown, indent=2))


def _encode(options: argparse.Namespace) -> None:
    codec = load_codec(options.tokenizer, options.template)
    stdin = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
    for number, line in _numbered_lines(stdin):
        try:
            result = _encode_line(codec, line, prompt=options.prompt)
        except ConversationError as error:
            raise ConversationError(f"standard input, line {number}: {error}") from error
        print(json.dumps(result, separators=(",", ":")))


def _numbered_lines(stream: Iterable[str]) -> Iterable[tuple[int, str]]:
    try:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield number, line
    except UnicodeDecodeError as error:
        raise ConversationError(
            f"standard input is not UTF-8 ({error.reason}); convert it first"
        ) from error


def _encode_line(codec: Codec, line: str, *, prompt: bool) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConversationError(f"not valid JSON: {error}") from error
    conversation = Conversation.from_json(value)
    if prompt:
        return {"ids": codec.prompt(conversation)}
    encoded = codec.encode(conversation)
    return {"ids": encoded.ids, "weights": encoded.weights()}


if __name__ == "__main__":
    sys.exit(main())
