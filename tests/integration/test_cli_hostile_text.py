"""What a command prints of text from outside: no markup, no control character, and one line for one event."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from eventstore.cli import application
from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.evidence import seal
from projections import Projection, Table
from tests.command_line import run
from tests.conftest import url_of

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
MARKUP = "[/SETTLEMENT] [/x] [bold]b[/bold] [link=http://e]c[/link]"
CONTROLS = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b1A\x7f\x08"
    "\r\n        9 2026-01-01 FORGED\u2028FORGED\u2029\x85FORGED\x0b\x0c\x1d"
    "\u202egnp\u2066\u200b\u200d\ufeff\u3164"
)
TEXT = f"{MARKUP} {CONTROLS}"
ESCAPED = r"\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b1A\x7f\x08\r\n"
# Those that read nothing that was written by others: of what they print, the arguments are the user's own.
WITHOUT_FOREIGN_TEXT = {
    "demo",
    "url",
    "completion",
    "schema check",
    "schema snapshot",
    "work",
    "snapshot",
    "ui",
}


@dataclass(frozen=True)
class Held:
    """A row of a projection whose names are hostile."""

    symbol: str


class HostileNames(Projection[Held]):
    """Its name, its table and its errors have everything in them."""

    name = f"hostile {CONTROLS}"[:60]
    table = Table("hostile [/x]\x1b[31m\n", row=Held, key=("symbol",))
    events = ()

    def key(self, event: Any) -> tuple[Any, ...]:
        """Nothing."""
        return (event.stream_id,)

    def evolve(self, row: Held | None, event: Any) -> Held | None:  # noqa: ARG002
        """Nothing."""
        return row


async def fill(store: EventStore) -> tuple[Order, int]:
    """A log with hostile text in every place, some of it written by another program; return an order, and the events."""
    order = Order.create_market_order(TEXT, Decimal(10), OrderSide.BUY, strategy=TEXT, tags=[TEXT, "plain"])
    order.reject(TEXT)
    position = Position.open_position(TEXT, Decimal(2), Decimal(10), strategy=TEXT)
    portfolio = Portfolio(name=TEXT, initial_capital=Decimal(1000), strategy=TEXT)
    async with store.unit_of_work(
        actor=TEXT, metadata={TEXT: [TEXT], "correlation_id": "[/x]\x1b[2J"}
    ) as uow:
        await uow.orders.save_order(order)
        await uow.positions.save_position(position)
        await uow.portfolios.save_portfolio(portfolio)
    async with store.connection.acquire() as connection:
        for data in ("[1]", '"x"', "7", json.dumps({TEXT: {TEXT: TEXT}, "n": [TEXT]}, ensure_ascii=False)):
            await connection.execute(
                "INSERT INTO events (position, occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, "
                "type, data, metadata) VALUES (nextval('events_position_seq'), now(), now(), 1, 1, gen_random_uuid(), "
                "gen_random_uuid(), $1, $1, $2::text::jsonb, '[2]')",
                TEXT,
                data,
            )
        for name in (TEXT, "orders"):
            await connection.execute(
                "INSERT INTO projection_quarantine VALUES ($1, $2, $3, 1, $4, $5, $6)",
                name, json.dumps([TEXT]), order.id, TEXT, f"{TEXT}\nposition: 99", TEXT,
            )  # fmt: skip
        await connection.execute("INSERT INTO projections (name) VALUES ($1)", TEXT)
        await connection.execute(
            "INSERT INTO projection_checkpoints (projection, partition, position) VALUES ($1, 0, 0)", TEXT
        )
        await connection.execute("INSERT INTO projection_discards VALUES ('orders', 2, $1, $1, $1)", TEXT)
    await seal(store.log)
    return order, 8


def assert_harmless(name: str, done: subprocess.CompletedProcess[str], statuses: set[int]) -> None:
    """The command ended as it should, and all that it printed can be seen."""
    said = done.stdout + done.stderr
    assert done.returncode in statuses, (name, said[-2000:])
    assert "Traceback" not in done.stderr, (name, done.stderr[-2000:])
    hidden = {one for one in said if unicodedata.category(one) in HIDDEN and one != "\n"}
    assert hidden == set(), (name, hidden)
    forged = [
        line for line in said.splitlines() if line.startswith(("        9 2026", "FORGED", "position: 99"))
    ]
    assert forged == [], name


async def at_once(commands: dict[str, tuple[Any, ...]]) -> dict[str, subprocess.CompletedProcess[str]]:
    """Run commands, some at a time."""
    few = asyncio.Semaphore(4)

    async def one(arguments: tuple[Any, ...]) -> subprocess.CompletedProcess[str]:
        async with few:
            return await asyncio.to_thread(run, *arguments)

    done = await asyncio.gather(*map(one, commands.values()))
    return dict(zip(commands, done, strict=True))


async def test_text_is_data_in_every_command(
    store: EventStore, migrated_config: DatabaseConfig, tmp_path: Path
):
    """Hostile text in every column, name and error: printed so that it can be seen, and nothing else happens."""
    order, events = await fill(store)
    to = ("--url", url_of(migrated_config))
    key = json.dumps([TEXT])
    file = tmp_path / f"export [x] \x1b[31m\n\u202e{MARKUP.replace('/', ' ')}"
    page = tmp_path / "page \x1b[2J.html"
    proof = tmp_path / "proof \x1b[2J.json"
    proof.write_text(json.dumps({"format": TEXT, TEXT: TEXT}))
    done = await at_once({
        "history": ("history", "order", order.id, *to),
        "history --json": ("history", "order", order.id, "--json", *to),
        "show": ("show", order.id, *to),
        "show --json": ("show", order.id, "--json", *to),
        "tail": ("tail", "-n", 50, *to),
        "tail --json": ("tail", "-n", 50, "--json", *to),
        "trace": ("trace", "[/x]\x1b[2J", *to),
        "orders": ("orders", *to),
        "orders --json": ("orders", "--json", *to),
        "orders nothing": ("orders", TEXT, *to),
        "positions": ("positions", *to),
        "portfolios": ("portfolios", *to),
        "fills": ("fills", *to),
        "trades": ("trades", "--symbol", TEXT, *to),
        "pnl": ("pnl", "--by", "strategy", *to),
        "equity": ("equity", "--portfolio", TEXT, *to),
        "report": ("report", "--html", page, "--title", TEXT, *to),
        "status": ("status", *to),
        "status --json": ("status", "--json", *to),
        "quarantine list": ("quarantine", "list", *to),
        "quarantine list --json": ("quarantine", "list", "--json", *to),
        "quarantine show": ("quarantine", "show", TEXT, key, *to),
        "quarantine show --json": ("quarantine", "show", TEXT, key, "--json", *to),
        "quarantine retry": ("quarantine", "retry", "orders", key, *to),
        "quarantine discard": ("quarantine", "discard", "orders", TEXT, "--reason", TEXT, "--by", TEXT, *to),
        "rebuild": ("rebuild", TEXT, *to),
        "check": ("check", *to),
        "check --json": ("check", "--json", *to),
        "repair": ("repair", *to),
        "table": ("table", f"{__name__}:HostileNames"),
        "grant": ("grant", "--reader", TEXT[:60], *to),
        "migrate": ("migrate", "--to", TEXT, *to),
        "seal": ("seal", *to),
        "verify": ("verify", "--against", TEXT, *to),
        "prove": ("prove", 1, *to),
        "prove nothing": ("prove", TEXT, *to),
        "check-proof": ("check-proof", proof, "--against", f"1:{'00' * 32}"),
        "export": ("export", file, *to),
        "export nowhere": ("export", file / "x", *to),
        "import": ("import", file, *to),
        "stop": ("stop", "--data", file),
        "usage": (f"x{TEXT}", *to),
    })  # fmt: skip
    failing = {
        "trace": {0, 1, 2}, "quarantine retry": {0, 1, 2}, "quarantine discard": {0, 1, 2}, "rebuild": {2}, "check": {1},
        "check --json": {1}, "grant": {2}, "migrate": {2}, "verify": {2}, "prove nothing": {2}, "check-proof": {1, 2},
        "export nowhere": {2}, "orders nothing": {1}, "import": {2}, "usage": {2}, "repair": {0, 2}, "stop": {0, 2},
    }  # fmt: skip
    for name, one in done.items():
        assert_harmless(name, one, failing.get(name, {0}))
    for name in ("history", "show", "tail", "orders", "positions", "portfolios", "status"):
        assert MARKUP in done[name].stdout, name
        assert ESCAPED in done[name].stdout, name
    for name in ("quarantine list", "quarantine show", "table"):
        assert "[/x]" in done[name].stdout, name
    assert len(done["tail"].stdout.splitlines()) == events
    tried = {name.partition(" --")[0] for name in done}
    tried |= {name.partition(" ")[0] for name in tried}
    assert all_commands() - tried - WITHOUT_FOREIGN_TEXT == set()

    (created, rejected) = map(json.loads, done["show --json"].stdout.splitlines())
    assert (created["data"]["symbol"], created["metadata"]["actor"], rejected["data"]["reason"]) == (
        TEXT,
        TEXT,
        TEXT,
    )
    assert [json.loads(line)["actor"] for line in done["history --json"].stdout.splitlines()] == [TEXT] * 2
    held = json.loads(done["quarantine show --json"].stdout)
    assert (held["projection"], held["traceback"]) == (TEXT, TEXT)
    assert json.loads(done["prove"].stdout)["event"]["position"] == 1


def all_commands() -> set[str]:
    """The name of each command."""
    app = application._application
    names = {
        one.name or one.callback.__name__.replace("_", "-") for one in app.registered_commands if one.callback
    }
    for group in app.registered_groups:
        assert group.typer_instance is not None
        prefix = group.typer_instance.info.name
        names |= {
            f"{prefix} {one.name or one.callback.__name__}"
            for one in group.typer_instance.registered_commands
            if one.callback
        }
    return names
