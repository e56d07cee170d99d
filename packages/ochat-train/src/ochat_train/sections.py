"""How a step's batches are shared out when a run goes on with another number of ranks.

The plan of a run counts batches, not ranks: two batches of a step can be two ranks' or two of one
rank. So fewer ranks carry on the very same steps, each with more batches; more ranks than a step
has batches get what is left planned anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .checkpoint import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How this run's ranks share its steps.

    Attributes:
        sections: (first step, batches of a step), see `PlanSettings.sections`.
        accumulation: batches of one rank in a step from here on.
        note: what a person should know about it; empty where nothing changed.
    """

    sections: tuple[tuple[int, int], ...]
    accumulation: int
    note: str = ""


def share_steps(stored: RunState | None, world_size: int, accumulation: int) -> Sharing:
    """Shares the steps of a run.

    Args:
        stored: where it is continued; None starts it.
        world_size: ranks with batches of their own now.
        accumulation: batches of a rank in a step, as asked for now.
    """
    if stored is None or not stored.sections:
        return Sharing(sections=((0, world_size * accumulation),), accumulation=accumulation)
    slots = stored.sections[-1][1]
    if world_size <= slots:
        several = -(-slots // world_size)
        note = ""
        if world_size != stored.data_ranks:
            note = (
                f"{stored.data_ranks} rank(s) wrote the checkpoint, {world_size} go on: a step "
                f"stays the same {slots} batches, up to {several} of them a rank"
            )
        return Sharing(sections=stored.sections, accumulation=several, note=note)
    slots = world_size * accumulation
    return Sharing(
        sections=(*stored.sections, (stored.step, slots)),
        accumulation=accumulation,
        note=(
            f"{stored.data_ranks} rank(s) wrote the checkpoint, {world_size} go on: what is left "
            f"is planned anew in steps of {slots} batches instead of {stored.sections[-1][1]}"
        ),
    )
