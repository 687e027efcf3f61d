-- Purpose: Find the rows of orders whose streams have fewer state snapshots than their length allows. The table's name is
--   replaced for other tables.
-- Parameters:
--   $1 every integer versions from one state snapshot to the next
--   $2 schema_hash integer
-- Result: id uuid, version integer of the row; in the order of the ids
-- Locks: none beyond ACCESS SHARE
-- Index: state_snapshots_pkey; it reads the whole of orders
SELECT row.id, row.version FROM {schema}.instruments AS row
WHERE row.version >= $1::integer
    AND (
        SELECT pg_catalog.count(*) FROM {schema}.state_snapshots AS kept
        WHERE kept.stream_id = row.id AND kept.version <= row.version AND kept.schema_hash = $2::integer
    ) < (row.version / $1::integer)::bigint
ORDER BY row.id

