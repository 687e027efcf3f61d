-- Purpose: Read the last state snapshot of each stream that contains no event beyond a point in time.
-- Parameters:
--   $1 ids uuid[]
--   $2 before_versions integer[] exclusive: states of this version or a higher one are not read; one for each id
--   $3 through bigint position, inclusive
--   $4 recorded_at timestamp with time zone inclusive; NULL for any
--   $5 occurred_at timestamp with time zone inclusive; NULL for any
--   $6 schema_hash integer
-- Result: id uuid, version integer, state bytea
-- Locks: none beyond ACCESS SHARE
-- Index: state_snapshots_pkey, state_snapshots_stream_position_idx, state_snapshots_recorded_idx,
--   state_snapshots_occurred_idx
SELECT given.id, base.version, base.state
FROM unnest($1::pg_catalog.uuid[], $2::integer[]) AS given (id, before_version)
CROSS JOIN LATERAL (
    SELECT least(
        coalesce((
            SELECT kept.version FROM {schema}.state_snapshots AS kept
            WHERE kept.stream_id = given.id AND kept.position <= $3::bigint
            ORDER BY kept.position DESC
            LIMIT 1
        ), 0),
        CASE WHEN $4::pg_catalog.timestamptz IS NOT NULL THEN coalesce((
            SELECT kept.version FROM {schema}.state_snapshots AS kept
            WHERE kept.stream_id = given.id AND kept.recorded_through <= $4::pg_catalog.timestamptz
            ORDER BY kept.recorded_through DESC, kept.version DESC
            LIMIT 1
        ), 0) END,
        CASE WHEN $5::pg_catalog.timestamptz IS NOT NULL THEN coalesce((
            SELECT kept.version FROM {schema}.state_snapshots AS kept
            WHERE kept.stream_id = given.id AND kept.occurred_through <= $5::pg_catalog.timestamptz
            ORDER BY kept.occurred_through DESC, kept.version DESC
            LIMIT 1
        ), 0) END,
        given.before_version - 1
    ) AS version
) AS last
CROSS JOIN LATERAL (
    SELECT kept.version, kept.state FROM {schema}.state_snapshots AS kept
    WHERE kept.stream_id = given.id AND kept.version <= last.version AND kept.schema_hash = $6::integer
    ORDER BY kept.version DESC
    LIMIT 1
) AS base
