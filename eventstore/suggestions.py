"""The hint in an error about an unknown name: the name that was probably meant, or the known names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_NAMES_MAX = 40
"""The most names that a message lists: more than any class of this library has."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of an error's message about an unknown name, such as `did you mean 'symbol'?`.

    Args:
        name: The unknown name.
        known: The known names.
    """
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.7)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "there are none"
    listed = ", ".join(names[:_NAMES_MAX]) + (", ..." if len(names) > _NAMES_MAX else "")
    return f"there are {listed}" if len(names) > 1 else f"there is {listed}"
