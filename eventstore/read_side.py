"""Imported by whatever imports the projections, before it does: their package must be the library's own."""

from eventstore.installation import require_package

require_package("projections")
