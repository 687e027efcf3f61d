"""The laws that every projection must satisfy, checked on random logs."""

from projections.laws.checker import LawsBrokenError, check_laws

__all__ = [
    "LawsBrokenError",
    "check_laws",
]
