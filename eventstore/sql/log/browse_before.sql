-- Purpose: Read the events of a range that match, before a position, newest first, each JSON cut to a length: for
--   people to look at.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 before bigint position, exclusive
--   $3 limit bigint events
--   $4 categories text[] NULL for every category
--   $5 types text[] NULL for every type
--   $6 metadata jsonb that the metadata contains; NULL for any
--   $7 data jsonb that the data contains; NULL for any
--   $8 recorded_from timestamp with time zone inclusive; NULL for any
--   $9 recorded_through timestamp with time zone inclusive; NULL for any
--   $10 occurred_from timestamp with time zone inclusive; NULL for any
--   $11 occurred_through timestamp with time zone inclusive; NULL for any
--   $12 characters_max integer of each JSON
-- Result: position bigint, stream_id uuid, version integer, event_id uuid, category text, type text, schema_version smallint,
--   occurred_at timestamptz, recorded_at timestamptz, data text, data_characters integer, metadata text, metadata_characters
--   integer
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT
    position, stream_id, version, event_id, category, type, schema_version, occurred_at, recorded_at,
    pg_catalog.left(data::pg_catalog.text, $12::integer) AS data, pg_catalog.length(data::pg_catalog.text) AS data_characters,
    pg_catalog.left(metadata::pg_catalog.text, $12::integer) AS metadata,
    pg_catalog.length(metadata::pg_catalog.text) AS metadata_characters
FROM {schema}.events
WHERE position > $1::bigint AND position < $2::bigint
    AND ($4::pg_catalog.text[] IS NULL OR category = ANY ($4::pg_catalog.text[]))
    AND ($5::pg_catalog.text[] IS NULL OR type = ANY ($5::pg_catalog.text[]))
    AND ($6::pg_catalog.jsonb IS NULL OR metadata @> $6::pg_catalog.jsonb)
    AND ($7::pg_catalog.jsonb IS NULL OR data @> $7::pg_catalog.jsonb)
    AND ($8::pg_catalog.timestamptz IS NULL OR recorded_at >= $8::pg_catalog.timestamptz)
    AND ($9::pg_catalog.timestamptz IS NULL OR recorded_at <= $9::pg_catalog.timestamptz)
    AND ($10::pg_catalog.timestamptz IS NULL OR occurred_at >= $10::pg_catalog.timestamptz)
    AND ($11::pg_catalog.timestamptz IS NULL OR occurred_at <= $11::pg_catalog.timestamptz)
ORDER BY position DESC
LIMIT $3::bigint
