"""One file that says how raw dumps become a token dataset, and what runs it.

recipe      what the file may say
chunks      cuts the sources into pieces of work
prepare     one piece: import, clean, filter, label
encode      one piece: leave out duplicates, tokenize
work_folder what is done already, so that a killed run goes on
executors   where pieces are worked on: here, in processes, on a Ray cluster
running     the whole
"""

from .recipe import Recipe, read_recipe
from .running import run_pipeline

__all__ = ["Recipe", "read_recipe", "run_pipeline"]
