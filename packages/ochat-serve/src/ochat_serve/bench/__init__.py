"""`ochat-serve bench`: a load generator for any OpenAI endpoint.

Only the standard library: what measures a server should weigh less than it.
"""

from __future__ import annotations
