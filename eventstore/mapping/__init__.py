"""The mapping between rows of tables and models."""
