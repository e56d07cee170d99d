"""Drift detection: does this tokenizer, folder or server still give the tokens of training?

`verify` compares with golden cases, fixed probes and seeded texts, and names the cause of what
differs. It is not imported by the package itself; `ochat-templates verify` runs it.
"""

from __future__ import annotations

from pathlib import Path

from ochat_templates.codec import Codec
from ochat_templates.errors import MissingControlTokenError
from ochat_templates.registry import get_template
from ochat_templates.template import Template
from ochat_templates.tokenizer import load_tokenizer

from .comparing import Comparison
from .report import Cause, Check, Report
from .server_checks import check_server, open_server
from .tokenizer_checks import check_other_files, check_promises, probe
from .transformers_checks import check_folder, open_folder

__all__ = ["Cause", "Check", "Report", "verify"]

DEFAULT_CASES = 300


def verify(
    template: str | Template,
    tokenizer: str | Path,
    *,
    hf: str | Path | None = None,
    url: str | None = None,
    seed: int = 0,
    cases: int = DEFAULT_CASES,
) -> Report:
    """Verifies a tokenizer against the encoding rule, and others against the tokenizer.

    Args:
        template: A template, or the name or alias of one.
        tokenizer: A SentencePiece model, a `tokenizers` file, or a folder with one.
        hf: A model folder to load by Transformers and compare with `tokenizer`.
        url: The address of a vLLM server to compare with `tokenizer`.
        seed: The same seed gives the same texts and conversations.
        cases: How many conversations; ten times as many texts.

    Raises:
        UnknownTemplateError: No template has that name.
        TokenizerError: Something cannot be read or does not answer.
    """
    chosen = get_template(template) if isinstance(template, str) else template
    place = Path(tokenizer)
    comparison, notes = Comparison(where="tokenizer"), list[str]()
    compared = [comparison]
    try:
        loaded = load_tokenizer(place, chosen.control_tokens)
    except MissingControlTokenError as error:
        kind = "end-of-turn" if error.token == chosen.eot else "control"
        missing = Cause(name=f"missing {kind} token", seen=error.problem, remedy=error.remedy)
        return Report(template=chosen.name, tokenizer=str(place), checks=(), causes=(missing,))
    causes = probe(chosen, loaded, comparison)
    if not causes:
        codec = Codec(chosen, loaded)
        check_promises(codec, comparison, seed=seed, cases=cases)
        notes += check_other_files(codec, place, comparison, seed=seed, cases=cases)
        if hf is not None:
            compared.append(Comparison(where="transformers"))
            folder = open_folder(Path(hf))
            notes += check_folder(codec, folder, compared[-1], seed=seed, cases=cases)
        if url is not None:
            compared.append(Comparison(where="server"))
            notes += check_server(codec, open_server(url), compared[-1], seed=seed)
    elif hf is not None or url is not None:
        notes.append("nothing was compared with it, because it is no reference itself")
    return Report(
        template=chosen.name,
        tokenizer=str(place),
        checks=tuple(check for each in compared for check in each.checks),
        causes=(*causes, *(cause for each in compared for cause in each.causes())),
        notes=tuple(notes),
    )
