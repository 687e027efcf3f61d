"""Checks that `projections` is the library's package; import this before importing `projections`."""

from eventstore.installation import require_package

require_package("projections")
