"""Turns a skipped test into a failed one where it was promised to run.

`OCHAT_REQUIRE` lists markers (vllm, deepspeed, browser): a machine that can run those tests sets
it, so that nobody takes a skip for a pass.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, object]:
    """Fails a skipped test that carries a required marker."""
    report = yield
    required = os.environ.get("OCHAT_REQUIRE", "").replace(",", " ").split()
    missing = [marker for marker in required if item.get_closest_marker(marker)]
    if report.skipped and missing and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"required here (OCHAT_REQUIRE={missing[0]}), but: {report.longrepr}"
    return report
