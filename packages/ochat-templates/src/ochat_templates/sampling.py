"""Seeded texts and conversations on which tokenizers are known to differ.

For checks that must find the same defect again tomorrow; no test library is needed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from .conversation import Conversation, Message
from .template import Template

_WORDS = (
    *("the", "answer", "User", "Assistant", "GPT4", "don't", "e.g.", "https://a.org/b?c=1#d"),
    *("na\u00efve", "\u4f60\u597d", "\u3053\u3093", "\u0645\u0631\u062d\u0628\u0627", "\u20ac5"),
    *("def f(x):", "return  x", "[[1, 2],", "{'a': 1}", "x=1;", "<div>", "*bold*", "my_var"),
    *("2018", "0.5", "1", "1234567", "\U0001f642", "\U0001f469\u200d\U0001f467", "e\u0301"),
    *("<0x0A>", "a\u2581b", "\u2581", "\0", "\x1b[1m", "\u200b", "\ufeff", "\ufffd", "caf\u00e9"),
)
_GLUE = (" ", " ", " ", " ", "", "  ", "   ", "\n", "\n\n", "\n    ", "\t", "\r\n", " " * 9)
_SPELT = ("<s>", "</s>", "<unk>", "<|end_of_turn|>", "<|im_end|>", "<|eot_id|>", "<eos>")


def sample_texts(template: Template, seed: int, *, special_strings: bool = True) -> Iterator[str]:
    """Endless texts: words of several scripts, code, runs of spaces, line breaks, odd characters.

    Args:
        template: The format whose control tokens some texts spell.
        seed: The same seed gives the same texts.
        special_strings: Whether control tokens are spelt at all.
    """
    rng = random.Random(seed)  # noqa: S311 - a seed, not a secret
    spelt = (*template.control_tokens, *_SPELT)
    yield ""
    while True:
        parts: list[str] = []
        if rng.random() < 0.2:
            parts.append(rng.choice(_GLUE))
        for _ in range(rng.randint(1, 12)):
            odd = special_strings and rng.random() < 0.04
            parts += [rng.choice(spelt if odd else _WORDS), rng.choice(_GLUE)]
        if rng.random() < 0.6:
            parts.pop()
        yield "".join(parts)


def sample_conversations(
    template: Template, seed: int, *, special_strings: bool = True
) -> Iterator[Conversation]:
    """Endless conversations that the template takes, each ending in an answer.

    Each names a condition where the template has any, so that the training form and the prompt
    speak of the same one.
    """
    rng = random.Random(seed)  # noqa: S311 - a seed, not a secret
    texts = sample_texts(template, seed, special_strings=special_strings)
    rule = template.condition
    conditions = rule.allowed or ((rule.default, "Code") if rule.default else ("",))
    while True:
        turns = [
            Message(role=role, content=next(texts))
            for _ in range(rng.randint(1, 3))
            for role in ("user", "assistant")
        ]
        system = next(texts) if template.system_allowed and rng.random() < 0.4 else ""
        yield Conversation(messages=tuple(turns), system=system, condition=rng.choice(conditions))
