"""The errors this package raises; a caller that catches `DataError` has caught them all.

DataError
├── InputError         an input file is missing, unreadable, or holds nothing usable
├── OutputError        an output cannot be written, or already exists
├── RecordError        one record has a wrong field; it is set aside, the run goes on
├── RejectRateError    more records were set aside than the run allows
├── LabelError         a label map is wrong, or a record's model is not in it
├── DatasetError       a token dataset is missing, corrupt, empty or of another version
└── PackingError       lengths, capacity or ranks that no plan can satisfy
"""

from __future__ import annotations


class DataError(Exception):
    """Base of every error of this package; its text is one sentence meant for a person."""


class InputError(DataError):
    """An input file is missing, unreadable, or holds nothing usable."""


class OutputError(DataError):
    """An output cannot be written there, or already exists."""


class RecordError(DataError):
    """One record is not what was expected; the text names the field."""


class RejectRateError(DataError):
    """More records were rejected than the run allows."""


class LabelError(DataError):
    """A label map is wrong, or a record's model is not in it."""


class DatasetError(DataError):
    """A token dataset is missing, corrupt, empty, or of a version unknown here."""


class PackingError(DataError):
    """Lengths, capacity or number of ranks that no plan can satisfy."""
