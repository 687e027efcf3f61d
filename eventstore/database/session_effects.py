"""The effects that a statement may have on its session, and how they are undone.

The library's own statements have none. Any other statement may have effects: it may call a function that
sets a parameter, or create a temporary table. So after such a statement the session is reset before the
next borrower gets it. If the text itself shows a change of the session (`SET`, `CREATE TEMP TABLE`,
`PREPARE`, `LOAD` ...), the connection is closed, because a reset does not undo everything: a library
stays loaded, and the driver keeps statements that it prepared while a name had another meaning.
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
"""As `DISCARD ALL`, but it keeps the driver's prepared statements. It resets the role first: that role may lack rights."""

_LOOKED_THROUGH_CHARACTERS_MAX = 20_000  # searching more text takes longer than opening a new connection

# Statements whose effect ends with their transaction. Only a single statement matches: a second one could do anything.
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
    """The effect of a statement on its session; the largest effect of a loan counts."""

    NONE = 0
    """No effect."""
    UNKNOWN = 1
    """A possible effect, such as inside a function: the session is reset."""
    LASTING = 2
    """A changed session: the connection is closed."""


def effect_of(statement: str) -> Effect:
    """Return the effect of a statement, as far as its text shows."""
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
