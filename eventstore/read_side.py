"""Imported by whatever imports the projections, before it does: their package must be the library's own."""

from eventstore.installation import require_package

__all__: list[str] = []

require_package("projections")
