"""Doubles, strategies and fixtures for the tests of code that uses this library."""
