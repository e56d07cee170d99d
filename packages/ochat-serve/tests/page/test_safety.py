"""What a model writes is text: it runs nothing, asks nobody, and forges no part of the page."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

# TRAP is replaced by the address of a server that must never be asked.
ATTACKS = {
    "script": "<script>window.pwned=1</script>\n\n<script src='TRAP/x.js'></script>",
    "image": "<img src=x onerror=window.pwned=1><img src='TRAP/a.png'>",
    "foreign images": "![a](TRAP/b.png) ![b][1] ![](data:image/svg+xml,<svg/>)\n\n[1]: TRAP/c.png",
    "links": "[a](javascript:window.pwned=1) [b](JaVaScRiPt:window.pwned=1) "
    "[c](java&#x73;cript:window.pwned=1) [d](java\tscript:window.pwned=1) "
    "[e](&#106;avascript:pwned=1) "
    "[f](<java\nscript:pwned=1>) [g](data:text/html,<script>pwned=1</script>) [h](vbscript:pwned) "
    "<javascript:window.pwned=1> [i](\x01javascript:pwned=1) [j](//TRAPHOST/x) [k](/status) "
    '[l](javascript&colon;pwned=1) [m](https://a.example/"onmouseover="pwned=1)',
    "reference links": "[a][x] [x]\n\n[x]: javascript:window.pwned=1 'title'",
    "raw link": "<a href='javascript:window.pwned=1' onclick='window.pwned=1'>x</a>",
    "style": "<style>*{display:none!important}body{background:url(TRAP/s.png)}</style>\n\n"
    "<link rel=stylesheet href='TRAP/s.css'>\n\n<p style='position:fixed;inset:0'>cover</p>",
    "form": "<form action='TRAP/f'><input name=q autofocus><button>Send</button></form>"
    "<button form=form formaction='TRAP/g'>Go</button><textarea>x</textarea><select><option>a",
    "frames": "<iframe src='TRAP/i'></iframe><iframe srcdoc='<script>top.pwned=1</script>'>"
    "<object data='TRAP/o'></object><embed src='TRAP/e'><frameset><frame src='TRAP/fr'></frameset>",
    "svg": "<svg onload=window.pwned=1><use href='TRAP/u.svg#a'/><animate onbegin=window.pwned=1>"
    "<script>window.pwned=1</script><foreignObject><img src=x onerror=pwned=1></svg>",
    "math": "<math><mtext><table><mglyph><style><img src=x onerror=pwned=1></style></mglyph>"
    "</table></mtext></math><math href='javascript:pwned=1'>x</math>",
    "mutation": "<form><math><mtext></form><form><mglyph><style></math><img src onerror=pwned=1>\n"
    "<noscript><p title='</noscript><img src=x onerror=window.pwned=1>'>\n\n"
    "<svg></p><style><a title='</style><img src=x onerror=window.pwned=1>'>\n\n"
    "<b><sub><table><sup><u></table><img src=x onerror=pwned=1></sub></b>",
    "clobbering": "<img name=body><a id=input href=x></a><form id=form><input name=attributes>"
    "<p id=app class='toast banner'>x</p><b id=send class=primary>Send</b>",
    "base and meta": "<base href='TRAP/'><meta http-equiv=refresh content='0;url=TRAP/m'>"
    "<meta http-equiv=Content-Security-Policy content=''><body onload=pwned=1><html manifest=TRAP>",
    "media": "<video src='TRAP/v' onerror=pwned=1 autoplay></video><audio src='TRAP/a'></audio>"
    "<picture><source srcset='TRAP/p.png'></picture><input type=image src='TRAP/i.png'>",
    "formula commands": r"$\href{javascript:window.pwned=1}{x}$ $\includegraphics{TRAP/k.png}$ "
    r"$\htmlId{input}{x}$ $\htmlClass{banner}{x}$ $\htmlStyle{position:fixed}{x}$ "
    r"$\htmlData{formula=a}{x}$ $\url{javascript:pwned=1}$ $\text{<img src=x onerror=pwned=1>}$",
    "formula macros": r"$\def\a{\a\a}\a$ $\rule{9999em}{9999em}$ "
    r"$\kern-999em x$ $\raisebox{99em}{x}$",
    "code": "```<img/onerror=pwned=1>\n</code></pre><img src=x onerror=window.pwned=1>\n```\n\n"
    '```"onmouseover="pwned=1\nx\n```\n\n`<img src=x onerror=pwned=1>`\n\n```__proto__\nx\n```\n\n'
    "```constructor\nx\n```\n\n```html\n<img src=x onerror=window.pwned=1>\n```",
    "data attributes": "<span data-task=done data-formula=display>\\href{javascript:a}{x}</span>"
    "<pre data-language='x'>a</pre><div role=button aria-label=Stop tabindex=1>x</div>",
    "cut tags": "<b onclick=pwned=1>x</b><b\n>y</b><sub/onmouseover=pwned=1>z</sub><br x><u s=a>",
    "deep lists": "\n".join("  " * depth + "- x" for depth in range(120)),
    "deep quotes": ">" * 4000
    + " x\n\n"
    + "[" * 3000
    + "x"
    + "](y)" * 3000
    + "\n\n"
    + "**a " * 2000,
    "direction": "\u202e\u2066txet\u202e " * 20 + "Z\u0300" + "\u0330" * 500,
}
LOOK = Path(__file__).with_name("look_at_answer.js").read_text(encoding="utf-8")


class Trap(http.server.BaseHTTPRequestHandler):
    """A foreign server; whoever asks it is remembered."""

    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def do_POST(self) -> None:
        self.do_GET()

    # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing; the test says what was asked."""


