"""What became of the records of a run, step by step: read = used + dropped + rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ochat_data.errors import InputError, RejectRateError
from ochat_data.manifest import StageInfo

from .encode import counts_from_json

if TYPE_CHECKING:
    from .assembling import Mixture


def prepared_stages(summaries: Sequence[dict[str, Any]]) -> list[StageInfo]:
    """The balances of the steps that see one record at a time, over all chunks."""
    totals: dict[str, Counter[str]] = {}
    dropped: dict[str, Counter[str]] = {}
    for summary in summaries:
        for step, balance in summary["balances"].items():
            sums = totals.setdefault(step, Counter())
            for key in ("read", "used", "written", "rejected"):
                sums[key] += balance[key]
            dropped.setdefault(step, Counter()).update(balance["dropped"])
    repairs: Counter[str] = Counter()
    for summary in summaries:
        repairs.update(summary["repairs"])
    return [
        StageInfo(
            name=step,
            read=sums["read"],
            used=sums["used"],
            written=sums["written"],
            rejected=sums["rejected"],
            dropped=dict(sorted(dropped[step].items())),
            repairs=dict(sorted(repairs.items())) if step == "clean" else {},
        )
        for step, sums in totals.items()
    ]


def check_rejects(
    stage: StageInfo, summaries: Sequence[dict[str, Any]], most: float, rejects: Path
) -> None:
    """Fails a run of which a step has nothing to show, or too many rejects.

    Raises:
        InputError: There is no usable record.
        RejectRateError: More than the share `most` was rejected.
    """
    first = next((text for each in summaries if (text := each["first_reject"])), "")
    if not stage.read and stage.name == "import":
        raise InputError("the sources hold no records; check 'files'")
    if stage.rejected and stage.rejected == stage.read:
        raise InputError(
            f"{stage.name} rejected all {stage.read} records (see {rejects}); the first: {first}"
        )
    if stage.rejected > most * stage.read:
        raise RejectRateError(
            f"{stage.name} rejected {stage.rejected} of {stage.read} records (all in {rejects}), "
            f"more than [limits] max_reject_rate = {most:g} allows; the first: {first}"
        )


def dedup_stage(records: int, kept: int) -> StageInfo:
    """The balance of the search for duplicates."""
    reasons = {"duplicate": records - kept} if records > kept else {}
    return StageInfo(name="dedup", read=records, used=kept, written=kept, dropped=reasons)


def tokenize_stage(summaries: Sequence[dict[str, Any]]) -> StageInfo:
    """The balance of tokenization, and of sources of which only a share enters."""
    counts = [counts_from_json(summary["counts"]) for summary in summaries]
    reasons = {
        "not in the mixture": sum(summary["left_out"] for summary in summaries),
        "too long": sum(each.too_long for each in counts),
        "nothing to learn": sum(each.nothing_to_learn for each in counts),
    }
    return StageInfo(
        name="tokenize",
        read=sum(summary["read"] for summary in summaries),
        used=sum(each.used for each in counts),
        written=sum(summary["examples"] for summary in summaries),
        rejected=sum(summary["rejected"] for summary in summaries),
        dropped={reason: number for reason, number in reasons.items() if number},
    )


def mix_stage(mixture: Mixture) -> StageInfo:
    """The balance of sources of which a number of tokens is taken."""
    missing = mixture.records - mixture.taken
    return StageInfo(
        name="mix",
        read=mixture.records,
        used=mixture.taken,
        written=sum(mixture.examples.values()),
        dropped={"not in the mixture": missing} if missing else {},
    )


def describe_stage(stage: StageInfo) -> str:
    """A balance as one line."""
    made = "" if stage.written == stage.used else f" ({stage.written} made of them)"
    parts = [f"{stage.read} in = {stage.used} out{made}"]
    parts += [f"{count} dropped ({reason})" for reason, count in stage.dropped.items()]
    parts.append(f"{stage.rejected} rejected")
    repairs = ", ".join(f"{repair} {count}" for repair, count in stage.repairs.items())
    return f"{stage.name}: {' + '.join(parts)}{f'; repairs: {repairs}' if repairs else ''}"
