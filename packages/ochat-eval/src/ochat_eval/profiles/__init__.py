"""Profiles: the rules of older graders, kept so that published numbers stay comparable.

They grade the same stored responses beside ours and are known to be wrong in places; what each does
is in its module. A family that a profile never graded has no verdict in it.
"""

from __future__ import annotations

from ochat_eval.profiles.table import profile_grader, profile_names, profile_verdict

__all__ = ["profile_grader", "profile_names", "profile_verdict"]