@pytest.fixture
def trap() -> Iterator[tuple[str, list[str]]]:
    Trap.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Trap) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Trap.asked
        server.shutdown()
        thread.join()


def attack(name: str, address: str) -> str:
    host = address.removeprefix("http://")
    return ATTACKS[name].replace("TRAPHOST", host).replace("TRAP", address)


def requested_hosts(browser: Any) -> set[str]:
    """Where the browser sent requests over a network since it was last asked."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
    urls = [urllib.parse.urlsplit(each["request"]["url"]) for each in sent]
    return {url.netloc for url in urls if url.scheme in ("http", "https", "ws", "wss", "ftp")}


def test_no_attack_makes_more_than_text(page: Any, trap: tuple[str, list[str]]) -> None:
    address, asked = trap
    requested_hosts(page.browser)
    page.browser.set_script_timeout(120)
    found = {
        name: wrong
        for name in ATTACKS
        if (wrong := page.browser.execute_async_script(LOOK, attack(name, address)))
    }
    assert found == {}
    assert asked == []
    assert requested_hosts(page.browser) <= {page.url.removeprefix("http://")}


def test_an_answer_of_attacks_leaves_the_page_as_it_was(
    page: Any, trap: tuple[str, list[str]]
) -> None:
    address, asked = trap
    short = [name for name in ATTACKS if len(ATTACKS[name]) < 1500 and name != "direction"]
    evil = "\n\n".join(attack(name, address) for name in short)
    page.answers.to("Attack", evil)
    requested_hosts(page.browser)
    outline = "return [...document.querySelectorAll('button,input,textarea,select,form,h1,h2')]"
    outline += ".filter((e) => !e.closest('.message')).map((e) => e.id || e.className).sort()"
    page.ask("Hello")
    before = page.js(outline)
    page.ask("Attack", answers=2)
    assert page.js(outline) == before
    assert page.js("return window.pwned") is None
    assert "<script>window.pwned=1</script>" in page.texts(".message.assistant .answer")[-1]
    assert page.browser.current_url.startswith(page.url)
    assert len(page.browser.window_handles) == 1
    page.reload()
    page.wait(lambda: len(page.all(".message.assistant")) == 2)
    page.ask("And again", answers=3)
    assert page.js("return window.pwned") is None
    assert asked == []
    assert requested_hosts(page.browser) == {page.url.removeprefix("http://")}


def test_the_policy_holds_where_the_renderer_would_not(
    page_of: Callable[..., Any], trap: tuple[str, list[str]]
) -> None:
    address, asked = trap
    page = page_of()
    page.expected = ["Content Security Policy", "-src", "rusted", "error"]
    requested_hosts(page.browser)
    raised = page.js("try { document.body.innerHTML = '<p>' } catch (e) { return e.name }")
    assert raised == "TypeError"
    handler = "document.body.setAttribute('onclick', 'window.pwned = 1')"
    assert page.js(f"try {{ {handler} }} catch (e) {{ return e.name }}") == "TypeError"
    page.js(
        "const s = document.createElement('img'); s.src = arguments[0] + '/p.png';"
        "document.body.append(s);"
        "const b = document.createElement('p'); b.setAttribute('style', 'position:fixed;inset:0');"
        "b.id = 'cover'; document.body.append(b);",
        address,
    )
    blocked = page.browser.execute_async_script(
        "const done = arguments[1]; fetch(arguments[0]).then(() => done('sent'), () => done('no'))",
        address,
    )
    assert blocked == "no"
    assert page.js("return getComputedStyle(document.getElementById('cover')).position") == "static"
    assert page.js("return window.pwned") is None
    assert asked == []


def test_links_say_where_they_lead(page: Any) -> None:
    page.answers.to(
        "Links",
        "[bank.example](https://evil.example/x) and [docs](https://docs.example/a) and "
        "![chart](https://img.example/c.png) and <mail@example.org>",
    )
    page.ask("Links")
    text = page.texts(".message.assistant .answer")[0]
    assert "bank.example (evil.example)" in text
    assert "docs and" in text
    assert "Image: chart (img.example)" in text
    links = page.js(
        "return [...document.querySelectorAll('.answer a')].map((a) => "
        "[a.href, a.target, a.rel, a.title === a.getAttribute('href')])"
    )
    assert [each[0] for each in links] == [
        "https://evil.example/x",
        "https://docs.example/a",
        "https://img.example/c.png",
        "mailto:mail@example.org",
    ]
    assert all(each[1:] == ["_blank", "noopener noreferrer", True] for each in links)
