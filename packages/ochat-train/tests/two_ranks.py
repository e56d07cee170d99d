"""One of two ranks that `test_two_ranks` starts: trains toys in many ways, rank 0 writes figures.

Every way is held against `SingleProcessEngine` over the same batches, which other tests hold
against plain Transformers. One start serves all of them, since starting costs the most.

    torchrun --nproc-per-node 2 two_ranks.py FOLDER MODEL DATASET
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ochat_train import EngineError, ModelError, TrainConfig, probe_isolation
from ochat_train.batch import collate
from ochat_train.engine import Engine, SingleProcessEngine
from ochat_train.engine_choice import choose_engine
from ochat_train.examples import TrainingExample
from ochat_train.isolation import probe_sequence_parallel
from ochat_train.optimizer_offload import require_storage
from ochat_train.run import train as train_run

LENGTHS = (7, 23, 2, 20, 31, 7, 12, 5)
SHAPE = {"vocab_size": 101, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
SHAPE |= {"num_attention_heads": 4, "num_key_value_heads": 2}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    # Windows; limits on the scores; one learned sink a head and experts.
    "mistral": {"sliding_window": 6},
    "gemma2": {"head_dim": 8, "sliding_window": 6},
    "gpt_oss": {
        "head_dim": 8,
        "sliding_window": 6,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    },
}
BATCHES = 4
CONFIG = TrainConfig(
    model=Path(), data=Path(), output=Path(), eps=1e-5, engine="deepspeed", precision="fp32"
)
# Two batches a step: one rank's, or one of each of two.
RUN = TrainConfig(
    model=Path(),
    data=Path(),
    output=Path(),
    from_scratch=True,
    precision="fp32",
    zero_stage=2,
    epochs=1,
    lr=1e-3,
    batch_tokens=256,
    accumulation=2,
    checkpoint_steps=3,
    quiet=True,
)
Step = Sequence[Sequence[TrainingExample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a way of training ends with; the parameters on rank 0 only."""

    losses: list[float]
    parameters: Mapping[str, torch.Tensor]

    def distances(self, other: Trained) -> dict[str, float]:
        """Largest relative differences: of a loss, of a parameter, and of all parameters."""
        losses = [abs(a / b - 1) for a, b in zip(self.losses, other.losses, strict=True)]
        ours, theirs = self.parameters, other.parameters
        each = [
            float((ours[name].float() - whole.float()).norm() / whole.float().norm())
            for name, whole in theirs.items()
            if float(whole.float().norm()) > 0
        ]
        flat = [torch.cat([p[n].float().flatten() for n in theirs]) for p in (ours, theirs)]
        together = float((flat[0] - flat[1]).norm() / flat[1].norm())
        return {"loss": max(losses), "parameter": max(each), "all": together}


def steps(count: int) -> list[Step]:
    """Steps of `BATCHES` batches: masked prompts, full and reduced weights."""
    draw = np.random.default_rng(0)

    def example(length: int) -> TrainingExample:
        weights = draw.choice([0.0, 1.0, 0.1], length).astype(np.float32)
        weights[-1] = 1.0
        ids = draw.integers(3, 20, length).astype(np.int32)
        return TrainingExample(id="", ids=ids, weights=weights, condition="")

    return [[[example(n) for n in LENGTHS] for _ in range(BATCHES)] for _ in range(count)]


