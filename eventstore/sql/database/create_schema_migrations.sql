-- Purpose: Make the table that remembers which migrations were applied.
-- Parameters: none
-- Result: none
-- Locks: none but the new table
-- Index: none
CREATE TABLE schema_migrations (
    version    integer     NOT NULL,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version),
    CONSTRAINT schema_migrations_checksum_check CHECK (checksum ~ '^[0-9a-f]{64}$')
)
