"""What the guarantees of a store rest on and an administrator can change: each precondition once, with its risk.

`find_violations` looks all of them up in one statement, `eventstore/sql/database/preconditions.sql`, which also writes the
statement that repairs each. `EventStore.open`, workers and `eventstore check` ask it; readers in order look
at the sequence and for subscriptions each time they ask how far the log is final.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from eventstore.database.protocols import Connection
from eventstore.errors import PreconditionError
from eventstore.sql import load


class Level(StrEnum):
    """What the library does where a precondition does not hold; `eventstore check` names it in any case."""

    MIGRATE = "refused by `eventstore migrate`, at open and by workers"
    OPEN = "refused at open and by workers"
    PRIMARY = "refused at open with `workers=True`, or where the configuration asks for the primary"
    WORKERS = "refused at open with `workers=True`, and by workers at their start"
    CHECK = "a warning of `eventstore check`"


@dataclass(frozen=True, slots=True)
class Precondition:
    """Something that a guarantee rests on.

    Attributes:
        name: Its name, as `eventstore check` prints it.
        risk: What may happen where it does not hold.
        level: What the library does then.
        advice: What to do where no single statement repairs it.
        repairing: What to do with the statement where one does.
    """

    name: str
    risk: str
    level: Level
    advice: str = "undo that"
    repairing: str = "run `{statement}`"

    @property
    def row(self) -> str:
        """Its row of the table in `docs/preconditions.md`."""
        return f"| {self.name} | {self.risk} | {self.level} |"


PRECONDITIONS: dict[str, Precondition] = {
    one.name: one
    for one in (
        Precondition(
            "encoding",
            "text that it cannot hold is refused in the midst of work, and hashes of text differ",
            Level.MIGRATE,
        ),
        Precondition(
            "binary formats",
            "times could not be read as they were written",
            Level.MIGRATE,
            advice="use a server that is built with integer_datetimes",
        ),
        Precondition(
            "length of names",
            "names of tables and indexes would be cut, and meet",
            Level.MIGRATE,
            advice="use a server that is built with NAMEDATALEN 64 or more",
        ),
        Precondition(
            "schema",
            "what lies in a schema of the system or of a session is lost with it",
            Level.MIGRATE,
            advice="set schema=... (DATABASE_SCHEMA), or a search_path that begins with a schema of its own",
        ),
        Precondition(
            "primary",
            "workers cannot write there, and what is read may be old",
            Level.PRIMARY,
            advice="connect to the primary, and past a pooler that sends statements to replicas",
        ),
        Precondition("session may write", "appends and workers are refused by the server", Level.WORKERS),
        Precondition("durability", "what was acknowledged may be lost when the server crashes", Level.CHECK),
        Precondition(
            "no damage is passed over", "rows of damaged pages are left out without an error", Level.CHECK
        ),
        Precondition(
            "triggers of users fire",
            "triggers and rules that are not ENABLE ALWAYS are passed over in every session of the role",
            Level.CHECK,
        ),
        Precondition(
            "collation",
            "indexes over text may be in another order than the server now searches them, and miss rows",
            Level.CHECK,
        ),
        Precondition(
            "tables",
            "statements of the library do not find what the migrations made",
            Level.OPEN,
            advice="restore the table from a backup of this database",
        ),
        Precondition(
            "tables are logged",
            "a crash of the server empties it, and standbys never have its rows",
            Level.OPEN,
        ),
        Precondition(
            "no children",
            "rows of the child count as rows of the table, past its keys and guards",
            Level.OPEN,
        ),
        Precondition("no rules", "a rule rewrites what the library sends", Level.OPEN),
        Precondition(
            "no triggers before rows", "such a trigger can change or swallow what is written", Level.OPEN
        ),
        Precondition(
            "no triggers before rows of projections",
            "such a trigger can change or swallow rows of the read table",
            Level.CHECK,
        ),
        Precondition(
            "no row security",
            "rows are hidden from the library, and events pass for missing ones",
            Level.OPEN,
        ),
        Precondition(
            "row security is for others",
            "whoever reads with a role that is not exempt does not see every row",
            Level.CHECK,
        ),
        Precondition("equal text", "text that differs would be found as if it were equal", Level.OPEN),
        Precondition("keys", "a version, a position or a checkpoint could be there twice", Level.OPEN),
        Precondition("checks", "a row that somebody writes by hand may be absurd", Level.CHECK),
        Precondition("indexes", "queries that the index is for read the whole table", Level.CHECK),
        Precondition(
            "columns of events",
            "events cannot be written, or do not come back as they were",
            Level.OPEN,
            advice="restore the table from a backup of this database",
        ),
        Precondition(
            "columns of state snapshots",
            "states of the past would not be stored as they were, such as with fewer digits",
            Level.OPEN,
        ),
        Precondition("guards", "events or seals could be changed or removed", Level.WORKERS),
        Precondition(
            "functions",
            "guards and the check of versions would let everything pass",
            Level.OPEN,
            advice="make it again as the file in `migrations` does that creates it",
        ),
        Precondition(
            "sequence of positions",
            "positions would not ascend, or not be kept: readers would pass events that come later, and never read them",
            Level.OPEN,
        ),
        Precondition(
            "owner of the sequence",
            "a dump of the table alone leaves the sequence out, and nothing keeps it from being dropped",
            Level.CHECK,
        ),
        Precondition(
            "no subscription",
            "its events come in the order of another server's commits and with that server's positions: readers would "
            "pass events that come later, and appends would take positions that the other server has assigned",
            Level.OPEN,
            repairing="open the other server; to take its place, run `{statement}` and then `eventstore repair`",
        ),
    )
}
"""Every precondition, by its name."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A precondition that does not hold.

    Attributes:
        precondition: The precondition.
        found: What is wrong, in a few words.
        statement: The statement that repairs it; None where none does.
    """

    precondition: Precondition
    found: str
    statement: str | None

    @property
    def what(self) -> str:
        """What is wrong and what may come of it, in one line."""
        return f"{self.found}: {self.precondition.risk}"

    @property
    def repair(self) -> str:
        """What to do, in one line."""
        if self.statement is None:
            return self.precondition.advice
        return self.precondition.repairing.replace("{statement}", self.statement)


async def find_violations(connection: Connection, read_tables: Collection[str]) -> tuple[Violation, ...]:
    """Return the preconditions that do not hold, in one statement.

    Args:
        connection: A connection of a `DatabaseConnection`, or one that a `PostgreSQLAdapter` has lent.
        read_tables: The names of the tables of projections.

    Raises:
        Exception: Errors of asyncpg, not mapped.
    """
    rows = await connection.fetch(load("database/preconditions", connection), list(read_tables))
    return tuple(Violation(PRECONDITIONS[row["precondition"]], row["found"], row["repair"]) for row in rows)


async def require_preconditions(
    connection: Connection,
    read_tables: Collection[str] = (),
    *,
    levels: Iterable[Level] = (Level.MIGRATE, Level.OPEN),
) -> tuple[Violation, ...]:
    """Check that every precondition of these levels holds; return those of other levels that do not.

    Args:
        connection: As in `find_violations`.
        read_tables: As in `find_violations`.
        levels: Which are refused.

    Raises:
        PreconditionError: Some do not: the message says what is wrong, and what repairs it.
        Exception: Errors of asyncpg, not mapped.
    """
    refused = frozenset(levels)
    found = await find_violations(connection, read_tables)
    against = [one for one in found if one.precondition.level in refused]
    if against:
        raise precondition_error(against)
    return tuple(one for one in found if one.precondition.level not in refused)


def precondition_error(violations: Sequence[Violation]) -> PreconditionError:
    """Return the error that says what is wrong, and what repairs it, in one line."""
    return PreconditionError.of(
        "; ".join(f"{one.what}: {one.repair}" for one in violations),
        preconditions=[one.precondition.name for one in violations],
        statements=[one.statement for one in violations if one.statement is not None],
    )
