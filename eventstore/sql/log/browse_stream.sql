-- Purpose: Read the events of a stream after a version, each JSON cut to a length: for people to look at.
-- Parameters:
--   $1 stream_id uuid
--   $2 after bigint version, exclusive
--   $3 limit bigint events
--   $4 characters_max integer of each JSON
-- Result: position bigint, stream_id uuid, version integer, event_id uuid, category text, type text, schema_version smallint,
--   occurred_at timestamptz, recorded_at timestamptz, data text, data_characters integer, metadata text, metadata_characters
--   integer
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT
    position, stream_id, version, event_id, category, type, schema_version, occurred_at, recorded_at,
    pg_catalog.left(data::pg_catalog.text, $4::integer) AS data, pg_catalog.length(data::pg_catalog.text) AS data_characters,
    pg_catalog.left(metadata::pg_catalog.text, $4::integer) AS metadata,
    pg_catalog.length(metadata::pg_catalog.text) AS metadata_characters
FROM {schema}.events
WHERE stream_id = $1::pg_catalog.uuid AND version > $2::bigint
ORDER BY version
LIMIT $3::bigint
