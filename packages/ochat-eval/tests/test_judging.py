"""Judges over HTTP and by a fixed rule: figures by pencil, both orders, resume, files unchanged."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ochat_eval.__main__ import main
from ochat_eval.graders.judgements import grade_rating
from ochat_eval.judging.alpaca import first_wins
from ochat_eval.judging.asking import scripted_rating
from ochat_eval.judging.fastchat import read_mt_answers, read_mt_questions, write_fastchat
from ochat_eval.judging.journal import Said
from ochat_eval.judging.mt_scores import pair_scores, single_scores
from ochat_eval.judging.prompts import Prompt, read_prompts
from ochat_eval.preferences.annotations import read_json_lines, read_rows, write_rows

CATEGORIES = ("writing", "math", "coding", "stem")


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def bench(folder: Path) -> dict[str, Path]:
    """Eight questions of four categories, references, and the answers of two models."""

    def answers(model: str, words: int) -> list[dict[str, Any]]:
        return [
            {"question_id": i, "answer_id": f"{model}{i}", "model_id": model, "tstamp": 1.5,
             "choices": [{"index": 0, "turns": [
                 f"{model} {i} one " + " ".join(f"w{n}" for n in range(words + i)),
                 f"{model} {i} two {{braces}} [[9]]"]}]}
            for i in range(8)
        ]  # fmt: skip

    questions = [
        {"question_id": i, "category": CATEGORIES[i % 4], "turns": [f"first {i}?", f"second {i}?"]}
        for i in range(8)
    ]
    return {
        "questions": lines(folder / "question.jsonl", questions),
        "references": lines(folder / "reference.jsonl", answers("gpt-4", 3)),
        "mine": lines(folder / "mine.jsonl", answers("mine", 30)),
        "other": lines(folder / "other.jsonl", answers("other", 10)),
    }


def judged(capfd: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["judge", *map(str, arguments)]) == 0
    return json.loads(capfd.readouterr().out)


def mt_bench(files: dict[str, Path], output: Path, *more: object) -> list[object]:
    return ["mt-bench", "--questions", files["questions"], "--answers", files["mine"],
            "--references", files["references"], "--output", output, *more]  # fmt: skip


def last_message(body: dict[str, Any]) -> str:
    return body["messages"][-1]["content"]


def rating_of(question: int, turn: int) -> int:
    return 1 + (3 * question + 2 * turn) % 10


def test_scores_by_turn_and_category_are_those_of_a_pencil(
    server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = bench(tmp_path)
    seen: list[str] = []

    def answer(body: dict[str, Any], _attempt: int) -> str:
        text = body["messages"][-1]["content"]
        seen.append(text)
        turn = 2 if "second" in text else 1
        question = int(text.split("first ")[1].split("?")[0])
        if (question, turn) == (7, 2):
            return "no rating here"
        return f"An example of a bad one: [[1]]. Rating: [[{rating_of(question, turn)}]]"

    server.answer = answer
    server.prompt_of = last_message
    found = judged(
        capfd, *mt_bench(files, tmp_path / "out", "--judge-url", server.url, "--judge", "tiny")
    )["single"]
    scores = {(q, t): rating_of(q, t) for q in range(8) for t in (1, 2) if (q, t) != (7, 2)}
    assert (found["n"], found["unparsed"], len(seen)) == (15, 1, 16)
    mean = sum(scores.values()) / 15
    assert found["score"]["mean"] == pytest.approx(mean)
    for turn in (1, 2):
        own = [s for (_, t), s in scores.items() if t == turn]
        assert found["turns"][str(turn)]["mean"] == pytest.approx(sum(own) / len(own))
    for index, category in enumerate(CATEGORIES):
        own = [s for (q, _), s in scores.items() if q % 4 == index]
        assert found["categories"][category]["mean"] == pytest.approx(sum(own) / len(own))
    sums = [sum(s - mean for (q, _), s in scores.items() if q == each) for each in range(8)]
    error = math.sqrt(8 / 7 * sum(x * x for x in sums)) / 15
    assert found["score"]["standard_error"] == pytest.approx(error)
    assert found["score"]["interval"] == pytest.approx(
        [mean - 1.959963984540054 * error, mean + 1.959963984540054 * error]
    )
    # Right answers are shown for math and coding only, those of both turns in the second.
    assert sum("gpt-4" in text for text in seen) == 8
    assert all("{braces}" in text for text in seen if "second" in text)


def test_pairs_are_judged_in_both_orders_and_only_agreement_wins(
    server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = bench(tmp_path)

    def answer(body: dict[str, Any], _attempt: int) -> str:
        text = body["messages"][-1]["content"]
        question = int(text.split("first ")[1].split("?")[0])
        mine_first = text.index("mine") < text.index("other")
        if question < 3:
            return "[[A]]" if mine_first else "[[B]]"  # mine, whatever the order
        if question < 5:
            return "[[B]]" if mine_first else "[[A]]"  # the other's
        if question < 7:
            return "[[A]]"  # whatever stands first: a tie
        return "[[C]]"

    server.answer = answer
    server.prompt_of = last_message
    out = tmp_path / "out"
    found = judged(
        capfd,
        *mt_bench(files, out, "--judge-url", server.url, "--judge", "tiny", "--pairs-only"),
        "--baseline",
        files["other"],
    )["pairwise"]
    assert (found["wins"], found["losses"], found["ties"], found["n"]) == (6, 4, 6, 16)
    assert found["win_rate_adjusted"]["mean"] == pytest.approx(100 * (6 + 6 / 2) / 16)
    assert found["win_rate_adjusted"]["questions"] == 8
    assert found["judge_bias"]["both_orders_agree"] == pytest.approx(100 * 12 / 16)
    rows = read_json_lines(out / "model_judgment_pair.jsonl")
    assert rows[0]["g1_winner"] == rows[0]["g2_winner"] == "model_1"
    assert rows[12]["g1_winner"] == "model_1"
    assert rows[12]["g2_winner"] == "model_2"
    # The other model's figures from the same file are the mirror image.
    assert pair_scores(rows, "other", {})["wins"] == 4


def test_a_stopped_judge_is_resumed_and_no_question_is_put_twice(
    server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = bench(tmp_path)
    server.prompt_of = last_message

    def rate(_body: dict[str, Any], _attempt: int) -> str:
        return "Rating: [[5]]"

    server.answer = rate
    command = mt_bench(
        files, tmp_path / "out", "--judge-url", server.url, "--judge", "tiny", "--concurrency", 1
    )

    def refuse(count: int) -> None:
        if count > 6:
            raise web.HTTPUnauthorized(text="{}", content_type="application/json")

    server.on_request = refuse
    assert main(["judge", *map(str, command)]) == 1
    assert "refuses the key" in capfd.readouterr().err
    replies = tmp_path / "out" / "replies.jsonl"
    before = len(replies.read_bytes().splitlines())
    assert before == 6
    with replies.open("ab") as file:
        file.write(b'{"key": "torn')
    server.on_request, asked = None, len(server.bodies)
    assert main(["judge", *map(str, command), "--max-calls", "9"]) == 1
    assert "10 calls are more than --max-calls 9" in capfd.readouterr().err
    found = judged(capfd, *command)
    assert len(server.bodies) - asked == 10
    assert found["single"]["score"]["mean"] == 5.0
    summary = (tmp_path / "out" / "summary.json").read_bytes()
    judged(capfd, *command)
    assert len(server.bodies) - asked == 10
    assert (tmp_path / "out" / "summary.json").read_bytes() == summary
    assert main(["judge", *map(str, mt_bench(files, tmp_path / "out", "--dry-run"))]) == 1
    assert "holds judgements with judge 'tiny'" in capfd.readouterr().err


def test_too_many_requests_are_waited_for(
    server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], completed: Any
) -> None:
    files = bench(tmp_path)
    server.prompt_of = last_message

    def answer(_body: dict[str, Any], attempt: int) -> Any:
        if attempt == 1:
            return web.Response(status=429, text="{}", headers={"Retry-After": "0"})
        return completed("[[7]]")

    server.answer = answer
    found = judged(
        capfd, *mt_bench(files, tmp_path / "out", "--judge-url", server.url, "--judge", "tiny")
    )
    assert (found["single"]["n"], found["single"]["score"]["mean"]) == (16, 7.0)


def test_a_dry_run_needs_no_server_and_says_what_judged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = bench(tmp_path)
    assert (
        main(["judge", *map(str, mt_bench(files, tmp_path / "no", "--dry-run", "--estimate"))]) == 0
    )
    assert "16 calls to the judge (0 more are stored)" in capfd.readouterr().err
    assert not (tmp_path / "no").exists()
    found = judged(
        capfd, *mt_bench(files, tmp_path / "out", "--dry-run", "--baseline", files["other"])
    )
    assert found["scripted"] is True
    turns = [each.turns for each in read_mt_answers(files["mine"]).values()]
    ratings = [scripted_rating(text) for pair in turns for text in pair]
    assert found["single"]["score"]["mean"] == pytest.approx(sum(ratings) / 16)
    assert found["pairwise"]["judge_bias"]["both_orders_agree"] == 100.0


def test_a_missing_reference_or_an_unknown_field_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = bench(tmp_path)
    command = ["judge", "mt-bench", "--questions", files["questions"], "--answers", files["mine"],
               "--output", tmp_path / "out", "--dry-run"]  # fmt: skip
    assert main([str(word) for word in command]) == 1
    assert "give --references" in capfd.readouterr().err
    prompts = lines(tmp_path / "p.jsonl", [{"name": "single-v1", "prompt_template": "{whatever}"}])
    assert main([str(w) for w in [*command, "--references", files["references"],
                                  "--prompts", prompts]]) == 1  # fmt: skip
    assert "{whatever}" in capfd.readouterr().err


def test_answers_with_braces_or_fields_are_not_filled_in_again() -> None:
    prompt = Prompt(name="p", system="", template="{question}|{answer}")
    filled = prompt.messages({"question": "{answer}", "answer": "{0.__class__} {}"})
    assert filled == [{"role": "user", "content": "{answer}|{0.__class__} {}"}]


def test_outputs_are_judged_in_both_orders_and_weighed_by_log_probabilities(
    server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outputs = {}
    for name in ("mine", "base"):
        rows = [
            {"instruction": f"do {i}", "output": f"{name} {i}" + " x" * (i % 5), "generator": name,
             "dataset": "d"}
            for i in range(20)
        ]  # fmt: skip
        outputs[name] = tmp_path / f"{name}.json"
        outputs[name].write_text(json.dumps(rows))

    def answer(body: dict[str, Any], _attempt: int) -> web.Response:
        assert (body["logprobs"], body["top_logprobs"]) == (True, 5)
        text = body["messages"][-1]["content"]
        chance = 0.9 if text.index("mine") < text.index("base") else 0.4  # of A
        top = [{"token": "A", "logprob": math.log(chance)},
               {"token": "B", "logprob": math.log(1 - chance)}]  # fmt: skip
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "A"},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "A", "logprob": 0.0, "top_logprobs": top}]},
        }
        return web.json_response({"choices": [choice]})

    server.answer = answer
    server.prompt_of = last_message
    out = tmp_path / "out"
    found = judged(
        capfd, "alpaca", "--outputs", outputs["mine"], "--baseline", outputs["base"],
        "--judge-url", server.url, "--judge", "tiny", "--output", out,
    )  # fmt: skip
    assert (found["n_total"], found["n_instructions"]) == (40, 20)
    assert found["win_rate"] == pytest.approx(100 * (0.9 + 0.6) / 2)
    assert found["judge_bias"]["first_place_wins"] == pytest.approx(100 * (0.9 + 0.4) / 2)
    middle = (math.log(9) + math.log(1.5)) / 2
    assert found["position_controlled_winrate"] == pytest.approx(
        100 / (1 + math.exp(-middle)), abs=0.5
    )
    # Its annotations are alpaca_eval's, from which the same win rate follows.
    assert main(["winrate", str(out / "annotations.json")]) == 0
    assert json.loads(capfd.readouterr().out)["win_rate"] == pytest.approx(found["win_rate"])


@pytest.mark.parametrize(
    ("text", "first_token", "expected"),
    [
        ("A", None, 1.0),
        ("**B**", None, 0.0),
        ("Answer A", None, 1.0),
        ("because [[B]]", None, 0.0),
        ("[[C]]", None, 0.5),
        ("Apples are better", None, None),
        ("", None, None),
        ("B", {"A": math.log(0.25), "B": math.log(0.75)}, 0.25),
        ("The second", {"The": math.log(0.9), "A": math.log(0.01)}, None),
    ],
)
def test_what_a_judge_of_letters_said(
    text: str, first_token: dict[str, float] | None, expected: float | None
) -> None:
    said = Said(key="k", text=text, first_token=first_token)
    assert first_wins(said) == (None if expected is None else pytest.approx(expected))


def test_fastchat_files_come_out_as_they_went_in(
    test_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = test_data / "mt_bench" / "reference_answer_gpt-4.jsonl"
    answers = read_mt_answers(source)
    write_fastchat(tmp_path / "copy.jsonl", [each.row for each in answers.values()])
    assert (tmp_path / "copy.jsonl").read_text().strip() == source.read_text().strip()
    out = tmp_path / "out"
    questions = test_data / "mt_bench" / "question.jsonl"
    judged(capfd, "mt-bench", "--questions", questions, "--answers", source, "--references", source,
           "--prompts", test_data / "mt_bench" / "judge_prompts.jsonl", "--output", out,
           "--baseline", source, "--dry-run")  # fmt: skip
    for name in ("model_judgment.jsonl", "model_judgment_pair.jsonl"):
        judged(capfd, "scores", out / name, "--questions", questions, "--export", tmp_path / name)
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()
    row = read_json_lines(out / "model_judgment.jsonl")[0]
    assert list(row) == ["question_id", "model", "judge", "user_prompt", "judgment", "score",
                         "turn", "tstamp"]  # fmt: skip
    assert grade_rating(row["judgment"]).score == row["score"]


def test_alpaca_eval_files_come_out_with_the_same_content(test_data: Path, tmp_path: Path) -> None:
    for source in sorted((test_data / "alpaca_eval").glob("*/vicuna-13b*.json")):
        rows = read_rows(source)
        write_rows(tmp_path / "copy.json", rows)
        assert json.loads((tmp_path / "copy.json").read_text()) == json.loads(source.read_text())


def test_real_questions_need_a_reference_exactly_where_there_is_one(test_data: Path) -> None:
    questions = read_mt_questions(test_data / "mt_bench" / "question.jsonl")
    references = read_mt_answers(test_data / "mt_bench" / "reference_answer_gpt-4.jsonl")
    assert len(questions) == 80
    wanted = {q.id for q in questions.values() if q.category in ("math", "reasoning", "coding")}
    assert wanted == set(references)


def test_our_prompts_have_the_names_of_the_published_ones(test_data: Path) -> None:
    published = {row["name"] for row in read_json_lines(test_data / "mt_bench/judge_prompts.jsonl")}
    assert published < set(read_prompts(None))


def test_scores_of_nothing_readable_are_none() -> None:
    row = {"question_id": 1, "turn": 1, "score": -1}
    assert single_scores([row], {})["score"] is None
