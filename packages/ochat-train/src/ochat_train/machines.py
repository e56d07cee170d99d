"""Which model sizes fit which machines: the memory of every way of training, card by card.

States follow the ZeRO papers (arXiv 1910.02054; offload 2101.06840 and 2104.07857) and QLoRA
(2305.14314, section 3); activations and loss are those of `memory`. Estimates: a tenth of each card
is left to the framework and fragmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig

from .memory import Parameters, activation_bytes, count_parameters, loss_bytes, state_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedConfig

CARDS_GIB = (24, 48, 80, 141)
CARD_COUNTS = (1, 2, 8)
_USABLE = 0.9
_HALF = 2
# Bytes a parameter that is trained in one process: float32 weights, gradients, both moments.
_TRAINED = 16
# NF4: half a byte, an 8-bit scale for every 64, a float32 scale for every 256 of those.
_NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
# DeepSpeed's default buckets: 5e8 numbers in 16 bits, two of them in stage 2, one under stage 3.
_BUCKET = 500_000_000 * _HALF
# What the host holds of an offloaded parameter: float32 gradient, weights and both moments.
_ON_HOST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes that a way of training takes of each card, and of its share of the host."""

    card: int
    host: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way of training.

    Attributes:
        name: what a table calls it.
        options: what turns it on.
        need: bytes of the model's states by sizes, ranks and rank of an adapter.
        trains_head: whether the output layer gets a gradient.
        ranks: fewest ranks for which it differs from the way before.
    """

    name: str
    options: str
    need: Callable[[Parameters, int, int], Need]
    trains_head: bool = True
    ranks: int = 1


def _full(stage: int) -> Callable[[Parameters, int, int], Need]:
    def need(sizes: Parameters, ranks: int, _: int) -> Need:
        states = state_bytes(sizes.total, ranks, stage)
        return Need(card=states + (_gathered(sizes) if stage == 3 else 0))

    return need


def _gathered(sizes: Parameters) -> int:
    """Weights brought together in stage 3: a layer, the next one, and the largest table."""
    layer = sizes.linear // max(sizes.layers, 1)
    return _HALF * (2 * layer + sizes.vocabulary * sizes.hidden)


def _offload_optimiser(sizes: Parameters, ranks: int, _: int) -> Need:
    """ZeRO 2 whose optimiser and gradients are the host's; the card keeps 16-bit weights."""
    return Need(
        card=_HALF * sizes.total + 2 * min(_BUCKET, _HALF * sizes.total),
        host=_ON_HOST * sizes.total // ranks,
    )


def _offload_all(sizes: Parameters, ranks: int, _: int) -> Need:
    """ZeRO 3 whose weights are the host's too; the card holds the layers at work."""
    return Need(
        card=_gathered(sizes) + min(_BUCKET, _HALF * sizes.total),
        host=(_ON_HOST + _HALF) * sizes.total // ranks,
    )


def _lora(sizes: Parameters, _: int, rank: int) -> Need:
    return Need(card=_HALF * sizes.total + _TRAINED * rank * sizes.linear_ends)


