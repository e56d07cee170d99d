"""The errors of this package: every message is one sentence that ends with what to do.

The tree:

    EvalError
    ├── QuestionError          a suite that cannot be read: missing file, corrupt line, no family
    │   └── TaskError          a task file that cannot be read, or a task that nobody knows
    ├── FamilyError            a grader family that this version does not know or does not have yet
    ├── GradingError           a label or option list that no response could ever be graded against
    │   └── CodeNotAllowedError  grading would run the model's code, which was not allowed
    ├── ServerError            the server cannot be evaluated: wrong key, wrong model, no such route
    │   └── UnreachableError   nothing answers there, or it stopped answering during the run
    ├── JudgeError             files of judged answers that cannot be used, or a judge that cannot
    └── RunFolderError         a run folder that is missing, corrupt or of another configuration

An answer of the model that cannot be graded is no error: it is a `Verdict`.
"""

from __future__ import annotations


class EvalError(Exception):
    """Root of everything this package raises on purpose."""


class QuestionError(EvalError):
    """A suite cannot be read; the message names the file, the line and the remedy."""


class TaskError(QuestionError):
    """A task's TOML file is wrong, or no task has that name."""


class FamilyError(EvalError):
    """A family is unknown, or its grader is not part of this version."""


class GradingError(EvalError):
    """The label or the options make grading impossible, whatever the response."""


class CodeNotAllowedError(GradingError):
    """Grading would run code that a model wrote, and nobody allowed that."""


class ServerError(EvalError):
    """The server answers, but the evaluation cannot go on: key, model name or address is wrong."""


class UnreachableError(ServerError):
    """Nothing answers at the base URL (any more)."""


class JudgeError(EvalError):
    """A file of answers or judgements is wrong, or judging cannot go on as asked."""


class RunFolderError(EvalError):
    """A run folder is missing, corrupt, or belongs to another configuration."""
