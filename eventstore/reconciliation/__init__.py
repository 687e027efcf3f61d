"""Reconciliation: a broker's statement compared with the store as of its time."""

from eventstore.reconciliation.comparison import ComparedPart, Difference
from eventstore.reconciliation.reconciliation import (
    Proposal,
    ProposedCash,
    ProposedExecution,
    Reconciliation,
)
from eventstore.reconciliation.stated import Section, StatedCash, StatedExecution, StatedPosition
from eventstore.reconciliation.statement import Statement

__all__ = [
    "ComparedPart",
    "Difference",
    "Proposal",
    "ProposedCash",
    "ProposedExecution",
    "Reconciliation",
    "Section",
    "StatedCash",
    "StatedExecution",
    "StatedPosition",
    "Statement",
]
