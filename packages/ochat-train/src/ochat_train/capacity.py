"""How many tokens a batch may hold, from what was asked for and what the dataset needs."""

from __future__ import annotations

from .errors import ConfigError

_ROUND_TO = 1024
_LONGEST_TIMES = 4


def default_capacity(longest: int) -> int:
    """Four times the longest example, rounded up: enough for the packer to fill over 99 %."""
    return -(-longest * _LONGEST_TIMES // _ROUND_TO) * _ROUND_TO


def choose_capacity(batch_tokens: int | None, longest: int) -> int:
    """The batch's capacity: what was asked for, else the default for this dataset.

    Raises:
        ConfigError: the longest example does not fit.
    """
    if batch_tokens is None:
        return default_capacity(longest)
    if batch_tokens < longest:
        raise ConfigError(
            f"--batch-tokens is {batch_tokens} but the longest example has {longest} tokens; give "
            f"at least {longest} (four times that packs well), tokenize with a shorter "
            "--max-length, or pass --overlong cut or --overlong drop"
        )
    return batch_tokens
