"""How much the property tests try: `HYPOTHESIS_PROFILE=full`, as `make test-all` sets it, means ten times as much."""

from __future__ import annotations

import os

__all__ = ["examples"]

_TIMES = {"default": 1, "full": 10}


def examples(usual: int) -> int:
    """The number of examples, of a test that tries so many by default."""
    return usual * _TIMES[os.environ.get("HYPOTHESIS_PROFILE", "default")]
