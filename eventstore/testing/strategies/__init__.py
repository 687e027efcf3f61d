"""Hypothesis strategies for tests of code that handles orders, positions and portfolios, and of projections.

`orders()`, `positions()` and `portfolios()` generate entities in any reachable state. The `..._histories()`
generate the way to such a state: how the entity was created, and the legal commands after that, so that a
counter-example reads like the code that leads to it. The `..._commands()` generate commands that may be
legal or not.

`event_logs()` generates the events of several legal lives, in the order of a log; `events_of()` events of
any classes; `trading_days()` whole days in which orders, positions and portfolios agree. The events of a
log have everything that events of a live log have, such as metadata, gaps between positions and times of
recording; `recorded_log()` returns them as they are read back.

Ids of executions and trades come from a small pool, so repeats and conflicts do happen. Times lie within
one hour, to the microsecond and in several time zones, and some fills are reported late. It needs the extra
`testing`.

Example:
    @given(order_histories())
    def test_leaves(history):
        order = history.play()[0]
        assert order.leaves_quantity >= 0
"""

from eventstore.testing.strategies.days import (
    ACTIONS_MAX,
    Action,
    TradingDay,
    trading_days,
)
from eventstore.testing.strategies.entities import (
    COMMANDS_MAX,
    EPOCH,
    Command,
    History,
    amounts,
    commissions,
    order_commands,
    order_histories,
    orders,
    portfolio_commands,
    portfolio_histories,
    portfolios,
    position_commands,
    position_histories,
    positions,
    prices,
    quantities,
    times,
)
from eventstore.testing.strategies.streams import (
    RECORDED_FROM,
    LoggedEvent,
    enveloped,
    event_logs,
    events_of,
    histories_of,
    recorded_log,
    recorded_logs,
    shown_event,
    staged_log,
)

__all__ = [
    "ACTIONS_MAX",
    "COMMANDS_MAX",
    "EPOCH",
    "RECORDED_FROM",
    "Action",
    "Command",
    "History",
    "LoggedEvent",
    "TradingDay",
    "amounts",
    "commissions",
    "enveloped",
    "event_logs",
    "events_of",
    "histories_of",
    "order_commands",
    "order_histories",
    "orders",
    "portfolio_commands",
    "portfolio_histories",
    "portfolios",
    "position_commands",
    "position_histories",
    "positions",
    "prices",
    "quantities",
    "recorded_log",
    "recorded_logs",
    "shown_event",
    "staged_log",
    "times",
    "trading_days",
]
