"""Measurements of the store beside what it stands on."""
