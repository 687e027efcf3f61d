"""What a statement may leave behind in the session that ran it, and what undoes that.

The library's own statements leave nothing. Any other may: it may call a function that sets a parameter, or create a
temporary table. So a session that ran one is reset before anybody else gets it. Where the text itself says that the session
changes (`SET`, `CREATE TEMP TABLE`, `PREPARE`, `LOAD` ...), the connection is ended, because a reset does not undo all of
that: a library stays loaded, and the driver keeps statements that it prepared while a name meant something else.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache

from eventstore.sql import is_own

RESET = (
    "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; CLOSE ALL; UNLISTEN *; "
    "SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD SEQUENCES; DISCARD TEMP"
)
"""What `DISCARD ALL` does, except that the driver keeps its prepared statements. The role comes first: it may lack rights."""

_LOOKED_THROUGH_CHARACTERS_MAX = 20_000  # to look through more takes longer than a new connection

# Statements that end with their transaction. Each is one statement: a second one after it could be any.
_TRANSACTIONAL = re.compile(
    r"\s*(?:BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|LOCK|SET\s+LOCAL|SET\s+CONSTRAINTS|"
    r"SET\s+TRANSACTION)\b[^;]*;?\s*",
    re.IGNORECASE,
)

# A word at the beginning of a statement, also after a comment.
_LASTING = re.compile(
    r"(?:^|;|\*/|--[^\n]*\n)\s*(?:SET(?!\s+(?:LOCAL|CONSTRAINTS|TRANSACTION)\b)|RESET|DISCARD|LISTEN|UNLISTEN|DO|DECLARE|"
    r"PREPARE(?!\s+TRANSACTION\b)|DEALLOCATE|LOAD|SECURITY\s+LABEL)\b"
    r"|\b(?:CREATE|INTO)\s+(?:OR\s+REPLACE\s+)?(?:LOCAL\s+|GLOBAL\s+)?TEMP(?:ORARY)?\b"
    r"|\bpg_temp\b|\bset_config\s*\(|\bpg_(?:try_)?advisory_lock(?:_shared)?\b|\bdblink_connect",
    re.IGNORECASE,
)


class Effect(IntEnum):
    """What a statement may leave behind in its session; the greater one counts for a loan."""

    NONE = 0
    """Nothing."""
    UNKNOWN = 1
    """Perhaps something, inside of a function: the session is reset."""
    LASTING = 2
    """A changed session: the connection is ended."""


def effect_of(statement: str) -> Effect:
    """Return what a statement may leave behind, as far as its text says."""
    if is_own(statement):
        return Effect.NONE
    if len(statement) > _LOOKED_THROUGH_CHARACTERS_MAX:
        return Effect.LASTING
    return _of_text(statement)


@lru_cache(maxsize=256)
def _of_text(statement: str) -> Effect:
    if _TRANSACTIONAL.fullmatch(statement):
        return Effect.NONE
    return Effect.LASTING if _LASTING.search(statement) else Effect.UNKNOWN
