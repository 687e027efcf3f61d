"""What an error says of a name that nobody knows: the name that was probably meant, or those that there are."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_NAMES_MAX = 40
"""How many names a message lists at most: more than any class of this library has."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of an error's message about an unknown name, such as `did you mean 'symbol'?`.

    Args:
        name: The name that was given.
        known: The names that there are.
    """
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.7)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "there are none"
    listed = ", ".join(names[:_NAMES_MAX]) + (", ..." if len(names) > _NAMES_MAX else "")
    return f"there are {listed}" if len(names) > 1 else f"there is {listed}"
