"""The report is one page that needs no network and shows the dataset's own figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ochat_data import Record, TokenDataset, write_token_dataset
from ochat_data.report.figures import collect_figures, length_histogram
from ochat_templates import Codec

Talk = Callable[..., Record]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dataset(tmp_path: Path, talk: Talk, codec: Codec) -> Path:
    records = [
        talk(f"Question {number}?", "word <b> & " * (number + 1), condition="GPT4")
        for number in range(40)
    ]
    records += [talk("a", "b", "c", "d", condition="GPT3", weight=0.1)]
    write_token_dataset(tmp_path / "set", records, codec)
    return tmp_path / "set"


class Texts(HTMLParser):
    """The page's texts, and every address that it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.loads: list[str] = []

    # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "data")]
        if tag in ("script", "link", "iframe"):
            self.loads.append(tag)


def test_the_page_shows_what_the_dataset_holds(
    dataset: Path, command: Command, tokenizer_path: Path
) -> None:
    code, _, errors = command("report", dataset, "--tokenizer", tokenizer_path)
    assert code == 0
    assert "wrote" in errors
    page = dataset.with_name("set.report.html").read_text()
    parser = Texts()
    parser.feed(page)
    text = "".join(parser.texts)
    assert parser.loads == []
    totals = TokenDataset.open(dataset).manifest.splits["train"].totals
    for number in (totals.examples, totals.tokens, totals.supervised_tokens):
        assert f"{number:,}" in text
    for heading in ("Lengths", "Turns", "Languages", "Truncation", "How it packs", "Samples"):
        assert heading in text
    assert "GPT3" in text
    assert "<b>" in text  # of the answers, as text
    assert re.search(r'class="learnt" title="\d+, weight 1"', page)


def test_without_a_tokenizer_the_samples_are_ids(dataset: Path, command: Command) -> None:
    output = dataset.with_name("page.html")
    assert command("report", dataset, "--output", output)[0] == 0
    page = output.read_text()
    assert "Not measured: give --tokenizer" in page
    first = TokenDataset.open(dataset).split("train").example(0).ids[1]
    assert f">{first}</span>" in page


def test_the_figures_are_those_of_the_examples(dataset: Path, codec: Codec) -> None:
    opened = TokenDataset.open(dataset)
    figures = collect_figures(opened, codec)
    lengths = opened.split("train").lengths
    assert sum(figures.lengths.counts) == len(lengths)
    assert figures.length_quantiles[0] == lengths.min()
    assert figures.length_quantiles[-1] == lengths.max()
    assert figures.turns.counts[:3] == (0, 40, 1)
    assert all(statistics.dropped == 0 for _, _, statistics in figures.packing)
    assert len(figures.samples) == 3
    assert "".join(token.text for token in figures.samples[0].tokens).startswith("<s>GPT4 User:")


@pytest.mark.parametrize("lengths", [[1], [5, 5, 5], [1, 2, 3], list(range(1, 5000, 7))])
def test_every_length_falls_into_one_bar(lengths: list[int]) -> None:
    histogram = length_histogram(np.array(lengths))
    assert sum(histogram.counts) == len(lengths)
    assert min(histogram.counts[0], histogram.counts[-1]) > 0
    assert len(histogram.edges) == len(histogram.counts) + 1


def test_another_tokenizer_is_refused(
    dataset: Path, command: Command, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from ochat_templates.testing import write_trap_model

    other = write_trap_model(tmp_path_factory.mktemp("other") / "tokenizer.model")
    code, _, errors = command("report", dataset, "--tokenizer", other)
    assert code == 1
    assert "the dataset" in errors
