"""The report is one page that needs no network, and shows the run's own figures."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ochat_train import DataError, OutputError, TrainConfig, train
from ochat_train.__main__ import main
from ochat_train.report import read_run, render_report, write_report
from ochat_train.report_chart import Line, line_chart


@pytest.fixture(scope="module")
def run(base_model: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report") / "run"
    config = TrainConfig(
        model=base_model,
        data=dataset,
        output=output,
        from_scratch=True,
        epochs=2,
        lr=1e-2,
        batch_tokens=512,
        quiet=True,
    )
    train(config)
    return output


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.loads: list[str] = []
        self.curves: list[str] = []
        self.feed(text)

    # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "data")]
        self.loads += [tag] if tag in ("script", "link", "iframe") else []
        self.curves += [value or "" for name, value in attrs if name == "points"]


def test_the_page_shows_the_losses_of_both_conditions(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "page.html"
    assert main(["report", str(run), "--output", str(output)]) == 0
    assert capsys.readouterr().out.strip() == str(output)
    page = Page(output.read_text())
    text = " ".join(page.texts)
    assert page.loads == []
    figures = read_run(run)
    for event in figures.evaluations:
        for name in ("GPT4", "GPT3"):
            assert f"{event['conditions'][name]['loss']:.4f}" in text
    for heading in ("Training loss", "Held-out loss", "Learning rate", "Gradient norm", "Fill"):
        assert heading in text
    assert f"{figures.steps[-1]['loss']:.4f} at last" in text
    # Loss, two conditions, three held-out curves, and one for each of the other figures.
    assert len(page.curves) >= 1 + 2 + 3 + 5
    longest = max(len(points.split()) for points in page.curves)
    assert longest == len(figures.steps)


def test_a_run_that_goes_on_has_a_report_without_its_unfinished_line(
    run: Path, tmp_path: Path
) -> None:
    for name in ("run.json", "metrics.jsonl"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:20])
    assert len(read_run(tmp_path).steps) == 3
    assert "no epoch has ended yet" in render_report(read_run(tmp_path), "x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", "{", "holds no run"),
        ("metrics.jsonl", "", "trained no step yet"),
        ("metrics.jsonl", "{broken}\n", "line 1"),
    ],
)
def test_a_folder_that_cannot_be_reported_is_named(
    run: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    for each in ("run.json", "metrics.jsonl"):
        (tmp_path / each).write_bytes((run / each).read_bytes())
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_run(tmp_path)


def test_a_page_is_not_written_over_a_folder(run: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write_report(run, tmp_path)


def test_names_cannot_break_out_of_the_page() -> None:
    chart = line_chart([Line('<b>&"', [(1, 2), (2, 3)]), Line("b", [(1, 1)])], "a<b")
    assert "<b>" not in chart
    assert "&lt;b&gt;" in chart


def test_curves_of_any_values_stay_on_the_page() -> None:
    odd = [(1.0, math.nan), (2.0, 1e30), (3.0, -1e30)]
    curves: list[list[tuple[float, float]]] = [[(1.0, 5.0)], [(1.0, 0.0), (2.0, 0.0)], odd, []]
    for points in curves:
        chart = line_chart([Line("x", points)], "x")
        assert "nan" not in chart
    many = [(float(step), float(step % 7)) for step in range(10_000)]
    chart = line_chart([Line("x", many)], "x")
    assert len(chart) < 20_000


def test_metrics_are_json_of_finite_numbers(run: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for line in (run / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)
