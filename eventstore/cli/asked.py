"""The options that all reports have, and what they ask for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from eventstore.cli.times import time_of
from eventstore.errors import ConfigurationError
from eventstore.reports.money import rates_in
from eventstore.time_zones import zone_named

_INTERVAL_S = 2.0
_POSITION_DIGITS_MAX = 18


class Clock(StrEnum):
    """The clock of a point in time."""

    RECORDED = "recorded"
    OCCURRED = "occurred"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options of a report ask for.

    Attributes:
        portfolio: What names the portfolio.
        filters: The other filters of the report, by their names in `store.reports`.
        zone: The time zone of the times that are shown.
        columns: The columns that are shown; empty for the usual ones.
        as_json: Whether to print JSON.
        as_csv: Whether to print comma-separated values.
        watch_s: Seconds between two looks at the log; None to print once.
        when: The point in time as it was written; empty for now.
    """

    portfolio: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    zone: tzinfo = UTC
    columns: tuple[str, ...] = ()
    as_json: bool = False
    as_csv: bool = False
    watch_s: float | None = None
    when: str = ""


def _asked(  # noqa: PLR0917 - the options of every report
    portfolio: Annotated[
        str | None,
        typer.Option(
            "--portfolio",
            metavar="P",
            help="Only this portfolio: its id, the beginning of its id, or its name.",
        ),
    ] = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", metavar="S", help="Only this strategy.")
    ] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", metavar="S", help="Only this symbol.")] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="A", help="Only this account.")] = None,
    currency: Annotated[
        str | None, typer.Option("--currency", metavar="C", help="Only amounts in this currency.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Only from this time on: 2026-03-02, 2026-03-02T15:59:59, now, today or yesterday; a date is the time at "
            "which its day begins.",
        ),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Only before this time.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME|POSITION",
            help="As of a time, or of a position of the log such as 81734.",
        ),
    ] = None,
    clock: Annotated[
        Clock | None,
        typer.Option(
            "--clock",
            help="With --as-of TIME: what was known then (recorded, the default), or what was true then, with late reports "
            "(occurred).",
        ),
    ] = None,
    timezone: Annotated[
        str,
        typer.Option(
            "--timezone",
            metavar="ZONE",
            help="The time zone of times that you give without an offset, and of the table, such as America/New_York.",
        ),
    ] = "UTC",
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="NAMES",
            help="The columns, separated by commas, or all. Default: in JSON and CSV all, in a table the usual ones.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object per line; decimals are strings, times in UTC."),
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print comma-separated values: exact, times in UTC.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Show the newest rows again whenever the log has grown, until Ctrl-C."),
    ] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.1, help="The interval of --watch.")
    ] = _INTERVAL_S,
) -> Asked:
    """Return what the options ask for.

    Raises:
        ConfigurationError: A time, a time zone or a combination is wrong.
    """
    if as_json and as_csv:
        raise ConfigurationError("--json and --csv exclude each other: give one of them")
    if watch and as_csv:
        raise ConfigurationError("--watch shows a table, or with --json one array per line: leave out --csv")
    if watch and as_of is not None:
        raise ConfigurationError("the past does not change: give --watch or --as-of, but not both")
    zone = zone_named(timezone)
    filters: dict[str, Any] = {
        "strategy": strategy,
        "symbol": symbol,
        "account": account,
        "currency": currency,
    }
    filters |= {
        name: None if text is None else time_of(text, option, zone)
        for name, option, text in (("from_", "--from", since), ("to", "--to", until))
    }
    return Asked(
        portfolio=portfolio,
        filters=filters | _point(as_of, clock, zone),
        zone=zone,
        columns=tuple(name.strip() for name in columns.split(",")) if columns is not None else (),
        as_json=as_json,
        as_csv=as_csv,
        watch_s=interval_s if watch else None,
        when="" if as_of is None else as_of,
    )


def _point(as_of: str | None, clock: Clock | None, zone: tzinfo) -> dict[str, int | datetime]:
    if as_of is None:
        if clock is not None:
            raise ConfigurationError("--clock says how a time counts: give --as-of TIME too")
        return {}
    if as_of.isascii() and as_of.isdecimal():
        if clock is not None:
            raise ConfigurationError(
                "--clock needs a time, and a position is a place in the log: give --as-of TIME"
            )
        if len(as_of) > _POSITION_DIGITS_MAX:
            raise ConfigurationError(f"--as-of {as_of} is beyond every position of a log")
        return {"position": int(as_of)}
    when = time_of(as_of, "--as-of", zone)
    return {"occurred_at" if clock is Clock.OCCURRED else "recorded_at": when}


def with_report_options(
    *, without: Collection[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command the options of reports in the place of its parameter `asked`.

    Args:
        without: The names of the options, as parameters of `_asked`, that the command does not have.
    """
    options = {name: one for name, one in inspect.signature(_asked).parameters.items() if name not in without}

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command).parameters

        @wraps(command)
        def reported(**given: Any) -> Any:
            asked = _asked(**{name: given.pop(name) for name in options if name in given})
            return command(asked=asked, **given)

        # typer reads the options from the signature and the annotations; unresolved annotations are strings.
        hints = get_type_hints(_asked, include_extras=True) | get_type_hints(command, include_extras=True)
        shown = [one for name, one in own.items() if name not in {"asked", "url", "data"}]
        parameters = [
            each.replace(annotation=hints[each.name], kind=inspect.Parameter.KEYWORD_ONLY)
            for each in (*shown, *options.values(), own["url"], own["data"])
        ]
        reported.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        reported.__annotations__ = {each.name: each.annotation for each in parameters}
        return reported

    return decorated


def rates_of(texts: list[str] | None) -> dict[str, Decimal] | None:
    """Return the rates that `--rate CURRENCY=RATE` and `--rate PAIR=RATE` give; None if none is given.

    Raises:
        ConfigurationError: As `rates_in`.
    """
    return rates_in("--rate", texts or ()) or None


Rates = Annotated[
    list[str] | None,
    typer.Option(
        "--rate",
        metavar="CURRENCY=RATE",
        help="What one unit of a currency is worth: EUR=1.0842 in the base currency, EUR/USD=1.0842 in dollars. May be repeated; "
        "pairs are crossed. Without rates each currency has its own rows.",
    ),
]
"""The option `--rate`."""

Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the last N rows.")]
"""The option `--limit`."""

Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="C",
        help="With --rate: the currency of all amounts. Default: that of the portfolios.",
    ),
]
"""The option `--base`."""

SessionEnd = Annotated[
    str | None,
    typer.Option(
        "--session-end",
        metavar="HH:MM",
        help="When a trading day ends, in --timezone; what follows belongs to the next day. Default: at midnight.",
    ),
]
"""The option `--session-end`."""
