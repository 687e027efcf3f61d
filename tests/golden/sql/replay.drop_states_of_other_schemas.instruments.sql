-- Purpose: Drop the stored states of orders that another schema of the class left behind. The table's name is
--   replaced for other tables.
-- Parameters:
--   $1 schema_hash integer
-- Result: none
-- Locks: none beyond the rows'
-- Index: none, it is run once after the schema has changed
DELETE FROM {schema}.state_snapshot_instruments WHERE schema_hash <> $1::integer