def _lora_sharded(sizes: Parameters, ranks: int, rank: int) -> Need:
    adapter = _TRAINED * rank * sizes.linear_ends
    return Need(card=(_HALF * sizes.total + adapter) // ranks + _gathered(sizes))


def _qlora(sizes: Parameters, _: int, rank: int) -> Need:
    """Linear layers in 4 bits and one of them in 16 while it is used; the rest in 16."""
    largest = _HALF * sizes.linear // max(sizes.layers, 1) // 3
    base = int(_NF4 * sizes.linear) + _HALF * (sizes.total - sizes.linear)
    return Need(card=base + largest + _TRAINED * rank * sizes.linear_ends)


# From the fastest to the one that asks most of the host.
FULL_WAYS = (
    Way(name="ZeRO 0", options="--zero-stage 0", need=_full(0)),
    Way(name="ZeRO 1", options="--zero-stage 1", need=_full(1), ranks=2),
    Way(name="ZeRO 2", options="--zero-stage 2", need=_full(2), ranks=2),
    Way(name="ZeRO 3", options="--zero-stage 3", need=_full(3), ranks=2),
    Way(name="ZeRO 2 + CPU", options="offload_optimizer in --deepspeed", need=_offload_optimiser),
    Way(name="ZeRO 3 + CPU", options="offload_optimizer and offload_param", need=_offload_all),
)
ADAPTER_WAYS = (
    Way(name="LoRA", options="--lora", need=_lora, trains_head=False),
    Way(
        name="LoRA ZeRO 3",
        options="--lora --zero-stage 3",
        need=_lora_sharded,
        trains_head=False,
        ranks=2,
    ),
    Way(name="QLoRA", options="--qlora", need=_qlora, trains_head=False),
)

# Published shapes: Llama 3.2 1B and 3B, Llama 2 7B and 13B, Code Llama 34B, Llama 3 70B.
_SHAPES: dict[str, tuple[int, int, int, int, int, int, bool]] = {
    "1B": (2048, 8192, 16, 32, 8, 128_256, True),
    "3B": (3072, 8192, 28, 24, 8, 128_256, True),
    "7B": (4096, 11_008, 32, 32, 32, 32_000, False),
    "13B": (5120, 13_824, 40, 40, 40, 32_000, False),
    "34B": (8192, 22_016, 48, 64, 8, 32_000, False),
    "70B": (8192, 28_672, 80, 64, 8, 128_256, False),
}


def published_shapes() -> dict[str, Parameters]:
    """Sizes of the Llama models that everybody knows."""
    found: dict[str, Parameters] = {}
    for name, (hidden, inner, layers, heads, groups, vocabulary, tied) in _SHAPES.items():
        config = AutoConfig.for_model(
            "llama",
            hidden_size=hidden,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=groups,
            head_dim=hidden // heads,
            vocab_size=vocabulary,
            tie_word_embeddings=tied,
        )
        found[name] = count_parameters(config)
    return found


def needs(
    sizes: Parameters,
    way: Way,
    *,
    ranks: int,
    batch_tokens: int,
    gradient_checkpointing: bool,
    lora_rank: int,
) -> Need:
    """All that a way takes of each of `ranks` cards for batches of `batch_tokens`."""
    states = way.need(sizes, ranks, lora_rank)
    activations = activation_bytes(
        sizes, batch_tokens, gradient_checkpointing=gradient_checkpointing
    )
    loss = loss_bytes(sizes, trained_head=way.trains_head)
    return Need(card=states.card + activations + loss, host=states.host)


def machine_table(
    model: PreTrainedConfig | None,
    *,
    batch_tokens: int,
    gradient_checkpointing: bool,
    lora_rank: int,
) -> dict[str, Any]:
    """For every model and machine, all ways that fit, with what each takes of a card.

    Args:
        model: a config to add to the published shapes; None for none.
        batch_tokens: tokens of one rank in one batch.
        gradient_checkpointing: see `memory.activation_bytes`.
        lora_rank: of the adapters.
    """
    shapes: dict[str, Parameters] = {}
    if model is not None:
        shapes["this model"] = count_parameters(model)
    return {
        "batch_tokens": batch_tokens,
        "gradient_checkpointing": gradient_checkpointing,
        "lora_rank": lora_rank,
        "usable_share": _USABLE,
        "models": [
            {
                "name": name,
                "parameters": sizes.total,
                "machines": [
                    _machine(
                        sizes,
                        count,
                        card,
                        batch_tokens=batch_tokens,
                        gradient_checkpointing=gradient_checkpointing,
                        lora_rank=lora_rank,
                    )
                    for card in CARDS_GIB
                    for count in CARD_COUNTS
                ],
            }
            for name, sizes in (shapes | published_shapes()).items()
        ],
    }


def _machine(
    sizes: Parameters,
    count: int,
    card: int,
    *,
    batch_tokens: int,
    gradient_checkpointing: bool,
    lora_rank: int,
) -> dict[str, Any]:
    ways: dict[str, Any] = {}
    for way in (*FULL_WAYS, *ADAPTER_WAYS):
        if count >= way.ranks:
            need = needs(
                sizes,
                way,
                ranks=count,
                batch_tokens=batch_tokens,
                gradient_checkpointing=gradient_checkpointing,
                lora_rank=lora_rank,
            )
            ways[way.name] = {
                "card_bytes": need.card,
                "host_bytes": need.host * count,
                "fits": need.card <= _USABLE * card * 2**30,
                "options": way.options,
            }
    return {"cards": count, "card_gib": card, "ways": ways}


def table_lines(table: dict[str, Any]) -> list[str]:
    """The table for a person: the first way of training everything that fits, and of adapters."""
    kept = "with" if table["gradient_checkpointing"] else "without"
    lines = [
        f"batch {table['batch_tokens']:,} tokens of a card, {kept} gradient checkpointing, "
        f"adapters of rank {table['lora_rank']}; estimated GiB of a card, at most "
        f"{table['usable_share']:.0%} of it"
    ]
    for title, ways in (("all weights", FULL_WAYS), ("adapters", ADAPTER_WAYS)):
        lines += ["", _row(title, [f"{n} x {card}G" for card in CARDS_GIB for n in CARD_COUNTS])]
        for model in table["models"]:
            cells = [_cell(machine["ways"], ways) for machine in model["machines"]]
            lines.append(_row(f"{model['name']} ({model['parameters'] / 1e9:.2f} B)", cells))
    note = (
        "+C: the optimiser, in stage 3 weights too, is the host's: 16 to 18 bytes a parameter there"
    )
    return [*lines, "", f"{note}; Z: ZeRO's stage"]


def _cell(ways: dict[str, Any], order: Sequence[Way]) -> str:
    short = {"ZeRO ": "Z", " + CPU": "+C", "LoRA Z": "LZ"}
    for way in order:
        if way.name in ways and ways[way.name]["fits"]:
            name = way.name
            for long, brief in short.items():
                name = name.replace(long, brief)
            return f"{name} {ways[way.name]['card_bytes'] / 2**30:.0f}"
    return "-"


def _row(head: str, cells: Sequence[str]) -> str:
    return f"{head:22}" + "".join(f"{cell:>9}" for cell in cells)