def new_model(kind: str, **more: Any) -> PreTrainedModel:
    """A toy, the same every time, packed; wide enough that attention is not uniform."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SHAPE, **KINDS.get(kind, {}), **more})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(4.0)
    probe_isolation(model)
    return model.train()


def start(config: TrainConfig, model: PreTrainedModel) -> Engine:
    """The engine of a configuration, as a run builds it."""
    choice = choose_engine(config)
    group = choice.join()
    if group is not None:
        probe_sequence_parallel(model, group)
    return choice.build(model, BATCHES // choice.data_ranks, group)


def train(engine: Engine, course: Sequence[Step], lr: float, ranks: int = 1) -> Trained:
    """Trains a course; the batches of a step are dealt to `ranks` in turn."""
    losses: list[float] = []
    for step in course:
        whole = [each.weights[1:].sum(dtype=np.float64) for batch in step for each in batch]
        mine = [engine.own(collate(batch)) for batch in step[engine.data_rank :: ranks]]
        sums = engine.train_step(mine, float(sum(whole)), lr)
        losses.append(float(engine.sum_over_ranks(sums.loss.double().cpu())))
        figures = engine.sum_over_ranks(sums.sequences[:, 0].double().cpu().sum())
        assert abs(float(figures) / float(sum(whole)) / losses[-1] - 1) < 1e-3
    weights = engine.whole_weights()
    return Trained(losses=losses, parameters={n: w.detach().clone() for n, w in weights.items()})


def bf16_stages(folder: Path) -> dict[str, dict[str, float]]:
    """Every stage in bf16 against float32, and against stage 2; and moves from stage to stage."""
    course = steps(20)
    exact = train(SingleProcessEngine(new_model("llama"), CONFIG), course, 3e-3)
    found: dict[str, dict[str, float]] = {}
    ends: dict[int, Trained] = {}
    for stage in (2, 0, 1, 3):
        config = replace(CONFIG, precision="bf16", zero_stage=stage)
        engine = start(config, new_model("llama"))
        ends[stage] = train(engine, course, 3e-3, 2)
        if engine.rank == 0:
            found[f"{stage} to float32"] = ends[stage].distances(exact)
            found[f"{stage} to 2"] = ends[stage].distances(ends[2])
        # Goes on in the next stage: as if it had gone on in this one.
        place = folder / f"stage-{stage}"
        if engine.rank == 0:
            place.mkdir()
        engine.barrier()
        engine.save(place)
        engine.barrier()
        after = train(engine, course[:3], 3e-3, 2)
        # The first of them as it was saved, too: that is DeepSpeed's own way to load.
        for later in (0, 1) if stage == 0 else ((stage + 1) % 4,):
            model = new_model("llama")
            with torch.no_grad():
                if engine.rank == 0:
                    model.load_state_dict(ends[stage].parameters)
                for parameter in model.parameters():
                    torch.distributed.broadcast(parameter, 0)
            other = start(replace(config, zero_stage=later), model)
            other.load(place)
            moved = train(other, course[:3], 3e-3, 2)
            if engine.rank == 0:
                found[f"{stage} moved to {later}"] = moved.distances(after)
    return found


def sequence_parallel() -> dict[str, dict[str, float]]:
    """One process against two ranks that hold every batch together, in float32."""
    course = steps(5)
    found: dict[str, dict[str, float]] = {}
    for kind, stage in (("llama", 3), ("llama", 0), ("mistral", 2), ("gemma2", 1), ("gpt_oss", 2)):
        exact = train(SingleProcessEngine(new_model(kind), CONFIG), course, 1e-3)
        config = replace(CONFIG, zero_stage=stage, sequence_parallel=2)
        engine = start(config, new_model(kind))
        trained = train(engine, course, 1e-3)
        held_out = float(engine.sum_over_ranks(_evaluated(engine, course[0][0])))
        alone = SingleProcessEngine(new_model(kind), CONFIG)
        alone.model.load_state_dict(exact.parameters)
        if engine.rank == 0:
            figures = trained.distances(exact)
            expected = float(_evaluated(alone, course[0][0]))
            found[f"{kind} in stage {stage}"] = {
                **figures,
                "held out": abs(held_out / expected - 1),
            }
    return found


def _evaluated(engine: Engine, examples: Sequence[TrainingExample]) -> torch.Tensor:
    return engine.evaluate(engine.own(collate(examples)))[:, 0].double().cpu().sum()


def nvme() -> str:
    """What is said of NVMe where DeepSpeed lacks libaio; empty where it has it."""
    place = {"stage": 3, "offload_param": {"device": "nvme", "nvme_path": "/nowhere"}}
    try:
        require_storage({"zero_optimization": place})
    except EngineError as error:
        return str(error)
    return ""


def refusals(folder: Path) -> dict[str, str]:
    """What cannot be split, or is not DeepSpeed's to do, and what is said of it."""
    said = {"nvme": nvme()}
    file = folder / f"mixed-{choose_engine(CONFIG).rank}.json"
    file.write_text(json.dumps({"data_types": {"grad_accum_dtype": "fp32"}}))
    mixed = replace(CONFIG, precision="bf16", zero_stage=0, deepspeed_config=file)
    try:
        start(mixed, new_model("llama"))
    except EngineError as error:
        said["mixed"] = str(error)
    config = replace(CONFIG, sequence_parallel=2)
    odd: dict[str, dict[str, Any]] = {
        "one head of keys": {"num_key_value_heads": 1},
        "three heads": {"num_attention_heads": 3, "num_key_value_heads": 3, "hidden_size": 48},
        "dynamic": {
            "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
        },
    }
    for name, more in odd.items():
        try:
            start(config, new_model("llama", **more))
        except ModelError as error:
            said[name] = str(error)
    return said


def whole_runs(folder: Path, model: Path, data: Path) -> None:
    """A run whose batches both ranks hold together; and its first steps, each going on alone."""
    config = replace(RUN, model=model, data=data, output=folder / "split", sequence_parallel=2)
    train_run(config)
    if choose_engine(config).rank == 0:
        place = folder / "parted" / "checkpoints"
        place.mkdir(parents=True)
        shutil.copytree(folder / "split" / "checkpoints" / "step-00000003", place / "step-00000003")
        shutil.copy(folder / "split" / "metrics.jsonl", folder / "parted")
    torch.distributed.barrier()
    parted = replace(config, output=folder / "parted", sequence_parallel=1, accumulation=1)
    train_run(replace(parted, resume=True))


def main() -> None:
    """Trains in all ways."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    choice = choose_engine(CONFIG)
    choice.start()
    whole_runs(folder, Path(sys.argv[2]), Path(sys.argv[3]))
    found = {
        "refusals": refusals(folder),
        "sequence parallel": sequence_parallel(),
        "bf16": bf16_stages(folder),
    }
    if choice.rank == 0:
        (folder / "figures.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
