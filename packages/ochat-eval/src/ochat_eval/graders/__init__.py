"""Graders: pure functions from a response and a label to a `Verdict`, one for each kind of answer.

Which family uses which grader is in `families`; where responses come from is not known here.
"""

from __future__ import annotations

from ochat_eval.graders.choice import grade_choice
from ochat_eval.graders.families import family_names, grade, require_family
from ochat_eval.graders.number import grade_number

__all__ = ["family_names", "grade", "grade_choice", "grade_number", "require_family"]
