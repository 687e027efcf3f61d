"""Export and import of the log as JSON Lines, and export to Arrow and Parquet."""

from eventstore.export.lines import ExportResult, export_lines
from eventstore.export.restore import import_lines

__all__ = ["ExportResult", "export_lines", "import_lines"]
