"""Sends a run's figures to TensorBoard or Weights & Biases, beside the file that is always written.

Both are extras; this is the only module that imports them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from .config import TrainConfig
    from .metrics import MetricsSink


def open_services(config: TrainConfig, settings: Mapping[str, object]) -> list[MetricsSink]:
    """The services that a run asks for.

    Raises:
        ConfigError: the package of one is missing.
    """
    services: list[MetricsSink] = []
    if config.tensorboard:
        services.append(TensorBoard(config.output / "tensorboard"))
    if config.wandb is not None:
        services.append(WeightsAndBiases(config.wandb, config.output, settings))
    return services


class TensorBoard:
    """Event files for `tensorboard --logdir OUTPUT/tensorboard`."""

    def __init__(self, folder: Path) -> None:
        """Writes into `folder`.

        Raises:
            ConfigError: the package tensorboard is missing.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "--tensorboard needs: pip install 'ochat-train[tensorboard]'"
            ) from error
        self._writer: Any = SummaryWriter(str(folder))

    def write(self, *events: Mapping[str, object]) -> None:
        """Adds every number of every event."""
        for event in events:
            step = event["step"]
            for name, value in _numbers(event):
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Closes the files."""
        self._writer.close()


class WeightsAndBiases:
    """A run of a project; its address and key are the service's own business (`wandb login`)."""

    def __init__(self, project: str, output: Path, settings: Mapping[str, object]) -> None:
        """Starts the run; one that is resumed goes on under its name.

        Raises:
            ConfigError: the package wandb is missing.
        """
        try:
            import wandb
        except ImportError as error:
            raise ConfigError("--wandb needs: pip install 'ochat-train[wandb]'") from error
        self._run: Any = wandb.init(
            project=project,
            name=output.resolve().name,
            dir=str(output),
            config=dict(settings),
            resume="allow",
        )

    def write(self, *events: Mapping[str, object]) -> None:
        """Logs every number; steps that were logged before are left to the service."""
        for event in events:
            self._run.log(dict(_numbers(event)), step=event["step"])

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


def _numbers(event: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """The numbers of an event under names such as `train/loss` and `eval/GPT4/loss`."""
    for name, value in _flat(event):
        if name not in ("event", "step"):
            yield f"{event['event']}/{name}", value


def _flat(values: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    # A condition's figures are looked at most: `train/GPT4/loss`, but `train/sources/NAME/loss`.
    for name, value in values.items():
        if isinstance(value, dict):
            prefix = "" if name == "conditions" else f"{name}/"
            for other, number in _flat(value):
                yield f"{prefix}{other}", number
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
