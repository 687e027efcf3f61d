-- Purpose: Record that a migration was applied.
-- Parameters:
--   $1 version integer
--   $2 name text
--   $3 checksum text SHA-256 of the file, hexadecimal
-- Result: none
-- Locks: ROW EXCLUSIVE on schema_migrations
-- Index: schema_migrations_pkey
INSERT INTO {schema}.schema_migrations (version, name, checksum)
VALUES ($1::integer, $2::pg_catalog.text, $3::pg_catalog.text)
