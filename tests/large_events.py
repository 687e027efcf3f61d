"""Events of any size."""

from __future__ import annotations

from typing import Any

from eventstore.core.event import Event


class SizeNoted(Event, category="tested size"):
    """An event of any size."""

    text: str


class AnythingNoted(Event, category="tested size"):
    """An event of any JSON."""

    value: Any = None
