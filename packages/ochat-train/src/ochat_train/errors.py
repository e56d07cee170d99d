"""Every error that ochat-train raises on purpose.

Messages are written where the error is raised; this module only draws the tree.

    TrainError
    ├── ConfigError        an option is impossible or contradicts another
    ├── DataError          the token dataset cannot be trained on
    ├── ModelError         the model folder cannot be used
    │   └── IsolationError   sequences packed together would see each other
    ├── OutputError        the output folder is in the way or cannot be written
    ├── CheckpointError    a checkpoint is missing, damaged or belongs to another run
    ├── StoppedError       the run was asked to stop and can be resumed
    ├── DivergedError      the loss or the gradient is no longer a finite number
    └── EngineError        the distributed engine cannot start or do what was asked
"""

from __future__ import annotations


class TrainError(Exception):
    """Root of the tree; the command line prints its message and exits with code 1."""


class ConfigError(TrainError):
    """An option has an impossible value or contradicts another option."""


class DataError(TrainError):
    """The token dataset cannot be trained on: empty, too long, or made for another model."""


class ModelError(TrainError):
    """The model folder is missing something or does not fit the dataset."""


class IsolationError(ModelError):
    """The architecture lets sequences of one packed batch influence each other."""


class OutputError(TrainError):
    """The output folder already holds a run, or a result could not be written or verified."""


class CheckpointError(TrainError):
    """A checkpoint is missing, damaged, or was written by a run with other settings."""


class StoppedError(TrainError):
    """The run was stopped from outside, wrote a checkpoint, and can be resumed."""


class DivergedError(TrainError):
    """Training produced a loss or a gradient norm that is not finite."""


class EngineError(TrainError):
    """The distributed engine cannot start, or cannot do what was asked of it."""


def first_line(error: Exception) -> str:
    """The first line of another library's message, for use inside one of ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
