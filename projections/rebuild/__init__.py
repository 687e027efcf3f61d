"""Rebuilding a read table from the log: build it beside the live one, prove it, swap the two."""

from projections.rebuild.coordinator import RebuildProgress, Rebuilt, abandon, rebuild

__all__ = [
    "RebuildProgress",
    "Rebuilt",
    "abandon",
    "rebuild",
]
