-- Purpose: Store states of orders; existing rows stay. The table's name is replaced for other tables.
-- Parameters:
--   $1 states text a JSON list of objects with the columns of state_snapshot_orders
-- Result: none
-- Locks: none beyond the rows'
-- Index: state_snapshot_orders_pkey
INSERT INTO {schema}.state_snapshot_instruments
SELECT * FROM pg_catalog.jsonb_populate_recordset(NULL::{schema}.state_snapshot_instruments, $1::pg_catalog.text::pg_catalog.jsonb)
ON CONFLICT (id, stream_version) DO NOTHING

