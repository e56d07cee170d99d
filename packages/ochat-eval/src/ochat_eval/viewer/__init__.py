"""One HTML file of a run, in which a person finds wrong answers and why they count as wrong.

Figures come from `summary`; this shows them.
"""

from ochat_eval.viewer.page import write_page

__all__ = ["write_page"]
