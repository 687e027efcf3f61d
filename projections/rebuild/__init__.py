"""Rebuilding a read table from the log: build it beside the live one, prove it, swap the two."""

from projections.rebuild.coordinator import RebuildProgress, Rebuilt, abandon, rebuild
from projections.rebuild.limits import RebuildLimits

__all__ = [
    "RebuildLimits",
    "RebuildProgress",
    "Rebuilt",
    "abandon",
    "rebuild",
]
