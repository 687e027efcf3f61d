-- Purpose: Move a checkpoint, if it is where this worker left it and no other worker has taken the partition over.
--   Run it first in the transaction that writes the rows: a second worker waits here, and then finds the checkpoint
--   moved. It limits the time of the transaction, so that a worker that was stopped inside it blocks its successor
--   for at most the length of a lease (the idle time, and from PostgreSQL 17 on the whole transaction, which also
--   ends a worker that was stopped between two messages of one statement). It marks the transaction with an advisory
--   lock of this partition, so that the successor can identify a stopped worker (end_stopped_worker). It also renews
--   the lease, if one is held, and counts the events that the partition is given. It only tries to take the advisory
--   lock, because every role may hold it: without the mark only the time-outs end a stopped worker.
-- Parameters:
--   $1 projection text
--   $2 partition smallint
--   $3 before bigint position
--   $4 epoch bigint
--   $5 after bigint position
--   $6 lease_s double precision seconds
--   $7 transaction text with a unit, shorter than the lease
--   $8 ranges bigint[] one for each range of positions with events
--   $9 events bigint[] the number of events in each
--   $10 digests bigint[] the exclusive or of the digests of the events
-- Result: position bigint; no row if another worker was first
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
