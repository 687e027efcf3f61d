"""By what names positions know their executions, so that a portfolio's trade of one of them does not count twice."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from eventstore.core.event import Amended, RecordedEvent
from eventstore.domain.executions import has_id
from eventstore.domain.position_events import FillKind, PositionFilled, PositionMarked, PositionOpened


class _Where(NamedTuple):
    """Where an execution belongs; None is not known."""

    order_id: UUID | None = None
    account: str | None = None
    venue: str | None = None
    symbol: str | None = None

    def may_be(self, other: _Where) -> bool:
        """Whether nothing that both know differs."""
        return all(
            one is None or another is None or one == another for one, another in zip(self, other, strict=True)
        )


class Names:
    """The executions of positions, by their ids; those without an id together."""

    def __init__(self) -> None:
        self._found: dict[str | None, set[_Where]] = {}

    def add(self, part: RecordedEvent) -> None:
        """Take in what an event of a position names: its executions, and itself, as a trade may have its id."""
        event: Any = part.event
        if isinstance(event, PositionMarked):
            return
        fields = event.__dict__
        symbol = fields.get("symbol")
        self._add(str(part.event_id), _Where())
        listed = event.changes.get("executions", ()) if isinstance(event, Amended) else ()
        for one in event.executions if isinstance(event, PositionOpened) else listed:
            self._add(one.execution_id, _Where(one.order_id, one.account, one.venue, symbol))
        name = fields.get("execution_id")
        if has_id(name) or (isinstance(event, PositionFilled) and event.kind is not FillKind.TRANSFER):
            where = _Where(event.order_id, event.account, event.venue, symbol)
            self._add(name, where)
            replacing = fields.get("new_execution_id")
            if replacing is not None:
                self._add(replacing, where)

    def update(self, other: Names) -> None:
        """Take in all of another."""
        for name, places in other._found.items():
            self._found.setdefault(name, set()).update(places)

    def has(self, trade: Any) -> bool:
        """Whether an event of a portfolio's trade is of one of them; a trade without an id is of any without one."""
        places = self._found.get(trade.execution_id if has_id(trade.execution_id) else None, ())
        where = _Where(trade.order_id, trade.account, trade.venue, trade.symbol)
        return where in places or any(where.may_be(one) for one in places)

    def _add(self, name: str | None, where: _Where) -> None:
        self._found.setdefault(name if has_id(name) else None, set()).add(where)
