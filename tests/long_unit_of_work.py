"""A Unit of Work that may stand open for longer than one of a program may, since a loaded machine takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.repositories.backend import PostgreSQLBackend
from eventstore.repositories.read_tables import READ_TABLES
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork

if TYPE_CHECKING:
    from eventstore.store import EventStore

OPEN_S = 120.0


def patient_unit_of_work(store: EventStore) -> PostgreSQLUnitOfWork:
    """A Unit of Work whose open transaction the server does not end before a test does."""
    return PostgreSQLUnitOfWork(
        PostgreSQLBackend(
            store.log, READ_TABLES, idle_in_transaction_timeout_s=OPEN_S, transaction_timeout_s=OPEN_S
        )
    )
