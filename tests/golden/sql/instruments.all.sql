-- Purpose: Read the instruments in the order of their creation.
-- Parameters:
--   $1 tail_events_max bigint events; 0 reads the table alone
--   $2 limit bigint rows, NULL for all
--   $3 after_created_at timestamp with time zone where the page begins, exclusive; NULL at the start
--   $4 after_id uuid
-- Result: the columns of instruments (numbers and enums as text, version as row_version) and of an event;
--   either half may be NULL
-- Locks: none beyond ACCESS SHARE
-- Index: instruments_created_at_idx; events_position_key
WITH folded AS MATERIALIZED (
    SELECT coalesce(pg_catalog.min(checkpoint.position), 0) AS position FROM {schema}.projection_checkpoints AS checkpoint
    WHERE checkpoint.projection = 'instruments'
        AND CASE (SELECT version FROM {schema}.projections WHERE name = 'instruments')
            WHEN 1 THEN true
            ELSE {schema}.projection_is_of_version('instruments', 1)  -- raises where there is another
        END
),
tail AS MATERIALIZED (
    SELECT
        position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
        recorded_at
    FROM (
        (
            SELECT * FROM {schema}.events
            WHERE position > (SELECT position FROM folded) AND category = 'instrument'
            ORDER BY position
            LIMIT $1::bigint
        )
        UNION ALL
        (
            -- The waiting events of the keys in quarantine.
            SELECT event.* FROM {schema}.projection_quarantine AS held
            JOIN {schema}.events AS event ON event.stream_id = held.stream_id
            WHERE held.projection = 'instruments'
                AND event.position >= held.position
                AND event.position <= (SELECT position FROM folded)
            LIMIT $1::bigint
        )
    ) AS waiting
),
touched AS MATERIALIZED (
    SELECT DISTINCT stream_id FROM tail
),
candidates AS (
    (
        SELECT row.* FROM {schema}.instruments AS row
        WHERE true
            AND ($3::pg_catalog.timestamptz IS NULL OR (row.created_at, row.id) > ($3::pg_catalog.timestamptz, $4::pg_catalog.uuid))
        ORDER BY row.created_at, row.id
        LIMIT $2::bigint + (SELECT pg_catalog.count(*) FROM touched)
    )
    UNION ALL
    SELECT row.* FROM {schema}.instruments AS row
    WHERE row.id = ANY (ARRAY(SELECT stream_id FROM touched))
)
SELECT
    candidates.id,
    candidates.version AS row_version,
    candidates.symbol,
    candidates.venue,
    candidates.kind::pg_catalog.text AS kind,
    candidates.currency,
    candidates.base,
    candidates.quote,
    candidates.multiplier::pg_catalog.text AS multiplier,
    candidates.is_inverse,
    candidates.tick_size::pg_catalog.text AS tick_size,
    candidates.lot_size::pg_catalog.text AS lot_size,
    candidates.settlement::pg_catalog.text AS settlement,
    candidates.expires_at,
    candidates.created_at,
    tail.*
FROM candidates
FULL JOIN tail ON tail.stream_id = candidates.id
