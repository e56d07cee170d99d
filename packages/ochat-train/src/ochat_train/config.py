"""Everything a training run can be told, as one record; neither reads files nor imports torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, get_args

from .errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

Precision = Literal["bf16", "fp32"]
EngineName = Literal["auto", "single", "deepspeed"]
# What they mean: `examples` (loss modes, overlong), `run_plan` (average), `rope` (scaling).
LossMode = Literal["dataset", "token", "sequence", "class", "balanced", "crlft"]
Overlong = Literal["error", "drop", "cut"]
Average = Literal["weights", "sequences"]
Packing = Literal["random", "throughput"]
RopeScaling = Literal["linear", "dynamic", "yarn"]

# Fields that a resumed run may change without training anything else than the run it continues.
_FREE_ON_RESUME = frozenset(
    {
        *("resume", "output", "threads", "log_every", "checkpoint_steps", "quiet", "from_scratch"),
        *("tensorboard", "wandb", "gradient_checkpointing", "keep_last", "time_limit_minutes"),
        *("merge", "rank_timeout", "offload_activations"),
    }
)


# Fields that say how an adapter is made, with their defaults.
_OF_ADAPTERS: dict[str, object] = {
    "lora_rank": 16,
    "lora_alpha": None,
    "lora_dropout": 0.0,
    "lora_targets": "all-linear",
    "lora_embeddings": False,
    "merge": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Settings of a run; the optimiser's defaults are those OpenChat published.

    Attributes:
        model: model folder: `config.json`, a tokenizer, and weights unless `from_scratch`.
        data: token dataset folder, as `ochat-data tokenize` writes it; or the prefix of the Parquet
            files of OpenChat's own trainers.
        model_type: template of Parquet files that do not name theirs.
        output: folder of the run; must not exist, be empty, or be resumed.
        from_scratch: initialise the weights from `config.json` and `seed`.
        resume: continue from the last checkpoint in `output`.
        epochs: passes over the training split.
        batch_tokens: most tokens of one rank in one step; None is four times the longest example,
            rounded up to a multiple of 1024: the packer fills such a batch to over 99 %.
        accumulation: batches of every rank in one step; the loss is that of one large batch.
        packing: "random" keeps steps like random draws; "throughput" is fuller and evener, and
            sorts.
        overlong: what happens to examples longer than the model or a batch can hold.
        loss_mode: what tokens count; "dataset" is what the dataset says.
        expert: the expert's condition, for `loss_mode` "crlft".
        average: the loss of a step is divided by its loss weights, or by its sequences.
        lr: peak learning rate; None is chosen by the batch, see `schedule.automatic_lr`.
        lr_min_ratio: final learning rate as a share of `lr`.
        warmup_steps: steps of linear warm-up; None is 5 % of all steps.
        beta1: AdamW's decay of the mean.
        beta2: AdamW's decay of the variance.
        eps: AdamW's epsilon.
        weight_decay: decay of matrices and embeddings; biases and norms are not decayed.
        max_grad_norm: gradients are scaled down to this norm.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping
            them: less memory, a third more time.
        offload_activations: with that, keep what each layer begins with in the host's memory.
        rope_scaling: how rotary positions are stretched to a longer context; None is not.
        rope_factor: how many times longer the context gets.
        precision: "bf16" keeps float32 master weights; None is bf16 on a GPU, else fp32.
        seed: seed of initialisation, data order and dropout.
        threads: CPU threads of torch; None leaves torch's own choice.
        log_every: steps between two readings of the loss (a reading waits for the device).
        checkpoint_steps: steps between checkpoints inside an epoch; None is none. Every epoch
            ends with one anyway.
        keep_last: checkpoints that are kept, the newest and besides the one with the lowest
            held-out loss; None keeps all.
        time_limit_minutes: after so long a checkpoint is written and the run stops, to be resumed;
            None is never. SIGTERM does the same.
        rank_timeout: seconds of silence after which a rank counts as lost: it is named, and the
            others end.
        engine: "auto" takes DeepSpeed if started on several ranks or given its options.
        sequence_parallel: ranks that hold every batch together, each its part of the tokens
            (DeepSpeed-Ulysses); they share the heads of attention.
        zero_stage: DeepSpeed's ZeRO stage 0, 1, 2 or 3; None is its configuration file's, else 2.
        deepspeed_config: DeepSpeed configuration file (JSON).
        lora: train an adapter (LoRA) instead of the weights.
        qlora: the same over a base held in 4 bits.
        lora_rank: inner width of the adapter's pairs of matrices.
        lora_alpha: the adapter counts `lora_alpha / lora_rank` times; None is twice the rank.
        lora_dropout: share of the adapter's inputs that is dropped in training.
        lora_targets: "all-linear", or names of layers separated by commas.
        lora_embeddings: train the input embeddings and the output layer too, whole.
        merge: write the merged model beside the adapter.
        tensorboard: write TensorBoard events into the run's folder too.
        wandb: project of Weights & Biases to log to; None is none.
        quiet: no progress on standard error.
    """

    model: Path
    data: Path
    output: Path
    model_type: str = ""
    from_scratch: bool = False
    resume: bool = False
    epochs: int = 5
    batch_tokens: int | None = None
    accumulation: int = 1
    packing: Packing = "random"
    overlong: Overlong = "error"
    loss_mode: LossMode = "dataset"
    expert: str = ""
    average: Average = "weights"
    lr: float | None = 2e-5
    lr_min_ratio: float = 0.1
    warmup_steps: int | None = None
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-5
    weight_decay: float = 0.1
    max_grad_norm: float = 1.0
    gradient_checkpointing: bool = False
    offload_activations: bool = False
    rope_scaling: RopeScaling | None = None
    rope_factor: float = 1.0
    precision: Precision | None = None
    seed: int = 0
    threads: int | None = None
    log_every: int = 10
    checkpoint_steps: int | None = None
    keep_last: int | None = None
    time_limit_minutes: float | None = None
    rank_timeout: float = 60.0
    engine: EngineName = "auto"
    sequence_parallel: int = 1
    zero_stage: int | None = None
    deepspeed_config: Path | None = None
    lora: bool = False
    qlora: bool = False
    lora_rank: int = 16
    lora_alpha: float | None = None
    lora_dropout: float = 0.0
    lora_targets: str = "all-linear"
    lora_embeddings: bool = False
    merge: bool = True
    tensorboard: bool = False
    wandb: str | None = None
    quiet: bool = False

    @property
    def adapts(self) -> bool:
        """Whether an adapter is trained instead of the weights."""
        return self.lora or self.qlora

    @property
    def alpha(self) -> float:
        """The adapter's `lora_alpha`, chosen where it was left open."""
        return 2.0 * self.lora_rank if self.lora_alpha is None else self.lora_alpha

    def validate(self) -> None:
        """Refuses impossible values.

        Raises:
            ConfigError: names the option, its value and what is allowed.
        """
        self._validate_choices()
        at_least_one = (
            *("epochs", "batch_tokens", "accumulation", "threads", "log_every"),
            *("checkpoint_steps", "keep_last", "lora_rank", "sequence_parallel"),
        )
        for name in at_least_one:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{_flag(name)} is {value}; give a whole number of at least 1")
        positive = {
            "lr": 1.0 if self.lr is None else self.lr,
            "eps": self.eps,
            "max_grad_norm": self.max_grad_norm,
            "lora_alpha": self.alpha,
            "rank_timeout": self.rank_timeout,
            "time_limit_minutes": 1.0
            if self.time_limit_minutes is None
            else self.time_limit_minutes,
        }
        # Written so that "not a number", which every comparison denies, is refused too.
        for name, number in positive.items():
            if not 0 < number < math.inf:
                raise ConfigError(f"{_flag(name)} is {number}; give a finite number above 0")
        if not 0 <= self.lr_min_ratio <= 1:
            raise ConfigError(f"--lr-min-ratio is {self.lr_min_ratio}; give a number from 0 to 1")
        for name, number in {"beta1": self.beta1, "beta2": self.beta2}.items():
            if not 0 <= number < 1:
                raise ConfigError(f"{_flag(name)} is {number}; give a number from 0 to below 1")
        not_negative = {"warmup_steps": self.warmup_steps or 0, "weight_decay": self.weight_decay}
        for name, number in {**not_negative, "seed": self.seed}.items():
            if not 0 <= number < math.inf:
                raise ConfigError(
                    f"{_flag(name)} is {number}; it must be finite and not be negative"
                )
        if self.seed >= 1 << 63:
            raise ConfigError(f"--seed is {self.seed}; give a whole number below 2**63")
        self._validate_engine()
        self._validate_adapter()

    def _validate_choices(self) -> None:
        choices = {
            "packing": get_args(Packing),
            "overlong": get_args(Overlong),
            "loss_mode": get_args(LossMode),
            "average": get_args(Average),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{_flag(name)} is {getattr(self, name)!r}; choose {', '.join(allowed)}"
                )
        if (self.loss_mode == "crlft") != bool(self.expert):
            raise ConfigError(
                "--loss-mode crlft needs the expert's condition, such as --expert GPT4, and only it"
            )
        if self.rope_scaling is None and self.rope_factor != 1.0:
            raise ConfigError("--rope-factor needs --rope-scaling linear, dynamic or yarn")
        if self.rope_scaling is not None and not 1 < self.rope_factor < math.inf:
            raise ConfigError(
                f"--rope-factor is {self.rope_factor}; give a number above 1, such as 2 for twice "
                "the context"
            )

    def _validate_engine(self) -> None:
        if self.zero_stage is not None and self.zero_stage not in (0, 1, 2, 3):
            raise ConfigError(f"--zero-stage is {self.zero_stage}; give 0, 1, 2 or 3")
        if self.offload_activations and not self.gradient_checkpointing:
            raise ConfigError(
                "--offload-activations moves what --gradient-checkpointing keeps; give both"
            )
        given = self.zero_stage is not None or self.deepspeed_config is not None
        if self.engine == "single" and given:
            raise ConfigError(
                "--zero-stage and --deepspeed need the DeepSpeed engine; drop --engine single"
            )

    def _validate_adapter(self) -> None:
        if not 0 <= self.lora_dropout < 1:
            raise ConfigError(
                f"--lora-dropout is {self.lora_dropout}; give a number from 0 to below 1"
            )
        if not self.adapts:
            # Left alone, all weights would be trained, at a rate that was meant for an adapter.
            for name, default in _OF_ADAPTERS.items():
                if getattr(self, name) != default:
                    flag = "--no-merge" if name == "merge" else _flag(name)
                    raise ConfigError(f"{flag} is for adapters; give --lora or --qlora too")
            return
        if self.from_scratch:
            raise ConfigError(
                "--lora and --qlora adapt a trained model, and --from-scratch makes a new one; "
                "leave one of them out"
            )
        if self.rope_scaling is not None:
            raise ConfigError(
                "--rope-scaling changes the model, which an adapter does not carry; write the "
                'scaling into "rope_parameters" of the base model\'s config.json instead'
            )
        if self.qlora and self.zero_stage == 3:
            raise ConfigError(
                "--qlora with --zero-stage 3: the 4-bit weights cannot be sharded; use stage 0, 1 "
                "or 2, or --lora"
            )

    def to_json(self) -> dict[str, object]:
        """The settings as JSON values, written beside the results."""
        return {
            name: value if isinstance(value, str | int | float | bool | None) else str(value)
            for name, value in asdict(self).items()
        }

    def fixed_part(self) -> dict[str, object]:
        """What must be equal for a run to continue another one's checkpoint exactly.

        The paths of model and data are left out: folders may move, and the dataset is compared by
        its content.
        """
        left_out = _FREE_ON_RESUME | {"model", "data", "deepspeed_config"}
        return {name: value for name, value in self.to_json().items() if name not in left_out}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
