"""Measurements of the store beside the limits of the machine: `python -m benchmarks`."""
