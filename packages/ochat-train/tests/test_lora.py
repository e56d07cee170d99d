"""Adapters: trained, resumed, written, merged; read back by plain PEFT and Transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ochat_templates import ModelCard, load_codec
from ochat_train import (
    CheckpointError,
    ConfigError,
    ModelError,
    OutputError,
    TrainConfig,
    loop,
    train,
)
from ochat_train.__main__ import main
from ochat_train.batch import PackedBatch, TokenExample, collate
from ochat_train.engine import SingleProcessEngine

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
MakeModel = Callable[..., PreTrainedModel]


@pytest.fixture(scope="module")
def base(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder with weights, large enough that attention is not uniform."""
    folder = tmp_path_factory.mktemp("with-weights") / "base"
    shutil.copytree(base_model, folder)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(4)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def finished(base: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A run that was not interrupted; tests only read it."""
    config = _config(base, dataset, tmp_path_factory.mktemp("runs") / "run")
    train(config)
    return config


def _config(base: Path, dataset: Path, output: Path, **more: Any) -> TrainConfig:
    return TrainConfig(
        model=base,
        data=dataset,
        output=output,
        lora=True,
        epochs=2,
        lr=1e-2,
        batch_tokens=512,
        quiet=True,
        **more,
    )


def _events(output: Path) -> list[dict[str, Any]]:
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _plain(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _greedy(model: Any, folder: Path) -> list[list[int]]:
    codec = load_codec(folder, "openchat_v3.2")
    answers: list[list[int]] = []
    for question in ("What is 3 plus 4?", "What is 9 plus 1?", "plus", "7"):
        prompt = torch.tensor([[codec.bos_id, *codec.encode_text(question)]])
        mask = torch.ones_like(prompt)
        made = model.generate(
            input_ids=prompt, attention_mask=mask, max_new_tokens=12, do_sample=False
        )
        answers.append(made[0].tolist())
    return answers


def test_the_held_out_loss_falls_while_the_base_stays(finished: TrainConfig, base: Path) -> None:
    evals = [event for event in _events(finished.output) if event["event"] == "eval"]
    steps = [event for event in _events(finished.output) if event["event"] == "train"]
    assert evals[1]["loss"] < evals[0]["loss"] < steps[0]["loss"] - 1
    assert ModelCard.read(finished.output / "adapter").training["lora_rank"] == 16
    merged = load_file(finished.output / "model" / "model.safetensors")
    before = load_file(base / "model.safetensors")
    for name, tensor in before.items():
        is_adapted = "_proj" in name
        assert torch.equal(tensor, merged[name]) != is_adapted, name


def test_adapter_and_merged_model_answer_alike_in_plain_peft(
    finished: TrainConfig, base: Path
) -> None:
    adapted = PeftModel.from_pretrained(_plain(base), str(finished.output / "adapter")).eval()
    merged = _plain(finished.output / "model")
    ids = torch.arange(3, 40)[None]
    assert torch.allclose(
        adapted(input_ids=ids).logits, merged(input_ids=ids).logits, atol=1e-3, rtol=1e-4
    )
    answers = _greedy(adapted, finished.output / "adapter")
    assert answers == _greedy(merged, finished.output / "model")
    assert answers != _greedy(_plain(base), base)


def test_only_the_adapter_is_asked_of_the_engine(
    base: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In ZeRO stage 3, what is asked for is brought together on rank 0: not the whole base."""
    asked: list[dict[str, torch.Tensor]] = []
    whole_weights = SingleProcessEngine.whole_weights

    def spy(
        engine: SingleProcessEngine, names: Collection[str] | None = None
    ) -> dict[str, torch.Tensor]:
        asked.append(whole_weights(engine, names))
        return asked[-1]

    monkeypatch.setattr(SingleProcessEngine, "whole_weights", spy)
    train(replace(_config(base, dataset, tmp_path / "run"), epochs=1))
    assert len(asked) == 2  # a checkpoint and the export
    stored = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    for weights in asked:
        assert len(weights) == len(stored)
        assert all(".lora_" in name for name in weights)


def test_the_folder_holds_what_servers_read(finished: TrainConfig, base: Path) -> None:
    folder = finished.output / "adapter"
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["peft_type"] == "LORA"
    assert (settings["r"], settings["lora_alpha"]) == (16, 32)
    assert settings["modules_to_save"] is None
    assert settings["inference_mode"] is True
    projections = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert set(settings["target_modules"]) == projections
    assert settings["base_model_name_or_path"] == str(base)
    tensors = load_file(folder / "adapter_model.safetensors")
    assert len(tensors) == 2 * 2 * len(projections)
    assert all(
        name.startswith("base_model.model.model.layers.")
        and name.endswith(("lora_A.weight", "lora_B.weight"))
        and tensor.any()
        for name, tensor in tensors.items()
    )
    assert ModelCard.read(folder).fingerprint == load_codec(base, "openchat_v3.2").fingerprint
    assert load_codec(folder, "openchat_v3.2").fingerprint == ModelCard.read(folder).fingerprint


@pytest.mark.parametrize("stop_at", [3, 14])
def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(
    finished: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    config = replace(finished, output=tmp_path / "run", checkpoint_steps=2)
    made = 0

    def collate_or_die(examples: list[TokenExample]) -> PackedBatch:
        nonlocal made
        made += 1
        if made == stop_at:
            raise KeyboardInterrupt
        return collate(examples)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "collate", collate_or_die)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    train(replace(config, resume=True))
    for file in ("adapter/adapter_model.safetensors", "model/model.safetensors"):
        ours, theirs = load_file(config.output / file), load_file(finished.output / file)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_gradient_checkpointing_trains_the_same_adapter(
    finished: TrainConfig, tmp_path: Path
) -> None:
    train(replace(finished, output=tmp_path / "run", gradient_checkpointing=True, merge=False))
    ours, theirs = (
        load_file(folder / "adapter" / "adapter_model.safetensors")
        for folder in (tmp_path / "run", finished.output)
    )
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)
    assert not (tmp_path / "run" / "model").exists()


