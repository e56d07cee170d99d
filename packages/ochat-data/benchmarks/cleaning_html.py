"""Loading ShareGPT pages and turning their HTML to Markdown, against OpenChat's path of 2023.

That path is restated here: BeautifulSoup's html.parser finds the page's script, markdownify turns
each answer to Markdown between regular expressions over the text. It needs an environment with

    pip install beautifulsoup4 markdownify
"""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sides import cpu_seconds, leave, parser, passage, verdict

from ochat_data.markdown import html_to_markdown
from ochat_data.sharegpt_page import page_content

_DIV = re.compile(r"<div.*?>")
_CODE = re.compile(r"```\s*(.*?)(?:Copy code)+(.+?)\s*?```", re.DOTALL)
_COUNTER = re.compile(r"\d+ / \d+")
_COPIED = re.compile(r"Copy\d+ chars / \d+ words")


def paragraph(rng: random.Random) -> str:
    """Prose with code words and stress, as an answer's page has it."""
    words = html.escape(" ".join(passage(rng, 300).split()))
    return f"<p>{words} <code>name_of_it</code> and <strong>so</strong> on.</p>"


def code(rng: random.Random) -> str:
    """A code block with its bar of buttons, coloured word by word."""
    lines = html.escape(passage(rng, 400)).replace(
        "self", '<span class="hljs-built_in">self</span>'
    )
    return (
        '<pre><div class="bg-black mb-4 rounded-md"><div class="flex items-center text-gray-200 '
        'text-xs"><span>python</span><button class="flex ml-auto gap-2"><svg stroke="currentColor" '
        'fill="none" viewBox="0 0 24 24" class="h-4 w-4"><path d="M16 4h2a2 2 0 0 1 2 2v14"></path>'
        '</svg>Copy code</button></div><div class="p-4 overflow-y-auto"><code class="!whitespace-'
        f'pre hljs language-python">{lines}</code></div></div></pre>'
    )


def table(rng: random.Random) -> str:
    """Four rows of three cells."""
    cells = [html.escape(" ".join(passage(rng, 24).split())) for _ in range(12)]
    rows = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells[start : start + 3]) + "</tr>"
        for start in range(0, 12, 3)
    )
    head = "<tr><th>name</th><th>kind</th><th>meaning</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def items(rng: random.Random) -> str:
    """A list in a list."""
    parts = [html.escape(" ".join(passage(rng, 80).split())) for _ in range(6)]
    inner = "".join(f"<li>{part}</li>" for part in parts[3:])
    return f"<ol><li>{parts[0]}</li><li>{parts[1]}<ul>{inner}</ul></li><li>{parts[2]}</li></ol>"


def answer(rng: random.Random) -> str:
    """An answer as the page shows it."""
    kinds: list[Callable[[random.Random], str]] = [paragraph, code, paragraph, table, items]
    body = "".join(kind(rng) for kind in rng.sample(kinds, k=3))
    return f'<div class="markdown prose w-full break-words dark:prose-invert">{body}</div>'


def page(rng: random.Random) -> str:
    """A shared chat of eight messages, its conversation in the script and shown in the body."""
    chat = [
        {
            "from": ("human", "gpt")[turn % 2],
            "value": answer(rng) if turn % 2 else passage(rng, 200),
        }
        for turn in range(8)
    ]
    data = {"props": {"pageProps": {"content": {"title": "A chat", "items": chat}}}, "page": "/c"}
    shown = "".join(
        f'<div class="row"><div class="cell">{each["value"]}</div></div>' for each in chat
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><title>A chat</title><meta charset="utf-8"></head>'
        f'<body><div id="__next">{shown}</div><script id="__NEXT_DATA__" '
        f'type="application/json">{json.dumps(data)}</script></body></html>'
    )


def page_of_2023(text: str) -> Any:  # noqa: ANN401
    """The conversation of a page."""
    script = (
        import_module("bs4").BeautifulSoup(text, "html.parser").find("script", id="__NEXT_DATA__")
    )
    return json.loads(script.string)["props"]["pageProps"]["content"]


def markdown_of_2023(text: str) -> str:
    """The Markdown of a message."""
    made: str = import_module("markdownify").markdownify(_DIV.sub("", text)).strip()
    made = _CODE.sub(r"```\1\n\2\n```", made)
    noise = _COUNTER.search(made)
    if noise and noise.start() == 0:
        made = made[noise.end() :]
    return re.sub(r"\n\n\n+", "\n", _COPIED.sub("", made)).strip()


def main() -> None:
    """Measures and prints both ratios."""
    arguments = parser(__doc__ or "").parse_args()
    if not (find_spec("bs4") and find_spec("markdownify")):
        raise SystemExit("left out: all of it, which needs beautifulsoup4 and markdownify")
    rng = random.Random(0)  # noqa: S311 - a seed, not a secret
    pages = [page(rng) for _ in range(150)]
    answers = [answer(rng) for _ in range(400)]
    same = [page_content(each) for each in pages] == [page_of_2023(each) for each in pages]
    print(f"{len(pages)} pages of {sum(map(len, pages)) // len(pages):,} characters, equal: {same}")
    ours, theirs = cpu_seconds(
        arguments.rounds,
        lambda: [page_content(each) for each in pages],
        lambda: [page_of_2023(each) for each in pages],
    )
    print(f"  {len(pages) / ours:,.0f} and {len(pages) / theirs:,.0f} pages per CPU second")
    reached = [same, verdict("rate of loading a page / 2023", theirs / ours, at_least=15)]
    print(f"{len(answers)} answers of {sum(map(len, answers)) // len(answers):,} characters")
    ours, theirs = cpu_seconds(
        arguments.rounds,
        lambda: [html_to_markdown(each) for each in answers],
        lambda: [markdown_of_2023(each) for each in answers],
    )
    print(f"  {len(answers) / ours:,.0f} and {len(answers) / theirs:,.0f} answers per CPU second")
    reached.append(verdict("rate of HTML to Markdown / 2023", theirs / ours, at_least=8))
    leave(*reached)


if __name__ == "__main__":
    main()
