"""The published training commands, word for word but for the paths."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ochat_data import TokenizeOptions, write_token_dataset
from ochat_data.legacy_conversion import export_legacy
from ochat_data.weighting import Weighting
from ochat_templates import load_codec
from ochat_train import TrainError
from ochat_train.config import TrainConfig
from ochat_train.deepspeed_config import read_deepspeed_config
from ochat_train.legacy_command import _parser, main, to_config

PUBLISHED = """
    --model-type openchat_v3.2
    --model_path imone/LLaMA2_13B_with_EOT_token
    --data_path openchat_sharegpt_v3/sharegpt_v3.2
    --save_path PATH_TO_SAVE_MODEL
    --epochs 5
    --lr 2e-5
    --eps 1e-5
    --batch_size_per_gpu 8
    --lr_warmup_steps 100
    --loss_balancing
    --deepspeed
    --deepspeed_config ochat/training_deepspeed/deepspeed_config.json
"""


def parsed(text: str, *more: str) -> TrainConfig:
    return to_config(_parser().parse_args(["--local_rank=0", *shlex.split(text), *more]))


def test_the_published_flags_mean_what_they_meant() -> None:
    config = parsed(PUBLISHED)
    assert config.model == Path("imone/LLaMA2_13B_with_EOT_token")
    assert config.data == Path("openchat_sharegpt_v3/sharegpt_v3.2")
    assert (config.epochs, config.lr, config.eps, config.warmup_steps) == (5, 2e-5, 1e-5, 100)
    assert config.batch_tokens == 8 * 4096
    assert (config.loss_mode, config.average) == ("dataset", "weights")
    assert config.engine == "deepspeed"


def test_the_other_flags_do_too(capsys: pytest.CaptureFixture[str]) -> None:
    text = PUBLISHED.replace("--loss_balancing", "").replace("--model-type", "--model_type")
    more = "--lr_min_ratio 0.2 --weight_decay 0.3 --beta1 0.8 --beta2 0.7 --save_every 2"
    config = parsed(text, *shlex.split(more), "--no_weighted_average")
    assert (config.lr_min_ratio, config.weight_decay) == (0.2, 0.3)
    assert (config.beta1, config.beta2) == (0.8, 0.7)
    assert (config.loss_mode, config.average) == ("sequence", "sequences")
    assert "--save_every: a checkpoint is written after every epoch" in capsys.readouterr().err


def test_the_published_configuration_is_shipped_under_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = parsed(PUBLISHED)
    settings = read_deepspeed_config(config)
    assert settings.precision == "bf16"
    assert settings.settings["zero_optimization"]["stage"] == 2
    assert settings.settings["gradient_clipping"] == 1.0
    # A file of one's own at that path wins.
    own = tmp_path / "ochat" / "training_deepspeed" / "deepspeed_config.json"
    own.parent.mkdir(parents=True)
    own.write_text(json.dumps({"zero_optimization": {"stage": 1}}))
    assert read_deepspeed_config(parsed(PUBLISHED)).settings["zero_optimization"]["stage"] == 1


def test_an_unknown_model_type_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TrainError, match="openchat_v9"):
        parsed(PUBLISHED.replace("openchat_v3.2", "openchat_v9", 1))
    assert main(shlex.split(PUBLISHED.replace("openchat_v3.2", "openchat_v9", 1))) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.deepspeed
@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("g++", "ninja")),
    reason="DeepSpeed compiles an extension: needs g++ and ninja",
)
def test_the_published_command_trains_from_the_published_layout(
    base_model: Path, records: Any, tmp_path: Path
) -> None:
    codec = load_codec(base_model, "openchat_v3.2")
    options = TokenizeOptions(
        max_length=200, eval_fraction=0.2, weighting=Weighting(preset="v3-balanced")
    )
    write_token_dataset(tmp_path / "set", records(), codec, options)
    export_legacy(tmp_path / "set", str(tmp_path / "sharegpt_v3.2"), "2023")
    model = tmp_path / "model"
    shutil.copytree(base_model, model)
    from transformers import AutoConfig, AutoModelForCausalLM

    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model)).save_pretrained(model)
    text = (
        PUBLISHED.replace("imone/LLaMA2_13B_with_EOT_token", str(model))
        .replace("openchat_sharegpt_v3/sharegpt_v3.2", str(tmp_path / "sharegpt_v3.2"))
        .replace("PATH_TO_SAVE_MODEL", str(tmp_path / "saved"))
    )
    launcher = [str(Path(sys.executable).with_name("deepspeed")), "--num_gpus", "2"]
    launcher += ["--master_port", "29519", "--module", "ochat.training_deepspeed.train"]
    extensions = {"TORCH_EXTENSIONS_DIR": str(tmp_path / "extensions"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, *shlex.split(text)],
        env={**os.environ, **extensions},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "saved" / "model" / "model.safetensors").is_file()
    card = json.loads((tmp_path / "saved" / "model" / "openchat.json").read_text())
    assert card["training"]["world_size"] == 2
    assert card["training"]["loss_mode"] == "dataset"
