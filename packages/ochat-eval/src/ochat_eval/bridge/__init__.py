"""The bridge to lm-evaluation-harness: run its tasks, read its samples, write ours for it.

Only `running` needs lm-eval, and only as a command of some Python environment: its pins may differ
from ours.
"""

from __future__ import annotations

from ochat_eval.bridge.samples import ImportedRun, import_samples
from ochat_eval.bridge.sharing import export_run
from ochat_eval.bridge.yaml_tasks import export_suite

__all__ = ["ImportedRun", "export_run", "export_suite", "import_samples"]
