-- Purpose: Set the end of the range of stored states of orders if a later event of their stream has ended it. The
--   table's name is replaced for other tables.
-- Parameters:
--   $1 ids uuid[]
-- Result: none
-- Locks: none beyond the rows'
-- Index: state_snapshot_orders_pkey, events_pkey
UPDATE {schema}.state_snapshot_instruments AS stored
SET during = pg_catalog.int8range(pg_catalog.lower(stored.during), event.position)
FROM {schema}.events AS event
WHERE stored.id = ANY ($1::pg_catalog.uuid[])
    AND pg_catalog.upper_inf(stored.during)
    AND event.stream_id = stored.id
    AND event.version = stored.stream_version + 1

