"""Measurements of the store, compared with the limits of the machine: `python -m benchmarks`."""
