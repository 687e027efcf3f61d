"""Mapping rows of tables to models and back."""
