"""A tear sheet: what a book made, as one HTML file that needs no network (extra: `report`)."""

from eventstore.tear_sheet.sheet import tear_sheet

__all__ = ["tear_sheet"]
