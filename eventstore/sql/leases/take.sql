-- Purpose: Take the lease of a row, if it is free, has expired, or belongs to this owner already, without waiting for
--   a lock on the row. The epoch goes up, so that the previous owner can write no more.
-- Parameters:
--   $1 projection text
--   $2 owner text
--   $3 lease_s double precision seconds{partition}
-- Result: is_free boolean (taken or not: the row may be locked), position bigint, epoch bigint (both NULL: not taken); no
--   row if there is nothing to lease
-- Locks: the row's
-- Index: {table}_pkey
WITH leased AS (
    SELECT
        lease_expires_at IS NULL OR lease_expires_at <= pg_catalog.clock_timestamp() OR lease_owner = $2::pg_catalog.text AS is_free
    FROM {schema}.{table}
    WHERE {is_row}
),
free AS (
    SELECT FROM {schema}.{table}
    WHERE {is_row}
        AND (lease_expires_at IS NULL OR lease_expires_at <= pg_catalog.clock_timestamp() OR lease_owner = $2::pg_catalog.text)
    FOR UPDATE SKIP LOCKED
),
taken AS (
    UPDATE {schema}.{table}
    SET epoch = epoch + 1,
        lease_owner = $2::pg_catalog.text,
        lease_expires_at = pg_catalog.clock_timestamp() + $3::double precision * interval '1 second'
    FROM free
    WHERE {is_row}
    RETURNING position, epoch
)
SELECT leased.is_free, taken.position, taken.epoch
FROM leased LEFT JOIN taken ON true
