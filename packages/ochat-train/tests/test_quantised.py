"""QLoRA on the CPU: bitsandbytes' 4-bit weights under an adapter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ochat_train import TrainConfig, probe_isolation, train
from ochat_train.attention import packed
from ochat_train.batch import PackedBatch, collate
from ochat_train.examples import TrainingExample
from ochat_train.flops import StepFlops
from ochat_train.forward import TrainingModule
from ochat_train.lora import add_adapter
from ochat_train.quantised import load_in_4_bits

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
MakeModel = Callable[..., PreTrainedModel]


@pytest.fixture(scope="module")
def base(base_model: Path, make_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with-weights") / "base"
    shutil.copytree(base_model, folder)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    # Blocks of 64 numbers share a scale.
    shape = {"hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 256}
    make_model("llama", vocab_size=vocabulary, **shape).save_pretrained(folder)
    return folder


def _config(base: Path, data: Path, output: Path, **more: Any) -> TrainConfig:
    return TrainConfig(
        model=base,
        data=data,
        output=output,
        qlora=True,
        epochs=2,
        lr=1e-2,
        batch_tokens=512,
        quiet=True,
        **more,
    )


def _dequantised(base: Path, quantised: PreTrainedModel) -> PreTrainedModel:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    for name, module in quantised.named_modules():
        if isinstance(module, Linear4bit):
            weight: Any = module.weight
            whole = dequantize_4bit(weight.data, weight.quant_state)
            model.get_submodule(name).weight.data = whole
    return model


def _batch() -> PackedBatch:
    ids = torch.arange(3, 33, dtype=torch.int32)
    parts = [ids[:9], ids[9:], ids[:1].repeat(4)]
    examples = [
        TrainingExample(
            id="", ids=part.numpy(), weights=torch.ones(len(part)).numpy(), condition=""
        )
        for part in parts
    ]
    return collate(examples)


def test_gradients_are_those_over_the_same_weights_in_full(base: Path, tmp_path: Path) -> None:
    """Also after the probe, whose pass without gradients once changed what training computed."""
    quantised = load_in_4_bits(base, AutoConfig.from_pretrained(base), torch.float32)
    assert sum(isinstance(module, Linear4bit) for module in quantised.modules()) == 14
    whole = _dequantised(base, quantised)
    config = _config(base, base, tmp_path)
    gradients: list[dict[str, torch.Tensor]] = []
    losses: list[float] = []
    batch = _batch()
    for model in (quantised, whole):
        probe_isolation(model)
        add_adapter(model, config)
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        module = TrainingModule(model.train())
        with packed(batch.layout):
            loss, _ = module(batch, 1.0)
            loss.backward()
        losses.append(float(loss.detach()))
        named = model.named_parameters()
        gradients.append({name: p.grad for name, p in named if p.grad is not None})
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert gradients[0].keys() == gradients[1].keys()
    assert len(gradients[0]) == 28
    for name, gradient in gradients[1].items():
        assert (gradients[0][name] - gradient).norm() <= 1e-4 * gradient.norm(), name


def test_a_quantised_base_takes_as_many_flops(base: Path) -> None:
    quantised = load_in_4_bits(base, AutoConfig.from_pretrained(base), torch.float32)
    assert StepFlops(quantised)(1, 0) == StepFlops(_dequantised(base, quantised))(1, 0)


def test_it_learns_and_merges_into_the_base_in_full(
    base: Path, dataset: Path, tmp_path: Path
) -> None:
    config = _config(base, dataset, tmp_path / "run", gradient_checkpointing=True)
    result = train(config)
    losses = [each.overall.loss for each in result.held_out]
    lines = (config.output / "metrics.jsonl").read_text().splitlines()
    assert losses[1] < losses[0] < json.loads(lines[0])["loss"] - 0.5
    merged = load_file(config.output / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in merged.values()} == {torch.float32}
    assert "quantization_config" not in json.loads((result.model / "config.json").read_text())
    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    adapted = PeftModel.from_pretrained(plain, str(config.output / "adapter")).eval()
    both = [model(input_ids=torch.arange(3, 30)[None]).logits for model in (adapted, _load(result))]
    assert torch.allclose(*both, atol=1e-3, rtol=1e-4)
    train(replace(config, output=tmp_path / "again"))
    again = load_file(tmp_path / "again" / "adapter" / "adapter_model.safetensors")
    first = load_file(config.output / "adapter" / "adapter_model.safetensors")
    assert all(torch.equal(first[name], again[name]) for name in first)


def _load(result: Any) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(result.model).eval()
