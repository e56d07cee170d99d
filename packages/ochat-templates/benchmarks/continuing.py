"""`continue_from` on chats of 1 to 50 turns: its cost must not grow with the history."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from measuring import conversations, cpu_seconds, leave, parser, tokenizer_file, verdict

from ochat_templates import Message, load_codec

REPEATS = 2000


def main() -> None:
    """Measures and prints the cost at each length, and that of encoding anew."""
    arguments = parser(__doc__ or "").parse_args()
    with tempfile.TemporaryDirectory() as folder:
        codec = load_codec(tokenizer_file(arguments.tokenizer, Path(folder)), "openchat_v3.2")
        [chat] = conversations(1, messages=100, characters=400)
        question = [Message(role="user", content="And what does that mean for the next one?")]
        costs: dict[int, float] = {}
        for turns in (1, 10, 50):
            history = replace(chat, messages=chat.messages[: 2 * turns])
            ids = [*codec.prompt(history)]
            whole = replace(chat, messages=(*history.messages, *question))
            if ids + codec.continue_from(ids, question) != codec.prompt(whole):
                raise SystemExit("continue_from does not give the prompt of the conversation")
            costs[turns], anew = cpu_seconds(
                arguments.rounds,
                lambda ids=ids: [codec.continue_from(ids, question) for _ in range(REPEATS)],
                lambda whole=whole: [codec.prompt(whole) for _ in range(REPEATS // 100)],
            )
            each = costs[turns] / REPEATS
            print(
                f"  {turns:2d} turns, {len(ids):6d} tokens: {each * 1e6:6.1f} us to continue, "
                f"{anew * 100 / costs[turns]:7.1f} times that to encode anew"
            )
    leave(verdict("cost at 1 turn / at 50 turns", costs[1] / costs[50], at_least=0.9))


if __name__ == "__main__":
    main()
