"""How answers become what is seen: the same streamed as whole, without flicker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

RENDER = Path(__file__).with_name("render_streamed.js").read_text(encoding="utf-8")
MIXED = r"""# Head

Some **bold
text** over lines, `code`, ~~gone~~, H<sub>2</sub>O<br>and a [link](https://example.org/a_b).

1. one

   ```python
   def f():
       return 1
   ```
2. two
   - [x] done
   - [ ] open

> quoted *text*
> more

| a | b |
|:--|--:|
| 1 | $x^2$ |
| 2 | `|` |

$$
\int_0^1 x\,dx
$$

    indented code

```
no language $5$ **not bold**
```

last [reference][r] and $5 to $10, then 7$ or US$3.

[r]: https://example.org/later
"""
LONG_LIST = "".join(f"- entry {n} of **many** with `code`\n" for n in range(300))
LONG_TABLE = "| n | b |\n|---|---|\n" + "".join(f"| {n} | **b** |\n" for n in range(300))
LONG_LOOSE = "".join(f"{n}. entry\n\n   - below {n}\n\n" for n in range(1, 120))
TEXTS = {
    "mixed": MIXED,
    "list": f"Intro:\n\n{LONG_LIST}\nThe end.",
    "table": f"{LONG_TABLE}\nThe end.",
    "loose": LONG_LOOSE,
    "code": "Text\n\n```js\n" + "const a = 1; // x\n" * 500 + "```\n\nThe end.",
    "long code": "```js\n" + "const a = 1; // x\n" * 1500 + "```\n",
    "open code": "```python\nprint(1)",
    "open formula": "Text\n\n$$ x^2",
    "one line": "word " * 3000,
    "no space": "漢" * 7000,
    "lines of Windows": "# a\r\n\r\n- b\r\n- c\r\n\r\nd\r\n",
}


def render(page: Any, texts: dict[str, str]) -> dict[str, Any]:
    page.browser.set_script_timeout(120)
    found = page.browser.execute_async_script(RENDER, texts)
    assert "broke" not in found, found
    return found


def test_a_streamed_answer_ends_as_the_whole_one(page: Any) -> None:
    found = render(page, TEXTS)
    for name, pair in found.items():
        assert pair["streamed"]["html"] == pair["whole"]["html"], name
        assert pair["streamed"]["kept"], f"{name}: a final block was made anew"
    whole = {name: pair["whole"] for name, pair in found.items()}
    assert whole["list"]["html"].count("<li") == 300
    assert whole["table"]["html"].count("<tr") == 301
    assert re.findall(r"entry", whole["loose"]["text"]) == ["entry"] * 119
    assert whole["one line"]["text"].split() == ["word"] * 3000
    assert whole["no space"]["text"] == "漢" * 7000
    assert whole["code"]["text"].count("const a = 1; // x") == 500
    assert whole["long code"]["text"].count("const a = 1; // x") == 1500
    assert 1000 < whole["long code"]["html"].count("hljs-comment") < 1500
    mixed = whole["mixed"]["html"]
    assert 'href="https://example.org/later"' in mixed
    assert "$5 to $10, then 7$ or US$3." in mixed
    assert mixed.count('class="katex"') == 2
    assert "no language $5$ **not bold**" in mixed
    assert mixed.count("hljs-keyword") >= 2
    assert whole["open formula"]["text"] == "Text$$ x^2"


def test_what_grows_does_not_flicker(page: Any) -> None:
    found = render(
        page,
        {
            "list after a line": "These are they:\n- one\n- two\n",
            "rule": "text\n\n---\n\ntext",
            "table": "text:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
            "fence": "text\n\n```py\nx\n```\n",
            "bold": "a **bold** and `code` and [link](https://example.org/x) here",
        },
    )
    # "They:\n-" would be a heading for a moment, and a bold word two stars.
    assert found["list after a line"]["streamed"]["seen"] == ["p", "ul"]
    assert found["rule"]["streamed"]["seen"] == ["p", "hr"]
    assert found["fence"]["streamed"]["seen"] == ["p", "figure"]
    assert set(found["table"]["streamed"]["seen"]) == {"p", "div"}
    assert found["bold"]["streamed"]["seen"] == ["p"]


FORMULAS = {
    "It costs $5 or $10.": 0,
    "From $5 to the 10$ note": 0,
    "US$3 and CA$4": 0,
    r"\$x\$ and `$x$`": 0,
    "$x$, $y$ and $2x+1$": 3,
    r"\(a\) and \[b\]": 2,
    r"$$a$$ and $\text{a \$ b}$": 2,
    "```math\nx^2\n```": 1,
    r"- \[ x \]": 1,
    r"\begin{x}": 0,
    "$ x$ and $x $": 0,
    r"\begin{align}a&=b\\c&=d\end{align}": 1,
}


def test_formulas_are_told_from_prices(page: Any) -> None:
    found = render(page, {text: text for text in FORMULAS})
    counts = {text: it["whole"]["html"].count("data-formula=") for text, it in found.items()}
    assert counts == FORMULAS


def test_a_formula_that_cannot_be_set_shows_its_source(page: Any) -> None:
    found = render(page, {"it": r"$\frac{1$ and $\notacommand{x}$ and $\def\a{\a\a}\a$"})
    text = found["it"]["whole"]["text"]
    assert r"\frac{1" in text
    assert r"\a" in text


def test_nothing_that_was_written_is_lost(page: Any) -> None:
    found = render(
        page,
        {
            "note": "Said[^1]\n\n[^1]: note",
            "short note": "[Note]: Important",
            "tags": "Use <form> and <div class='x'>\n\n<details>\n\n<!-- so -->",
            "empty link": "[](https://x.example)",
            "Chinese": "**\u4e2d\u6587\u3002**\u540e\u9762",
            "stars": "`a**b` and `c**d`, 2 ** 3 ** 4, **bold `a**b` on**",
        },
    )
    shown = {name: pair["whole"]["text"] for name, pair in found.items()}
    assert shown["note"] == "Said[^1][^1]: note"
    assert shown["short note"] == "[Note]: Important"
    assert shown["tags"] == "Use <form> and <div class='x'><details><!-- so -->"
    assert shown["empty link"] == "https://x.example"
    assert "<strong>\u4e2d\u6587\u3002</strong>" in found["Chinese"]["whole"]["html"]
    assert shown["stars"] == "a**b and c**d, 2 ** 3 ** 4, bold a**b on"
