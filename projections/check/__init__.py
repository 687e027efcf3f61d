"""Checking the log and the read tables: the rules of the log, the events that each table was given, and its rows."""

from projections.check.audit import Audit, Finding, check, plan_repair, repair
from projections.check.comparison import Comparison, compare_with_fold, compare_with_rebuild

__all__ = [
    "Audit",
    "Comparison",
    "Finding",
    "check",
    "compare_with_fold",
    "compare_with_rebuild",
    "plan_repair",
    "repair",
]
