-- Purpose: Store a state snapshot, after its states were stored in the same transaction.
-- Parameters:
--   $1 category text
--   $2 position bigint
--   $3 schema_hash integer
--   $4 after bigint position, exclusive: of the previous state snapshot; 0 if there is none
-- Result: none
-- Locks: none beyond the row's
-- Index: events_position_key, state_snapshots_pkey
INSERT INTO {schema}.state_snapshots (category, position, schema_hash, recorded_through, occurred_through)
SELECT
    $1::pg_catalog.text, $2::bigint, $3::integer,
    greatest(before.recorded_through, since.recorded_through),
    greatest(before.occurred_through, since.occurred_through)
FROM (
    SELECT pg_catalog.max(recorded_at) AS recorded_through, pg_catalog.max(occurred_at) AS occurred_through FROM {schema}.events
    WHERE position > $4::bigint AND position <= $2::bigint AND category = $1::pg_catalog.text
) AS since
LEFT JOIN {schema}.state_snapshots AS before ON before.category = $1::pg_catalog.text AND before.position = $4::bigint
ON CONFLICT (category, position) DO NOTHING
