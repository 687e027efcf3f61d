-- Purpose: Move a checkpoint, if it is where this worker left it and nobody has taken the lane over. Run it first in the
--   transaction that writes the rows: who comes second waits here, and then finds it moved. It bounds the transaction's
--   time, so that a worker that is stopped inside it holds up its successor no longer than a lease lasts (idle time,
--   and from PostgreSQL 17 on the whole of it, which also ends a worker that is stopped between two messages of one
--   statement); and it renews the lease, where one is held.
-- Parameters:
--   $1 projection text
--   $2 lane smallint
--   $3 before bigint position
--   $4 epoch bigint
--   $5 after bigint position
--   $6 lease_s double precision seconds
--   $7 transaction text with a unit, shorter than the lease
-- Result: position bigint; no row where another worker was first
-- Locks: the row's, until the transaction ends
-- Index: projection_checkpoints_pkey
WITH bounded AS MATERIALIZED (
    SELECT
        set_config('idle_in_transaction_session_timeout', $7::text, true) AS idle,
        CASE
            WHEN current_setting('transaction_timeout', true) IS NOT NULL
                THEN set_config('transaction_timeout', $7::text, true)
        END AS whole
)
UPDATE projection_checkpoints
SET position = $5::bigint,
    moved_at = clock_timestamp(),
    lease_expires_at = CASE
        WHEN lease_owner IS NOT NULL THEN clock_timestamp() + $6::double precision * interval '1 second'
    END
FROM bounded
WHERE projection = $1::text AND lane = $2::smallint AND projection_checkpoints.position = $3::bigint
    AND epoch = $4::bigint
RETURNING projection_checkpoints.position
