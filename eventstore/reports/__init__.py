"""Reports: `EventStore.reports` has orders, fills, positions, P&L and more as rows and frames."""

from eventstore.reports.columns import Column
from eventstore.reports.filters import Filters
from eventstore.reports.periods import By, Unit
from eventstore.reports.report import Report
from eventstore.reports.reports import Reports

__all__ = ["By", "Column", "Filters", "Report", "Reports", "Unit"]
