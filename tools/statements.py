"""Every statement of the library as it is sent, except for the schema: from files and from templates.

`python -m tools.statements` writes the statements that templates make to tests/golden/sql, so that a review
sees their changes.
"""

from __future__ import annotations

from pathlib import Path

from eventstore.repositories.lists import ListStatement, load_statement
from eventstore.repositories.read_tables import LISTS, READ_TABLES
from eventstore.sql import fill
from projections import OrdersProjection
from projections.engine.lease import lease_statement

ROOT = Path(__file__).resolve().parents[1]
SQL = ROOT / "eventstore" / "sql"
GOLDEN = ROOT / "tests" / "golden" / "sql"
TEMPLATES = SQL / "lists"
TABLE_TEMPLATES = SQL / "tables"
LEASE_TEMPLATES = SQL / "leases"
COMMANDS = SQL / "commands"
FOLDERS_OF_TEMPLATES = {TEMPLATES, TABLE_TEMPLATES, LEASE_TEMPLATES, COMMANDS}
_LEASED = "projection_checkpoints", "projection_rebuilds"
_LOAD_HEADER = """\
-- Purpose: Read one {kind}: its row, and the events of its stream from the last one that is folded into the row on.
-- Parameters:
--   $1 id uuid
-- Result: the columns of {table} (numbers and enums as text, version as row_version), last_position bigint, and the columns of
--   an event; either part may be NULL; one row for each event, and one where there is only a row
-- Locks: none beyond ACCESS SHARE
-- Index: {table}_pkey, events_pkey
"""
_SCHEMA = "public"
_FOUND = "{schema}.{table}"


def _header(one: ListStatement) -> str:
    parameters = (
        "tail_events_max bigint events; 0 reads the table alone",
        "limit bigint rows, NULL for all",
        f"after_{one.sort} timestamp with time zone where the page begins, exclusive; NULL at the start",
        "after_id uuid",
        *one.parameters,
    )
    lines = [f"--   ${number} {each}" for number, each in enumerate(parameters, 1)]
    return "\n".join(
        (
            f"-- Purpose: {one.purpose}.",
            "-- Parameters:",
            *lines,
            f"-- Result: the columns of {one.table} (numbers and enums as text, version as row_version) and of an event;",
            "--   either half may be NULL",
            "-- Locks: none beyond ACCESS SHARE",
            f"-- Index: {one.index}; events_position_key",
        )
    )


def _composed() -> dict[str, str]:
    found = {name: f"{_header(one)}\n{one.statement()}" for name, one in LISTS.items()}
    for kind, table in READ_TABLES.items():
        header = _LOAD_HEADER.format(kind=kind.category, table=table.projection)
        found[f"{table.projection}/load"] = f"{header}{load_statement(kind, table.projection, table.version)}"
    for path in SQL.rglob("*.sql"):
        text = path.read_text()
        if path.parent not in FOLDERS_OF_TEMPLATES and _FOUND in text:
            name = str(path.relative_to(SQL).with_suffix(""))
            for table in READ_TABLES.values():
                found[f"{name}/{table.projection}"] = fill(text, table=table.projection)
    for path in LEASE_TEMPLATES.glob("*.sql"):
        for leased in _LEASED:
            found[f"leases/{path.stem}/{leased}"] = lease_statement(path.stem, leased, path.read_text())
    return dict(sorted(found.items()))


COMPOSED = _composed()
"""The statements that templates make, by name, each with its header."""

FILES = {
    str(path.relative_to(SQL).with_suffix("")): path.read_text()
    for path in sorted(SQL.rglob("*.sql"))
    if path.parent not in FOLDERS_OF_TEMPLATES and _FOUND not in path.read_text()
}
"""The statements of files, by name, each with its header."""

STATEMENTS = FILES | COMPOSED
"""All statements, by name, each with its header; the slots of the schema are open."""


def _of_orders() -> dict[str, str]:
    table, beside = OrdersProjection().table, "orders__rebuild"
    made = {
        "create": table.create(schema=_SCHEMA),
        "select_by_keys": table.select_by_keys(schema=_SCHEMA),
        "select_all": table.select_all(schema=_SCHEMA),
        "select_for_proof": table.select_for_proof("orders", keyed_by_stream=False, schema=_SCHEMA),
        "select_shard_for_proof": table.select_for_proof("orders", keyed_by_stream=True, schema=_SCHEMA),
        "upsert": table.upsert(schema=_SCHEMA),
        "as_stored": table.as_stored(schema=_SCHEMA),
        "delete_by_keys": table.delete_by_keys(schema=_SCHEMA),
        "remove_missing": table.remove_unless_in("orders", beside, schema=_SCHEMA),
        "remove_missing_and_changed": table.remove_unless_in(
            "orders", beside, changed_too=True, schema=_SCHEMA
        ),
        "change_to": table.change_to("orders", beside, schema=_SCHEMA),
        "add_from": table.add_from("orders", beside, schema=_SCHEMA),
        "compare": table.compare("orders", beside, schema=_SCHEMA),
        "differences": table.differences("orders", beside, schema=_SCHEMA),
    }
    return {f"tables/{name}/orders": text for name, text in made.items()}


OF_ORDERS = _of_orders()
"""The statements that the templates of `eventstore/sql/tables` make for `orders` in the schema `public`, by name."""


def golden(name: str) -> Path:
    """The golden file of a statement that a template makes."""
    return GOLDEN / f"{name.replace('/', '.')}.sql"


def path_of(name: str) -> Path:
    """The file of a statement: its golden file if a template makes it, and otherwise its own file."""
    return golden(name) if name in COMPOSED else SQL / f"{name}.sql"


def write() -> None:
    """Write the golden files."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for path in GOLDEN.glob("*.sql"):
        path.unlink()
    for name, text in (COMPOSED | OF_ORDERS).items():
        golden(name).write_text(f"{text}\n")


if __name__ == "__main__":
    write()
