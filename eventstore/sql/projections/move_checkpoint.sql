-- Purpose: Move a checkpoint, if it is where this worker left it and nobody has taken the partition over. Run it first in the
--   transaction that writes the rows: who comes second waits here, and then finds it moved. It bounds the transaction's
--   time, so that a worker that is stopped inside it holds up its successor no longer than a lease lasts (idle time,
--   and from PostgreSQL 17 on the whole of it, which also ends a worker that is stopped between two messages of one
--   statement); it marks the transaction as this partition's by an advisory lock, so that the successor of a worker
--   that is stopped can tell it (end_stopped_worker); and it renews the lease, where one is held, and counts what the partition
--   is given. The advisory lock is only tried for, since every role may hold it: without the mark the time-outs alone end
--   a worker that is stopped.
-- Parameters:
--   $1 projection text
--   $2 partition smallint
--   $3 before bigint position
--   $4 epoch bigint
--   $5 after bigint position
--   $6 lease_s double precision seconds
--   $7 transaction text with a unit, shorter than the lease
--   $8 ranges bigint[] one for each range of positions that events are of
--   $9 events bigint[] how many of them
--   $10 digests bigint[] the exclusive or of theirs
-- Result: position bigint; no row where another worker was first
-- Locks: the row's, and a shared advisory one if it is free, until the transaction ends
-- Index: projection_checkpoints_pkey, projection_delivery_counts_pkey
WITH bounded AS MATERIALIZED (
    SELECT
        pg_catalog.set_config('idle_in_transaction_session_timeout', $7::pg_catalog.text, true) AS idle,
        CASE
            WHEN pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL
                THEN pg_catalog.set_config('transaction_timeout', $7::pg_catalog.text, true)
        END AS whole,
        -- 1702261620 is "evst" in ASCII.
        pg_catalog.pg_try_advisory_xact_lock_shared(
            1702261620,
            pg_catalog.hashtext({schema_name} || '/' || $1::pg_catalog.text || '/' || $2::smallint::pg_catalog.text)
        ) AS marked
),
moved AS (
    UPDATE {schema}.projection_checkpoints
    SET position = $5::bigint,
        moved_at = pg_catalog.clock_timestamp(),
        lease_expires_at = CASE
            WHEN lease_owner IS NOT NULL THEN pg_catalog.clock_timestamp() + $6::double precision * interval '1 second'
        END
    FROM bounded
    WHERE projection = $1::pg_catalog.text AND partition = $2::smallint AND projection_checkpoints.position = $3::bigint
        AND epoch = $4::bigint
    RETURNING projection_checkpoints.position
),
counted AS (
    INSERT INTO {schema}.projection_delivery_counts AS so_far (projection, partition, range, events, digest)
    SELECT $1::pg_catalog.text, $2::smallint, given.range, given.events, given.digest
    FROM unnest($8::bigint[], $9::bigint[], $10::bigint[]) AS given (range, events, digest)
    WHERE EXISTS (SELECT FROM moved)
    ON CONFLICT ON CONSTRAINT projection_delivery_counts_pkey DO UPDATE
    SET events = so_far.events + EXCLUDED.events, digest = so_far.digest # EXCLUDED.digest
)
SELECT position FROM moved
