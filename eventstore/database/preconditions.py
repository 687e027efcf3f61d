"""The preconditions of a store, which an administrator can change: each one with its risk.

`find_violations` checks all of them in one statement, `eventstore/sql/database/preconditions.sql`, which
also builds the statement that repairs each. `EventStore.open`, workers and `eventstore check` use it.
Readers in order check the sequence and look for subscriptions each time they read the high-water mark.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from eventstore.database.protocols import Connection
from eventstore.errors import PreconditionError
from eventstore.sql import load


class Level(StrEnum):
    """What the library does if a precondition does not hold; `eventstore check` always names it."""

    MIGRATE = "refused by `eventstore migrate`, at open and by workers"
    OPEN = "refused at open and by workers"
    PRIMARY = "refused at open with `workers=True`, or if the configuration asks for the primary"
    WORKERS = "refused at open with `workers=True`, and by workers at their start"
    CHECK = "a warning of `eventstore check`"


@dataclass(frozen=True, slots=True)
class Precondition:
    """A property of the database that a guarantee rests on.

    Attributes:
        name: The name, as `eventstore check` prints it.
        risk: What may happen if it does not hold.
        level: What the library does if it does not hold.
        advice: What to do if no single statement repairs it.
        repairing: What to do with the statement that repairs it.
    """

    name: str
    risk: str
    level: Level
    advice: str = "undo the change"
    repairing: str = "run `{statement}`"

    @property
    def row(self) -> str:
        """The row of the precondition in the table of `docs/preconditions.md`."""
        return f"| {self.name} | {self.risk} | {self.level} |"


PRECONDITIONS: dict[str, Precondition] = {
    one.name: one
    for one in (
        Precondition(
            "encoding",
            "the database refuses text that it cannot represent during normal work, and hashes of text differ",
            Level.MIGRATE,
        ),
        Precondition(
            "binary formats",
            "times could not be read as they were written",
            Level.MIGRATE,
            advice="use a server that was built with integer_datetimes",
        ),
        Precondition(
            "length of names",
            "names of tables and indexes would be truncated, and collide",
            Level.MIGRATE,
            advice="use a server that was built with NAMEDATALEN 64 or more",
        ),
        Precondition(
            "schema",
            "objects in a schema of the system or of a session are lost with it",
            Level.MIGRATE,
            advice="set schema=... (DATABASE_SCHEMA), or a search_path that begins with a schema for the store",
        ),
        Precondition(
            "primary",
            "workers cannot write, and reads may return old data",
            Level.PRIMARY,
            advice="connect to the primary, and bypass a pooler that sends statements to replicas",
        ),
        Precondition("session may write", "the server refuses appends and workers", Level.WORKERS),
        Precondition("durability", "acknowledged events may be lost when the server crashes", Level.CHECK),
        Precondition(
            "no damage is passed over", "rows of damaged pages are left out without an error", Level.CHECK
        ),
        Precondition(
            "triggers of users fire",
            "triggers and rules that are not ENABLE ALWAYS do not fire in any session of the role",
            Level.CHECK,
        ),
        Precondition(
            "collation",
            "indexes over text may be in a different order than the server now expects, so searches miss rows",
            Level.CHECK,
        ),
        Precondition(
            "tables",
            "statements of the library do not find objects that the migrations created",
            Level.OPEN,
            advice="restore the table from a backup of this database",
        ),
        Precondition(
            "tables are logged",
            "a crash of the server empties the table, and standbys never have its rows",
            Level.OPEN,
        ),
        Precondition(
            "no children",
            "rows of the child count as rows of the table, but bypass its keys and guards",
            Level.OPEN,
        ),
        Precondition("no rules", "a rule rewrites the statements of the library", Level.OPEN),
        Precondition("no triggers before rows", "such a trigger can change or drop written rows", Level.OPEN),
        Precondition(
            "no triggers before rows of projections",
            "such a trigger can change or drop rows of the read table",
            Level.CHECK,
        ),
        Precondition(
            "no row security",
            "rows are hidden from the library, and events seem to be missing",
            Level.OPEN,
        ),
        Precondition(
            "row security is for others",
            "roles that are not exempt do not see every row",
            Level.CHECK,
        ),
        Precondition("equal text", "different texts would count as equal", Level.OPEN),
        Precondition("keys", "a version, a position or a checkpoint could exist twice", Level.OPEN),
        Precondition("checks", "a row that was written by hand may have invalid values", Level.CHECK),
        Precondition("indexes", "queries that need the index read the whole table", Level.CHECK),
        Precondition(
            "columns of events",
            "events cannot be written, or are read back changed",
            Level.OPEN,
            advice="restore the table from a backup of this database",
        ),
        Precondition("guards", "events or seals could be changed or removed", Level.WORKERS),
        Precondition(
            "functions",
            "guards and the check of versions would accept everything",
            Level.OPEN,
            advice="create it again as in the file of `migrations` that creates it",
        ),
        Precondition(
            "sequence of positions",
            "positions would not ascend, or would not be durable: readers would pass events that come later, and never read them",
            Level.OPEN,
        ),
        Precondition(
            "owner of the sequence",
            "a dump of the table alone leaves the sequence out, and nothing prevents its being dropped",
            Level.CHECK,
        ),
        Precondition(
            "no subscription",
            "its events come in the order of another server's commits and with that server's positions: readers would "
            "pass events that come later, and appends would use positions that the other server has assigned",
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
        statement: The statement that repairs it; None if no single statement does.
    """

    precondition: Precondition
    found: str
    statement: str | None

    @property
    def what(self) -> str:
        """What is wrong and what may happen, in one line."""
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
        connection: A connection that a `DatabaseConnection` or a `PostgreSQLAdapter` has lent.
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
    """Check that every precondition of these levels holds; return the violations of other levels.

    Args:
        connection: As in `find_violations`.
        read_tables: As in `find_violations`.
        levels: The levels that are checked.

    Raises:
        PreconditionError: A precondition does not hold: the message says what is wrong and how to
            repair it.
        Exception: Errors of asyncpg, not mapped.
    """
    refused = frozenset(levels)
    found = await find_violations(connection, read_tables)
    against = [one for one in found if one.precondition.level in refused]
    if against:
        raise precondition_error(against)
    return tuple(one for one in found if one.precondition.level not in refused)


def precondition_error(violations: Sequence[Violation]) -> PreconditionError:
    """Return the error that says in one line what is wrong and how to repair it."""
    return PreconditionError.of(
        "; ".join(f"{one.what}: {one.repair}" for one in violations),
        preconditions=[one.precondition.name for one in violations],
        statements=[one.statement for one in violations if one.statement is not None],
    )
