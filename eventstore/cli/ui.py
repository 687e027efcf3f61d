"""`ui`: serves the inspector, a page in the browser that shows the store."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Mapping
from decimal import Decimal
from importlib.util import find_spec
from typing import Annotated
from urllib.parse import urlencode

import typer

from eventstore.cli import ids
from eventstore.cli.asked import Rates, rates_of
from eventstore.cli.modules import kept_projections
from eventstore.cli.output import say, say_error
from eventstore.cli.running import NotFoundError
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.domain.portfolio import Portfolio
from eventstore.errors import ConfigurationError
from eventstore.store import EventStore, built_in_projections

_HERE = "127.0.0.1"
_PORT = 8765
_TOKEN_VARIABLE = "EVENTSTORE_UI_TOKEN"  # noqa: S105 - the name of a variable
_NEEDED = ("jinja2", "plotly", "starlette", "uvicorn")
_LOOPBACK = (_HERE, "::1", "localhost")


def ui(  # noqa: PLR0917 - the command's options
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen at.")] = _HERE,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="The port; 0 for a free one.")
    ] = _PORT,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            help=f"The secret of the address. Default: the variable {_TOKEN_VARIABLE}, or a new one. Other users of the "
            "machine can see a command's options.",
        ),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let everybody in who reaches the address.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="A further name under which browsers reach the server; may be repeated. Default: the loopback names, and "
            "that of --host.",
        ),
    ] = None,
    allow_operations: Annotated[
        bool,
        typer.Option(
            "--allow-operations",
            help="Let the pages rebuild, retry, discard and seal; otherwise they only read.",
        ),
    ] = False,
    portfolio: Annotated[
        str | None,
        typer.Option(
            "--portfolio",
            metavar="NAME|ID",
            help="The portfolio of the time slider. Default: the one that was created last.",
        ),
    ] = None,
    rate: Rates = None,
    url: Url = None,
    data: Data = None,
) -> None:
    """Serve a page in the browser that shows the store, until SIGINT (Ctrl-C) or SIGTERM ends the command with status 0."""
    require_extra()
    if no_token and token is not None:
        raise ConfigurationError("--token and --no-token exclude each other: give one of them")
    rates = rates_of(rate)
    secret = None if no_token else token or os.environ.get(_TOKEN_VARIABLE) or secrets.token_urlsafe(24)
    names = {host, *(allow_host or ())}
    with configuration(url, data) as config:
        asyncio.run(
            _serve(
                config,
                host,
                port,
                secret=secret,
                names=names,
                allow_operations=allow_operations,
                portfolio=portfolio,
                rates=rates,
            )
        )


def serve_here(config: DatabaseConfig) -> None:
    """Serve the inspector at a free port of this machine, with a new token, until SIGINT or SIGTERM."""
    asyncio.run(_serve(config, _HERE, 0, secret=secrets.token_urlsafe(24), names={_HERE}))


async def _serve(
    config: DatabaseConfig,
    host: str,
    port: int,
    *,
    secret: str | None,
    names: set[str],
    allow_operations: bool = False,
    portfolio: str | None = None,
    rates: Mapping[str, Decimal] | None = None,
) -> None:
    from eventstore.ui import Token, inspector  # noqa: PLC0415 - the extra may be missing
    from eventstore.ui.access import LOOPBACK  # noqa: PLC0415 - as above
    from eventstore.ui.server import listen, serve  # noqa: PLC0415 - as above

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with EventStore.open(config, workers=False) as store:
        kept, _ = await kept_projections(store.connection)
        built_in = {one.name for one in built_in_projections()}
        app = inspector(
            store,
            authenticate=None if secret is None else Token(secret),
            allow_operations=allow_operations,
            projections=[one for one in kept if one.name not in built_in],
            portfolio=None if portfolio is None else await _find_portfolio(store, portfolio),
            rates=rates,
            hosts={*LOOPBACK, *(f"[{name}]" if ":" in name else name for name in names)},
        )
        with listen(host, port) as listener:
            _say_address(host, listener.getsockname()[1], secret)
            await serve(app, listener, stop=stop)
    say("stopped")


def _say_address(host: str, port: int, secret: str | None) -> None:
    if host not in _LOOPBACK:
        say_error(
            f"the inspector listens at {host} without encryption: whoever sees the traffic sees the log and the token"
        )
    if secret is None:
        say_error("without a token, every user of this machine can see the log")
    name = f"[{host}]" if ":" in host else host
    query = "" if secret is None else f"?{urlencode({'token': secret})}"
    say(f"the inspector is at http://{name}:{port}/{query}")


async def _find_portfolio(store: EventStore, given: str) -> Portfolio:
    portfolio_id = await ids.find(store, given, "portfolio")
    async with store.unit_of_work() as uow:
        found = await uow.portfolios.get_portfolio_by_id(portfolio_id)
    if found is None:
        raise NotFoundError(f"there is no portfolio {given}, neither as a name nor as an id")
    return found


def require_extra() -> None:
    """Refuse in one line if the packages of the inspector are not installed."""
    if any(find_spec(name) is None for name in _NEEDED):
        raise ConfigurationError("the inspector is not installed: pip install 'trading-eventstore[ui]'")