def test_a_checkpoint_holds_the_adapter_only_and_exports_both_ways(
    finished: TrainConfig, base: Path, tmp_path: Path
) -> None:
    checkpoint = max((finished.output / "checkpoints").iterdir())
    assert not (checkpoint / "model" / "model.safetensors").exists()
    main(["export", str(checkpoint), "--output", str(tmp_path / "model")])
    main(["export", str(checkpoint), "--output", str(tmp_path / "adapter"), "--adapter"])
    moved = tmp_path / "moved"
    shutil.copytree(base, moved)
    arguments = ["export", str(finished.output / "adapter"), "--base", str(moved)]
    main([*arguments, "--output", str(tmp_path / "again")])
    expected = load_file(finished.output / "model" / "model.safetensors")
    for name in ("model", "again"):
        ours = load_file(tmp_path / name / "model.safetensors")
        assert all(torch.equal(ours[key], expected[key]) for key in expected)
    assert ModelCard.read(tmp_path / "model").model_type == "openchat_v3.2"
    alone = PeftModel.from_pretrained(_plain(base), str(tmp_path / "adapter")).eval()
    assert _greedy(alone, base) == _greedy(_plain(tmp_path / "model"), base)


@pytest.mark.parametrize("tied", [False, True])
def test_embeddings_are_trained_with_the_adapter_where_asked(
    base: Path, dataset: Path, tmp_path: Path, tied: bool
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    if tied:
        settings = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": True}
        (folder / "config.json").write_text(json.dumps(settings))
        weights = load_file(folder / "model.safetensors")
        del weights["lm_head.weight"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = _config(folder, dataset, tmp_path / "run", lora_embeddings=True)
    train(replace(config, epochs=1))
    settings = json.loads((tmp_path / "run/adapter/adapter_config.json").read_text())
    assert set(settings["modules_to_save"]) == {"embed_tokens", "lm_head"}
    assert settings["ensure_weight_tying"] is tied
    eot = load_codec(folder, "openchat_v3.2").eot_id
    before, after = _plain(folder), _plain(tmp_path / "run" / "model")
    for read in ("get_input_embeddings", "get_output_embeddings"):
        rows = [getattr(model, read)().weight[eot] for model in (before, after)]
        assert not torch.allclose(*rows)
    adapted = PeftModel.from_pretrained(before, str(tmp_path / "run" / "adapter")).eval()
    assert _greedy(adapted, folder) == _greedy(after, folder)


def test_a_control_token_that_was_never_trained_is_named(
    base: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    eot = load_codec(folder, "openchat_v3.2").eot_id
    weights = load_file(folder / "model.safetensors")
    table = weights["model.embed_tokens.weight"]
    table[eot] = table[:eot].mean(dim=0)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = _config(folder, dataset, tmp_path / "run", merge=False)
    train(replace(config, epochs=1, quiet=False))
    said = capsys.readouterr().err
    assert "never trained its <|end_of_turn|>" in said
    assert "--lora-embeddings" in said
    assert "LoRA of rank 16, alpha 32" in said


@pytest.mark.parametrize("kind", ["gpt_bigcode", "qwen3", "gemma2", "phi"])
def test_other_architectures_adapt_and_merge(
    make_model: MakeModel, base: Path, dataset: Path, tmp_path: Path, kind: str
) -> None:
    """The run itself compares adapter, merged model and what was trained; else it raises."""
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    vocabulary = json.loads((base / "config.json").read_text())["vocab_size"]
    (folder / "model.safetensors").unlink()
    positions = {"n_positions": 256} if kind == "gpt_bigcode" else {"max_position_embeddings": 256}
    make_model(kind, vocab_size=vocabulary, **positions).save_pretrained(folder)
    config = replace(_config(folder, dataset, tmp_path / "run"), epochs=1, lora_rank=4)
    model = train(config).model
    assert (model / "model.safetensors").is_file()


def test_bf16_keeps_the_adapter_exact_enough(base: Path, dataset: Path, tmp_path: Path) -> None:
    config = replace(_config(base, dataset, tmp_path / "run"), epochs=1, precision="bf16")
    model = train(config).model
    assert {t.dtype for t in load_file(model / "model.safetensors").values()} == {torch.bfloat16}
    adapter = load_file(config.output / "adapter" / "adapter_model.safetensors")
    assert {t.dtype for t in adapter.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"from_scratch": True}, "--from-scratch makes a new one"),
        ({"lora_rank": 0}, "--lora-rank is 0"),
        ({"lora_dropout": 1.0}, "--lora-dropout is 1.0"),
        ({"lora_alpha": -1.0}, "--lora-alpha is -1"),
        ({"rope_scaling": "linear", "rope_factor": 2.0}, "rope_parameters"),
        ({"qlora": True, "zero_stage": 3}, "cannot be sharded"),
    ],
)
def test_what_cannot_be_is_refused(
    finished: TrainConfig, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(finished, **change).validate()


@pytest.mark.parametrize(
    ("targets", "message"), [("nothing", "its linear layers are"), ("lm_head", "output layer")]
)
def test_wrong_targets_are_refused(
    finished: TrainConfig, tmp_path: Path, targets: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        train(replace(finished, output=tmp_path / "run", lora_targets=targets))
    assert not (tmp_path / "run" / "run.json").exists()


def test_resuming_with_another_rank_or_over_another_base_is_refused(
    finished: TrainConfig, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="lora_rank = 16, now it is 8"):
        train(replace(finished, resume=True, lora_rank=8))
    other = tmp_path / "other"
    shutil.copytree(base, other)
    weights = load_file(other / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="base weights"):
        train(replace(finished, resume=True, model=other))


def test_exports_that_cannot_be_are_refused_in_a_sentence(
    finished: TrainConfig, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter, output = tmp_path / "adapter", tmp_path / "output"
    shutil.copytree(finished.output / "adapter", adapter)
    file = adapter / "adapter_config.json"
    settings = json.loads(file.read_text()) | {"base_model_name_or_path": "/gone"}
    file.write_text(json.dumps(settings))
    weights = adapter / "adapter_model.safetensors"
    small = tmp_path / "small"
    shutil.copytree(base, small)
    tensors = load_file(small / "model.safetensors")
    config = json.loads((small / "config.json").read_text()) | {"intermediate_size": 24}
    (small / "config.json").write_text(json.dumps(config))
    for name in [name for name in tensors if ".mlp." in name]:
        tensors[name] = tensors[name][..., :24] if "down" in name else tensors[name][:24]
        tensors[name] = tensors[name].contiguous()
    save_file(tensors, small / "model.safetensors", metadata={"format": "pt"})

    def refused(*more: str) -> str:
        assert main(["export", str(adapter), "--output", str(output), *more]) == 1
        assert not output.exists()
        return capsys.readouterr().err

    assert "give it with --base" in refused()
    assert "cannot load the adapter" in refused("--base", str(small))
    weights.write_bytes(b"no tensors")
    assert "cannot load the adapter" in refused("--base", str(base))
    assert main(["export", str(base), "--output", str(output), "--adapter"]) == 1
    assert "holds no adapter" in capsys.readouterr().err


def test_an_adapter_needs_no_room_for_the_optimiser_of_its_base(
    finished: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five bytes a parameter hold the merged model; sixteen would hold a full checkpoint."""
    size = (finished.model / "model.safetensors").stat().st_size
    free = shutil.disk_usage(tmp_path)._replace(free=size + size // 4)

    def usage(_: Path) -> object:
        return free

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(OutputError, match="GiB free"):
        train(replace(finished, output=tmp_path / "run", lora=False))
    train(replace(finished, output=tmp_path / "run", epochs=1))
