"""A page's HTML becomes the Markdown it was shown from; nothing that was said is lost."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochat_data.markdown import html_to_markdown, is_chat_html
from ochat_data.markdown.blocks import code_block, rule_of_code

CODE = "def f(my_var):\n    if my_var < 3:\n        return '*_a_*'\n"
CHATGPT_CODE = (
    '<pre><div class="bg-black rounded-md"><div class="flex items-center"><span>python</span>'
    '<button class="flex ml-auto"><svg></svg>Copy code</button></div><div class="p-4">'
    '<code class="!whitespace-pre hljs"><span class="hljs-keyword">def</span> f(my_var):\n'
    "    <span>if</span> my_var &lt; 3:\n        <span>return</span> <span>'*_a_*'</span>\n"
    "</code></div></div></pre>"
)


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        (CHATGPT_CODE, f"```python\n{CODE}```"),
        ('<pre><code class="language-c++">x;</code></pre>', "```c++\nx;\n```"),
        ("<pre>  plain\n\ttext</pre>", "```\n  plain\n\ttext\n```"),
        ("<pre><code>a ``` b</code></pre>", "````\na ``` b\n````"),
        ("<p>snake_case * 2 \\ #1</p>", "snake_case * 2 \\ #1"),
        ("<p>1 / 2 of it</p>", "1 / 2 of it"),
        ("<p>a<br>b</p><p>c</p>", "a\nb\n\nc"),
        ("<p>x <strong>bold </strong>y <em>it</em> <del>d</del></p>", "x **bold** y *it* ~~d~~"),
        ("<p>use <code>a`b</code></p>", "use ``a`b``"),
        ('<p><a href="http://x.y">name</a></p>', "[name](http://x.y)"),
        ('<p><a href="http://x.y">http://x.y</a></p>', "http://x.y"),
        ('<p><img alt="cat" src="http://x/c.png"></p>', "![cat](http://x/c.png)"),
        ("<h2>Title</h2><hr><p>x</p>", "## Title\n\n---\n\nx"),
        ("<blockquote><p>a</p><p>b</p></blockquote>", "> a\n>\n> b"),
        ("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "- a\n  - b\n- c"),
        ("<ol start='3'><li>a</li><li>b</li></ol>", "3. a\n4. b"),
        (
            "<ol><li><p>a</p><pre><code>x\n  y</code></pre></li><li><p>b</p></li></ol>",
            "1. a\n\n   ```\n   x\n     y\n   ```\n\n2. b",
        ),
        (
            "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1|2</td>"
            "<td>x<br>y</td></tr><tr><td>3</td></tr></tbody></table>",
            "| a | b |\n| --- | --- |\n| 1\\|2 | x<br>y |\n| 3 |  |",
        ),
        (
            '<p>so <span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>E</mi>'
            '</mrow><annotation encoding="application/x-tex">E_1=mc^2</annotation></semantics>'
            '</math></span><span class="katex-html">E1=mc2</span></span>.</p>',
            "so $E_1=mc^2$.",
        ),
        (
            '<div class="math-display"><span class="katex"><math><annotation '
            'encoding="application/x-tex">\\int x</annotation></math></span></div>',
            "$$\n\\int x\n$$",
        ),
        ('<p>a<script type="math/tex">x^2</script></p>', "a$x^2$"),
        ('<div class="whitespace-pre-wrap">a\n    b\n\n\nc</div>', "a\n    b\n\n\nc"),
        (
            '<div class="text-xs"><button>prev</button><span>1 / 2</span><button>next</button>'
            "</div>"
            "<p>x</p>",
            "x",
        ),
        ("<style>p{}</style><p>x</p><script>alert(1)</script>", "x"),
        ("text<p>par</p>tail", "text\n\npar\n\ntail"),
        ("", ""),
    ],
)
def test_each_element_has_its_notation(html: str, markdown: str) -> None:
    assert html_to_markdown(html) == markdown


WORDS = st.text("abcdefghij", min_size=1, max_size=6)
TAGS = st.sampled_from(["p", "div", "li", "ul", "strong", "em", "td", "tr", "table", "h3", "span"])
TREES = st.recursive(
    WORDS,
    lambda inner: st.tuples(TAGS, st.lists(inner, max_size=4)).map(
        lambda pair: f"<{pair[0]}>{' '.join(pair[1])}</{pair[0]}>"
    ),
    max_leaves=20,
)


@given(html=TREES)
def test_no_word_is_lost_and_none_changes_its_place(html: str) -> None:
    from selectolax.lexbor import LexborHTMLParser

    body = LexborHTMLParser(html).body
    assert body is not None
    said = "".join(re.findall("[a-j]", body.text(deep=True)))
    shown = html_to_markdown(html).replace("<br>", "")
    assert "".join(re.findall("[a-j]", shown)) == said


@settings(deadline=1000)
@given(html=st.text(max_size=300) | st.text("<>/=\"' abpreulotdh!-&;", max_size=300))
def test_any_text_is_converted_within_a_second(html: str) -> None:
    html_to_markdown(html)


@pytest.mark.parametrize(
    "html",
    [
        "<ul><li>" * 3000 + "x",
        "<div>" * 3000 + "x",
        "<p>" + "<em>" * 3000 + "x",
        "<table><tr><td>" * 500 + "x",
        "<pre>" * 500 + "`" * 100_000,
        "<p>word</p>" * 20_000,
        "<!--" * 10_000,
    ],
    ids=["lists", "divs", "inline", "tables", "ticks", "long", "comments"],
)
def test_no_page_takes_longer_than_a_second(html: str) -> None:
    started = time.process_time()
    html_to_markdown(html)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "role", "is_html"),
    [
        ('<div class="markdown prose w-full"><p>Hi</p></div>', "assistant", True),
        ("<p>Hi</p>\n<ul><li>x</li></ul>", "assistant", True),
        ('<div class="whitespace-pre-wrap">Hi</div>', "user", True),
        ("<p>How do I centre this?</p>", "user", False),
        ('<div class="container">\n  <h1>x</h1>\n</div>', "assistant", False),
        ("<!DOCTYPE html><html><body></body></html>", "assistant", False),
        ("Use <b>bold</b> here", "assistant", False),
        ("<p>is a paragraph tag, as in <p>text", "assistant", False),
        ("a < b and c > d", "assistant", False),
        ('<p class="mine">x</p>', "assistant", False),
    ],
)
def test_html_is_told_from_text_that_speaks_of_it(text: str, role: str, is_html: bool) -> None:
    assert is_chat_html(text, role) is is_html


def test_the_modes_decide_where_the_text_cannot() -> None:
    assert is_chat_html("Use <b>bold</b>", "assistant", "answers")
    assert not is_chat_html("Use <b>bold</b>", "user", "answers")
    assert is_chat_html("Use <b>bold</b>", "user", "all")
    assert not is_chat_html("<p>x</p>", "assistant", "never")
    assert not is_chat_html("no tag", "assistant", "all")


def test_fences_are_longer_than_what_they_hold() -> None:
    assert code_block("", "") == "```\n```"
    assert code_block("~~~\n````\n", "md") == "`````md\n~~~\n````\n`````"
    assert rule_of_code("`a") == "`` `a ``"
    assert rule_of_code("") == ""
