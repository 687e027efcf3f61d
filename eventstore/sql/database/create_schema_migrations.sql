-- Purpose: Create the table of applied migrations.
-- Parameters: none
-- Result: none
-- Locks: only on the new table
-- Index: none
CREATE TABLE {schema}.schema_migrations (
    version    integer     NOT NULL,
    name       pg_catalog.text        NOT NULL,
    checksum   pg_catalog.text        NOT NULL,
    applied_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version),
    CONSTRAINT schema_migrations_checksum_check CHECK (checksum ~ '^[0-9a-f]{64}$')
)
