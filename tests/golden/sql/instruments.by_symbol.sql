-- Purpose: Read the instruments of a symbol.
-- Parameters:
--   $1 tail_events_max bigint events; 0 reads the table alone
--   $2 limit bigint rows, NULL for all
--   $3 after_created_at timestamp with time zone where the page begins, exclusive; NULL at the start
--   $4 after_id uuid
--   $5 symbol text
-- Result: the columns of instruments (numbers and enums as text, version as row_version) and of an event;
--   either half may be NULL
-- Locks: none beyond ACCESS SHARE
-- Index: instruments_symbol_idx; events_position_key
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
named AS MATERIALIZED (
    SELECT row.* FROM {schema}.instruments AS row WHERE row.id = ANY (ARRAY(SELECT DISTINCT stream_id FROM tail))
),
-- The entities that may belong to the answer.
touched AS MATERIALIZED (
    SELECT stream_id FROM tail
    WHERE data ->> 'symbol'::pg_catalog.text = $5::pg_catalog.text
        OR (schema_version <> 1 OR type NOT IN ('InstrumentDefined', 'InstrumentAmended', 'InstrumentDeleted'))
        OR position <= (SELECT position FROM folded)
    UNION
    SELECT id FROM named WHERE symbol = $5::pg_catalog.text
),
candidates AS (
    (
        SELECT row.* FROM {schema}.instruments AS row
        WHERE row.symbol = $5::pg_catalog.text
            AND ($3::pg_catalog.timestamptz IS NULL OR (row.created_at, row.id) > ($3::pg_catalog.timestamptz, $4::pg_catalog.uuid))
        ORDER BY row.created_at, row.id
        LIMIT $2::bigint + (SELECT pg_catalog.count(*) FROM touched)
    )
    UNION ALL
    SELECT * FROM named WHERE symbol = $5::pg_catalog.text OR id IN (SELECT stream_id FROM touched)
),
-- The whole tail if it is too long, so that the reader can report its length.
correction AS (
    SELECT * FROM tail
    WHERE stream_id IN (SELECT stream_id FROM touched) OR (SELECT pg_catalog.count(*) FROM tail) >= $1::bigint
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
    correction.*
FROM candidates
FULL JOIN correction ON correction.stream_id = candidates.id
