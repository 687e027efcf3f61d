"""The packages of extras, which may be missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from eventstore.errors import ConfigurationError


def imported(name: str, extra: str) -> Any:
    """Return a module of an extra, such as `pyarrow.csv` of `frames`.

    Raises:
        ConfigurationError: Its package is not installed; the message says how to install it.
        ModuleNotFoundError: The package is installed, and needs one that is not.
    """
    package = name.partition(".")[0]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ConfigurationError(
            f"{package} is not installed: pip install 'trading-eventstore[{extra}]'"
        ) from None
