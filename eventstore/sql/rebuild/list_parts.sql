-- Purpose: List the parts of a rebuild and how far each is.
-- Parameters:
--   $1 projection text
-- Result: part smallint, parts smallint, position bigint, events bigint; no row where it is not built in parts
-- Locks: none beyond ACCESS SHARE
-- Index: projection_rebuild_parts_pkey
SELECT part, parts, position, events FROM {schema}.projection_rebuild_parts WHERE projection = $1::pg_catalog.text ORDER BY part
