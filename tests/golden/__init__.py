"""Events of every schema version as they were stored, and what they fold to: kept, and read for ever."""
