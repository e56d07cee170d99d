from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from ochat_data import Record, TokenDataset, TokenizeOptions, write_token_dataset
from ochat_templates import Codec, Conversation, Message, load_codec
from ochat_templates.testing import train_sentencepiece
from ochat_train import TrainConfig
from ochat_train.__main__ import main
from ochat_train.guards import check_inputs

Break = Callable[[Path], None]


def _arguments(base_model: Path, dataset: Path, output: Path, *more: str) -> list[str]:
    folders = ["--model", str(base_model), "--data", str(dataset), "--output", str(output)]
    return ["run", *folders, "--quiet", *more]


def test_a_run_through_the_console_prints_the_model_folder(
    base_model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    options = ["--from-scratch", "--epochs", "1", "--lr", "1e-2", "--batch-tokens", "1000"]
    assert main(_arguments(base_model, dataset, output, *options)) == 0
    assert capsys.readouterr().out == f"{output / 'model'}\n"
    assert (output / "model" / "openchat.json").is_file()

    checkpoint = next((output / "checkpoints").iterdir())
    copy = tmp_path / "copy"
    assert main(["export", str(checkpoint), "--output", str(copy)]) == 0
    ours, theirs = (load_file(f / "model.safetensors") for f in (copy, output / "model"))
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert {p.name for p in copy.iterdir()} == {p.name for p in (output / "model").iterdir()}


def test_progress_goes_to_standard_error(
    base_model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = _arguments(base_model, dataset, tmp_path / "run", "--from-scratch", "--epochs", "1")
    arguments.remove("--quiet")
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    for word in ("settings:", "tok/s", "fill", "held-out loss", "GPT4"):
        assert word in captured.err


def test_help_is_instant_and_loads_no_heavy_library() -> None:
    code = (
        "import sys; from ochat_train.__main__ import build_parser; import ochat_train;"
        "build_parser().format_help();"
        "print([m for m in ('torch', 'numpy', 'transformers', 'deepspeed') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("command", [[], ["run"], ["plan"], ["export"], ["nonsense"]])
def test_a_wrong_command_line_is_a_usage_error(command: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(command)
    assert exit_info.value.code == 2


def test_launchers_put_the_rank_before_the_command(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert main(["--local_rank=0", "plan", "--data", str(dataset)]) == 0
    assert "steps" in capsys.readouterr().out


def _no_config(model: Path) -> None:
    (model / "config.json").unlink()


def _broken_config(model: Path) -> None:
    (model / "config.json").write_text("{")


def _edit_config(**changes: object) -> Break:
    def edit(model: Path) -> None:
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps({**config, **changes}))

    return edit


def _no_tokenizer(model: Path) -> None:
    (model / "tokenizer.model").unlink()


def _broken_tokenizer(model: Path) -> None:
    (model / "tokenizer.model").write_bytes(b"not a model")


def _other_tokenizer(model: Path) -> None:
    texts = ["Some entirely other words, more than enough of them."] * 20
    train_sentencepiece(texts, model / "tokenizer.model", vocab_size=280)


def _no_change(_: Path) -> None:
    pass


SCRATCH = "--from-scratch"


@pytest.mark.parametrize(
    ("breakage", "options", "message"),
    [
        (_no_config, [SCRATCH], "has no config.json"),
        (_broken_config, [SCRATCH], "cannot read"),
        (_edit_config(model_type="made_up"), [SCRATCH], "made_up"),
        (_no_tokenizer, [SCRATCH], "tokenizer"),
        (_broken_tokenizer, [SCRATCH], "tokenizer.model"),
        (_other_tokenizer, [SCRATCH], "tokenized differently"),
        (_no_change, [], "pass --from-scratch"),
        (_edit_config(vocab_size=100), [SCRATCH], '"vocab_size"'),
        (_edit_config(max_position_embeddings=20), [SCRATCH], "20 positions"),
        (_edit_config(model_type="bloom", n_head=4), [SCRATCH], "'bloom' leaks"),
        (_no_change, [SCRATCH, "--batch-tokens", "10"], "longest example"),
        (_no_change, [SCRATCH, "--epochs", "0"], "--epochs is 0"),
        (_no_change, [SCRATCH, "--data", "missing"], "missing is not a folder"),
        (_no_change, [SCRATCH, "--deepspeed", "missing.json"], "missing.json"),
    ],
)
def test_bad_input_is_one_sentence_exit_code_1_and_no_output(
    base_model: Path,
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    breakage: Break,
    options: list[str],
    message: str,
) -> None:
    model = tmp_path / "model"
    shutil.copytree(base_model, model)
    breakage(model)
    assert main(_arguments(model, dataset, tmp_path / "run", *options)) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("ochat-train: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not (tmp_path / "run").exists()


def _truncate(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _drop_a_tensor(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})


def _reshape_a_tensor(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:-1].clone()
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})


def _spoil_a_number(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (_truncate, "cannot create the model"),
        (_drop_a_tensor, "lack 1 tensors"),
        (_reshape_a_tensor, "has shape (31,), and config.json asks for (32,)"),
        (_spoil_a_number, "hidden states are not finite: its weights are damaged or hold NaN"),
    ],
)
def test_damaged_weights_are_refused(
    base_model: Path,
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    breakage: Break,
    message: str,
) -> None:
    first = _arguments(base_model, dataset, tmp_path / "first", SCRATCH, "--epochs", "1")
    assert main(first) == 0
    model = tmp_path / "first" / "model"
    breakage(model)
    capsys.readouterr()
    assert main(_arguments(model, dataset, tmp_path / "run")) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_an_output_that_is_a_file_is_refused(
    base_model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").write_text("mine")
    assert main(_arguments(base_model, dataset, tmp_path / "run", SCRATCH)) == 1
    assert "is a file" in capsys.readouterr().err
    assert (tmp_path / "run").read_text() == "mine"


def test_export_refuses_what_is_no_checkpoint_and_an_occupied_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path), "--output", str(tmp_path / "out")]) == 1
    assert "is no checkpoint of a run: it has no state.json" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none"), "--output", str(tmp_path / "out")]) == 1
    assert "there is no checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_plan_prints_a_table_or_json(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["plan", "--data", str(dataset), "--batch-tokens", "400", "--epochs", "2"]
    assert main(command) == 0
    table = capsys.readouterr().out
    assert "supervised" in table
    assert "cost imbalance" in table
    assert main([*command, "--json", "--world-size", "2"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["world_size"] == 2
    assert len(figures["epochs"]) == 2
    assert figures["steps"] == sum(epoch["steps"] for epoch in figures["epochs"])
    assert 0.5 < figures["epochs"][0]["fill"] <= 1.0
    assert 0.0 < figures["supervised_share"] < 1.0
    assert figures["epochs"][0]["dropped"] == 0


def _write_with_a_long_example(folder: Path, codec: Codec, name: str) -> None:
    """Twenty short conversations and a long one; `name` decides which split the long one is in."""
    words = {f"short {number}": 2 for number in range(20)} | {name: 400}
    records = [
        Record.create(
            Conversation(
                messages=(
                    Message(role="user", content="plus " * count),
                    Message(role="assistant", content=f"{source}."),
                )
            ),
            source=source,
        )
        for source, count in words.items()
    ]
    options = TokenizeOptions(max_length=4000, eval_fraction=0.3)
    write_token_dataset(folder, records, codec, options)


def test_plan_with_a_model_says_what_a_rank_holds(
    base_model: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["plan", "--data", str(dataset), "--model", str(base_model), "--world-size", "2"]
    assert main([*command, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    memory = figures["memory"]
    assert list(memory) == ["one process", "ZeRO 0", "ZeRO 1", "ZeRO 2", "ZeRO 3"]
    states = [memory[f"ZeRO {stage}"]["states"] for stage in range(4)]
    assert states == sorted(states, reverse=True)
    # Sixteen bytes a parameter are shared by two ranks in stage 3.
    assert states[3] == pytest.approx(8 * figures["parameters"], rel=0.01)
    assert main(command) == 0
    table = capsys.readouterr().out
    assert f"parameters        {figures['parameters']:,}" in table
    assert "ZeRO 3" in table


def test_plan_takes_the_batch_of_a_run_also_where_the_longest_example_is_held_out(
    base_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(base_model, model)
    _edit_config(max_position_embeddings=4000)(model)
    codec = load_codec(model, "openchat_v3.2")
    lengths: dict[str, int] = {}
    for attempt in range(50):
        data = tmp_path / f"tokens-{attempt}"
        _write_with_a_long_example(data, codec, f"long {attempt}")
        splits = {name: TokenDataset.open(data).split(name) for name in ("train", "eval")}
        lengths = {name: int(split.lengths.max()) for name, split in splits.items() if len(split)}
        if lengths["eval"] > lengths["train"]:
            break
    assert lengths["eval"] > lengths["train"]
    config = TrainConfig(model=model, data=data, output=tmp_path / "run", from_scratch=True)
    assert main(["plan", "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["batch_tokens"] == check_inputs(config).capacity


@pytest.mark.parametrize(
    "options", [["--world-size", "0"], ["--epochs", "0"], ["--seed", "-1"], ["--batch-tokens", "3"]]
)
def test_plan_refuses_impossible_options(
    dataset: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(["plan", "--data", str(dataset), *options]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert options[0] in captured.err
