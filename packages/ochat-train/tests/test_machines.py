"""The table of machines, against what is really held at toy size and what the papers say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ochat_train import TrainConfig, probe_isolation
from ochat_train.__main__ import main
from ochat_train.attention import packed
from ochat_train.batch import collate
from ochat_train.examples import TrainingExample
from ochat_train.forward import TrainingModule
from ochat_train.lora import add_adapter
from ochat_train.machines import (
    ADAPTER_WAYS,
    FULL_WAYS,
    Way,
    machine_table,
    needs,
    published_shapes,
)
from ochat_train.memory import Parameters, activation_bytes, count_parameters
from ochat_train.model import enable_gradient_checkpointing
from ochat_train.quantised import load_in_4_bits

MakeModel = Callable[..., PreTrainedModel]
WAYS = {way.name: way for way in (*FULL_WAYS, *ADAPTER_WAYS)}


def _kept_bytes(layers: int, tokens: int, *, saving: bool) -> tuple[int, Parameters]:
    """Bytes that autograd keeps for the backward pass, parameters left out."""
    shape = {"hidden_size": 256, "intermediate_size": 688, "num_attention_heads": 4}
    config = AutoConfig.for_model("llama", vocab_size=500, num_hidden_layers=layers, **shape)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    probe_isolation(model)
    if saving:
        enable_gradient_checkpointing(model)
    module = TrainingModule(model.train())
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    # Held, so that no address is used twice.
    seen: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in weights:
            seen[address] = tensor
        return tensor

    ids = torch.randint(0, 500, (tokens // 4,), dtype=torch.int32).numpy()
    example = TrainingExample(id="", ids=ids, weights=torch.ones(tokens // 4).numpy(), condition="")
    batch = collate([example] * 4)
    with packed(batch.layout), torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
        module(batch, 1.0)
    total = sum(tensor.untyped_storage().nbytes() for tensor in seen.values())
    return total, count_parameters(config)


@pytest.mark.parametrize("saving", [False, True])
def test_a_layer_keeps_what_the_formula_says(saving: bool) -> None:
    """In float32, twice the bytes; the difference of two depths is what layers keep."""
    (few, small), (many, large) = (_kept_bytes(layers, 512, saving=saving) for layers in (2, 6))
    estimate = [
        activation_bytes(sizes, 512, gradient_checkpointing=saving, half=False)
        for sizes in (small, large)
    ]
    assert many - few == pytest.approx(estimate[1] - estimate[0], rel=0.03)


def test_an_adapter_has_as_many_parameters_as_counted(make_model: MakeModel) -> None:
    for kind in ("llama", "gemma2"):
        model = make_model(kind)
        sizes = count_parameters(model.config)
        config = TrainConfig(model=Path(), data=Path(), output=Path(), lora=True, lora_rank=4)
        assert add_adapter(model, config).trainable == 4 * sizes.linear_ends


def test_a_quantised_base_takes_what_the_paper_says(make_model: MakeModel, tmp_path: Path) -> None:
    """Large enough that a layer's scales are many blocks; the second scales' blocks are padded."""
    shape = {"hidden_size": 512, "intermediate_size": 1024, "num_key_value_heads": 4}
    make_model("llama", **shape).save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    model = load_in_4_bits(tmp_path, config, torch.bfloat16)
    held = sum(each.nbytes for each in model.parameters())
    for module in model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None:
            held += state.absmax.nbytes + state.state2.absmax.nbytes
    sizes = count_parameters(config)
    need = WAYS["QLoRA"].need(sizes, 1, 0).card
    largest = 2 * sizes.linear // sizes.layers // 3
    assert held == pytest.approx(need - largest, rel=0.005)


def test_the_published_shapes_have_their_published_sizes() -> None:
    billions = {name: sizes.total / 1e9 for name, sizes in published_shapes().items()}
    known = {"1B": 1.236, "3B": 3.213, "7B": 6.738, "13B": 13.016, "34B": 33.744, "70B": 70.554}
    assert billions == pytest.approx(known, abs=0.001)


def test_qlora_of_65b_fits_one_card_of_48_gib_as_its_paper_says() -> None:
    """The paper's headline; its sequences of 512 tokens, its rank of 64."""
    config = AutoConfig.for_model(
        "llama",
        hidden_size=8192,
        intermediate_size=22_016,
        num_hidden_layers=80,
        num_attention_heads=64,
        vocab_size=32_000,
    )
    need = _card(count_parameters(config), WAYS["QLoRA"], ranks=1, tokens=512, lora_rank=16)
    assert 30 < need / 2**30 < 48


def _card(
    sizes: Parameters, way: Way, *, ranks: int, tokens: int = 4096, lora_rank: int = 16
) -> int:
    return needs(
        sizes,
        way,
        ranks=ranks,
        batch_tokens=tokens,
        gradient_checkpointing=True,
        lora_rank=lora_rank,
    ).card


def test_every_way_takes_less_than_the_one_before_on_eight_cards() -> None:
    sizes = published_shapes()["34B"]
    full = [_card(sizes, way, ranks=8) for way in FULL_WAYS[:4]]
    assert full == sorted(full, reverse=True)
    assert _card(sizes, WAYS["ZeRO 3 + CPU"], ranks=8) < full[-1]
    assert _card(sizes, WAYS["QLoRA"], ranks=1) < _card(sizes, WAYS["LoRA"], ranks=1) < full[0]


def test_the_host_holds_what_is_offloaded() -> None:
    sizes = published_shapes()["7B"]
    table = machine_table(None, batch_tokens=4096, gradient_checkpointing=True, lora_rank=16)
    model = next(each for each in table["models"] if each["name"] == "7B")
    ways = model["machines"][2]["ways"]
    assert ways["ZeRO 2 + CPU"]["host_bytes"] == pytest.approx(16 * sizes.total, rel=1e-6)
    assert ways["ZeRO 2"]["host_bytes"] == 0


def test_plan_prints_the_table_and_json(
    base_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--machines", "--model", str(base_model)]) == 0
    text = capsys.readouterr().out
    assert "this model" in text
    assert "8 x 80G" in text
    assert main(["plan", "--machines", "--gradient-checkpointing", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in table["models"]] == ["1B", "3B", "7B", "13B", "34B", "70B"]
    assert len(table["models"][0]["machines"]) == 12
    assert main(["plan", "--machines", "--batch-tokens", "0"]) == 1
    assert "--batch-tokens is 0" in capsys.readouterr().err
