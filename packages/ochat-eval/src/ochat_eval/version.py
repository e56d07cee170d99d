"""Which version of this package runs; for manifests and `--version`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version of the installed distribution; "source" where it is only on the path."""
    try:
        return version("ochat-eval")
    except PackageNotFoundError:
        return "source"
