"""Hypothesis strategies for tests of code that handles orders, positions and portfolios, and of projections.

`orders()`, `positions()` and `portfolios()` give entities in any state that commands can bring them to. The
`..._histories()` give the way there: how the entity was made, and the commands that were legal, so that a counter-example
reads as the lines of code that lead to it. The `..._commands()` give commands that may be legal or not.

`event_logs()` gives the events of several legal lives, in the order of a log; `events_of()` events of any classes;
`trading_days()` whole days, in which orders, positions and portfolios agree. The events of a log have all that those of a live
one have, such as metadata, gaps between positions and times of recording; `recorded_log()` gives them as they are read back.

Ids of executions and trades come from a small pool, so repeats and conflicts do happen; times lie in one hour, to
the microsecond and by several clocks, so that fills are reported late. Needs the extra `testing`.

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
