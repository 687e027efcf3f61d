"""Keys whose events cannot be folded: list them, retry them, or discard the event."""

from projections.quarantine.operations import QuarantinedKey, discard, list_quarantined, retry

__all__ = [
    "QuarantinedKey",
    "discard",
    "list_quarantined",
    "retry",
]
