"""How long operations report their progress."""

from __future__ import annotations


def unreported(*_: object) -> None:
    """Report no progress."""
