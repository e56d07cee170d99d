from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from ochat_data import Record, TokenDataset, TokenizeOptions, write_token_dataset
from ochat_templates import ModelCard, load_codec
from ochat_train import CheckpointError, DivergedError, OutputError, TrainConfig, loop, train
from ochat_train.batch import PackedBatch, TokenExample, collate
from ochat_train.report import read_run, render_report


def _config(base_model: Path, dataset: Path, output: Path) -> TrainConfig:
    return TrainConfig(
        model=base_model,
        data=dataset,
        output=output,
        from_scratch=True,
        epochs=2,
        lr=1e-2,
        batch_tokens=512,
        quiet=True,
    )


def _events(output: Path) -> list[dict[str, Any]]:
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def finished(
    base_model: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> TrainConfig:
    """A run that was not interrupted; tests only read it."""
    config = _config(base_model, dataset, tmp_path_factory.mktemp("runs") / "run")
    train(config)
    return config


def test_the_held_out_loss_falls_and_is_given_for_each_condition(finished: TrainConfig) -> None:
    evals = [event for event in _events(finished.output) if event["event"] == "eval"]
    assert [event["epoch"] for event in evals] == [1, 2]
    assert evals[1]["loss"] < evals[0]["loss"] < 4.0
    conditions = evals[1]["conditions"]
    assert set(conditions) == {"GPT4", "GPT3"}
    assert sum(figures["tokens"] for figures in conditions.values()) == evals[1]["tokens"]


def test_every_step_is_in_the_metrics_with_its_figures(finished: TrainConfig) -> None:
    steps = [event for event in _events(finished.output) if event["event"] == "train"]
    assert [event["step"] for event in steps] == list(range(1, len(steps) + 1))
    assert steps[0]["loss"] == pytest.approx(5.7, abs=0.3)  # log of the vocabulary
    for event in steps:
        assert event["tokens"] == pytest.approx(event["fill"] * 512)
        assert event["tokens_per_second"] > 0
        assert event["grad_norm"] > 0
        assert 0 < event["supervised_tokens"] < event["tokens"]


def test_the_exported_folder_works_with_plain_transformers(finished: TrainConfig) -> None:
    folder = finished.output / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    codec = load_codec(folder, "openchat_v3.2")
    assert model.config._attn_implementation == "sdpa"
    assert model.dtype == torch.float32
    assert model.generation_config.eos_token_id == codec.eot_id
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    text = "What is 3 plus 4?"
    assert tokenizer.encode(text, add_special_tokens=False) == codec.encode_text(text)
    assert tokenizer.convert_tokens_to_ids("<|end_of_turn|>") == codec.eot_id
    assert tokenizer.eos_token_id == codec.eot_id
    prompt = torch.tensor([[*codec.encode_text(text)]])
    generated = model.generate(prompt, max_new_tokens=4, do_sample=False)
    assert generated.shape[1] > prompt.shape[1]


def test_whoever_may_read_files_here_may_read_all_that_was_written(finished: TrainConfig) -> None:
    own = finished.output / "run.json"
    for file in finished.output.rglob("*"):
        if file.is_file():
            assert file.stat().st_mode & 0o666 == own.stat().st_mode & 0o666, file


def test_the_model_card_says_what_the_model_was_trained_with(finished: TrainConfig) -> None:
    card = ModelCard.read(finished.output / "model")
    assert card.model_type == "openchat_v3.2"
    assert card.context_length == 200  # the dataset's, below the model's 256 positions
    assert card.fingerprint == load_codec(finished.model, "openchat_v3.2").fingerprint
    assert card.training["lr"] == 1e-2
    assert card.training["steps"] == len(
        [event for event in _events(finished.output) if event["event"] == "train"]
    )


def test_both_tokenizers_of_the_exported_folder_have_the_dataset_fingerprint(
    finished: TrainConfig,
) -> None:
    folder = finished.output / "model"
    wanted = load_codec(finished.model, "openchat_v3.2").fingerprint
    for name in ("tokenizer.model", "tokenizer.json"):
        assert load_codec(folder / name, "openchat_v3.2").fingerprint == wanted


def _stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch of this step, counted from 1, is never made: the run dies like a killed one."""
    made = 0

    def collate_or_die(examples: list[TokenExample]) -> PackedBatch:
        nonlocal made
        made += 1
        if made == step:
            raise KeyboardInterrupt
        return collate(examples)

    monkeypatch.setattr(loop, "collate", collate_or_die)


@pytest.mark.parametrize("stop_at", [3, 14, 17])
def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(
    finished: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    """Stopped before the first checkpoint, in the second epoch, and just after a checkpoint."""
    config = replace(finished, output=tmp_path / "run", checkpoint_steps=8)
    with monkeypatch.context() as patch:
        _stop_at(stop_at, patch)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert not (config.output / "model").exists()
    train(replace(config, resume=True))
    ours, theirs = (
        load_file(folder / "model" / "model.safetensors")
        for folder in (config.output, finished.output)
    )
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    told = [
        [
            {k: v for k, v in event.items() if not k.endswith("_per_second")}
            for event in _events(folder)
        ]
        for folder in (config.output, finished.output)
    ]
    assert told[0] == told[1]


def test_dropout_continues_where_it_stopped(
    base_model: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bigcode"
    shutil.copytree(base_model, folder)
    vocabulary = json.loads((base_model / "config.json").read_text())["vocab_size"]
    shape = {"vocab_size": vocabulary, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
    rates = {"attn_pdrop": 0.1, "resid_pdrop": 0.1, "embd_pdrop": 0.1}
    settings = {"model_type": "gpt_bigcode", **shape, **rates, "bos_token_id": 1, "eos_token_id": 2}
    (folder / "config.json").write_text(json.dumps(settings))
    config = replace(_config(folder, dataset, tmp_path / "whole"), epochs=1)
    train(config)
    stopped = replace(config, output=tmp_path / "stopped", checkpoint_steps=4)
    with monkeypatch.context() as patch:
        _stop_at(6, patch)
        with pytest.raises(KeyboardInterrupt):
            train(stopped)
    train(replace(stopped, resume=True))
    losses = [
        [event["loss"] for event in _events(output)] for output in (config.output, stopped.output)
    ]
    assert losses[0] == losses[1]


def test_a_finished_run_can_be_resumed_and_only_exports_again(
    finished: TrainConfig, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    shutil.copytree(finished.output, output)
    shutil.rmtree(output / "model")
    result = train(replace(finished, output=output, resume=True))
    assert result.train_loss is None
    assert result.held_out == ()
    ours = load_file(output / "model" / "model.safetensors")
    theirs = load_file(finished.output / "model" / "model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"lr": 2e-2}, "lr = 0.01, now it is 0.02"), ({"epochs": 3}, "epochs = 2, now it is 3")],
)
def test_resuming_with_other_settings_names_the_difference(
    finished: TrainConfig, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        train(replace(finished, resume=True, **change))


def test_an_output_that_holds_a_run_is_not_overwritten(finished: TrainConfig) -> None:
    before = sorted(finished.output.rglob("*"))
    with pytest.raises(OutputError, match="--resume"):
        train(finished)
    assert sorted(finished.output.rglob("*")) == before


@pytest.mark.parametrize("name", ["notes.txt", "run.json", "model"])
def test_resuming_never_overwrites_what_no_checkpoint_continues(
    finished: TrainConfig, tmp_path: Path, name: str
) -> None:
    """A stranger's folder, one with some other run.json, and a run without its checkpoints."""
    output = tmp_path / "mine"
    if name == "model":
        shutil.copytree(finished.output, output)
        shutil.rmtree(output / "checkpoints")
    else:
        output.mkdir()
        (output / name).write_text("{}")
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    with pytest.raises(OutputError, match="no checkpoint to resume"):
        train(replace(finished, output=output, resume=True))
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


def test_resuming_in_an_empty_folder_starts_the_run(finished: TrainConfig, tmp_path: Path) -> None:
    assert train(replace(finished, output=tmp_path, resume=True)).train_loss is not None


def test_training_stops_at_a_loss_that_is_not_a_number(
    base_model: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(examples: list[TokenExample]) -> PackedBatch:
        batch = collate(examples)
        batch.weights[batch.weights > 0] = float("nan")
        return batch

    monkeypatch.setattr(loop, "collate", poisoned)
    with pytest.raises(DivergedError, match="step 1 has loss nan.*step-00000001-rank-0.npz"):
        train(_config(base_model, dataset, tmp_path / "run"))
    kept = np.load(tmp_path / "run" / "diverged" / "step-00000001-rank-0.npz")
    split = TokenDataset.open(dataset).split("train")
    places = [split.record_ids.index(name) for name in kept["record_ids"]]
    assert kept["lengths"].tolist() == split.lengths[places].tolist()
    assert kept["ids"].tolist() == [
        token for place in places for token in split.example(place).ids.tolist()
    ]
    assert kept["weights"].sum() > 0
    assert not (tmp_path / "run" / "model").exists()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_accumulated_batches_train_the_model_that_one_large_batch_trains(
    finished: TrainConfig, tmp_path: Path
) -> None:
    """Half the batch twice a step: other batches, the same mathematics."""
    few = replace(finished, epochs=1, overlong="error", lr=1e-3, eps=1e-5)
    whole = train(replace(few, output=tmp_path / "whole", batch_tokens=1024))
    parts = train(replace(few, output=tmp_path / "parts", accumulation=2))
    assert parts.tokens == whole.tokens
    assert parts.held_out[-1].overall.loss == pytest.approx(
        whole.held_out[-1].overall.loss, rel=0.05
    )
    steps = [event for event in _events(tmp_path / "parts") if event["event"] == "train"]
    assert all(event["fill"] <= 1 for event in steps)


def test_the_training_loss_is_given_for_each_condition(finished: TrainConfig) -> None:
    steps = [event for event in _events(finished.output) if event["event"] == "train"]
    for event in steps:
        conditions = event["conditions"]
        assert sum(each["tokens"] for each in conditions.values()) == event["supervised_tokens"]
        weights = {"GPT4": 1.0, "GPT3": 0.1}
        total = sum(weights[name] * each["tokens"] for name, each in conditions.items())
        mean = sum(
            weights[name] * each["tokens"] * each["loss"] for name, each in conditions.items()
        )
        assert event["loss"] == pytest.approx(mean / total, rel=1e-5)
    assert {name for event in steps for name in event["conditions"]} == {"GPT4", "GPT3"}


def test_the_training_loss_is_given_for_each_source_where_there_are_several(
    base_model: Path, records: Callable[[], list[Record]], tmp_path: Path
) -> None:
    mixed = [
        dataclasses.replace(record, source=("dump.json", "book.txt")[number % 3 == 0])
        for number, record in enumerate(records())
    ]
    codec = load_codec(base_model, "openchat_v3.2")
    write_token_dataset(tmp_path / "set", mixed, codec, TokenizeOptions(max_length=200))
    config = replace(_config(base_model, tmp_path / "set", tmp_path / "run"), epochs=1)
    train(config)
    steps = [event for event in _events(config.output) if event["event"] == "train"]
    assert {name for event in steps for name in event["sources"]} == {"dump.json", "book.txt"}
    for event in steps:
        for key in ("sources", "conditions"):
            told = sum(each["tokens"] for each in event[key].values())
            assert told == event["supervised_tokens"]
    page = render_report(read_run(config.output), "run")
    assert "Training loss by source" in page
    assert "book.txt" in page


@pytest.mark.parametrize("offload", [False, True])
def test_gradient_checkpointing_changes_nothing_but_memory(
    finished: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, offload: bool
) -> None:
    config = replace(
        finished,
        output=tmp_path / "run",
        gradient_checkpointing=True,
        offload_activations=offload,
    )
    kept: list[tuple[int, ...]] = []

    def on_host(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.numel():  # torch 2.10 also keeps an empty one a layer
            kept.append(tuple(tensor.shape))
        return tensor

    def spy(*, pin_memory: bool) -> torch.autograd.graph.saved_tensors_hooks:
        assert pin_memory == torch.cuda.is_available()
        return torch.autograd.graph.saved_tensors_hooks(on_host, lambda tensor: tensor)

    monkeypatch.setattr(torch.autograd.graph, "save_on_cpu", spy)
    train(config)
    # What a layer begins with, and nothing else: two layers, rows of 32.
    steps = sum(event["event"] == "train" for event in _events(config.output))
    assert len(kept) == (2 * steps if offload else 0)
    assert all(shape[::2] == (1, 32) for shape in kept)
    ours, theirs = (
        load_file(folder / "model" / "model.safetensors")
        for folder in (config.output, finished.output)
    )
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)


def test_an_automatic_learning_rate_follows_the_batch(
    finished: TrainConfig, tmp_path: Path
) -> None:
    train(replace(finished, output=tmp_path / "run", epochs=1, lr=None))
    chosen = json.loads((tmp_path / "run" / "run.json").read_text())["lr"]
    steps = [event for event in _events(tmp_path / "run") if event["event"] == "train"]
    supervised = sum(event["supervised_tokens"] for event in steps) / len(steps)
    assert chosen == pytest.approx(3e-4 * (supervised / 4e6) ** 0.5)
    assert max(event["lr"] for event in steps) <= chosen
    # A resumed run finds the same rate.
    train(replace(finished, output=tmp_path / "run", epochs=1, lr=None, resume=True))


def test_bf16_exports_bf16(base_model: Path, dataset: Path, tmp_path: Path) -> None:
    config = replace(_config(base_model, dataset, tmp_path / "run"), epochs=1, precision="bf16")
    folder = train(config).model
    weights = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    kept = load_file(
        next((config.output / "checkpoints").iterdir()) / "model" / "model.safetensors"
    )
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}


def test_training_goes_on_from_an_exported_model(
    finished: TrainConfig, dataset: Path, tmp_path: Path
) -> None:
    config = _config(finished.output / "model", dataset, tmp_path / "run")
    train(replace(config, from_scratch=False, epochs=1, lr=1e-4))
    first = _events(config.output)[0]["loss"]
    last = [e["loss"] for e in _events(finished.output) if e["event"] == "train"][-1]
    assert first == pytest.approx(last, abs=0.5)


def test_resuming_needs_no_flag_for_the_weights(finished: TrainConfig, tmp_path: Path) -> None:
    output = tmp_path / "run"
    shutil.copytree(finished.output, output)
    result = train(replace(finished, output=output, resume=True, from_scratch=False))
    assert result.train_loss is None
