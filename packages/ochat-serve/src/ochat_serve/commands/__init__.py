"""Commands beside serving."""

from __future__ import annotations
