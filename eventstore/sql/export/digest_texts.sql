-- Purpose: Compute a digest of the JSON of a range of events as PostgreSQL returns it.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
-- Result: digest bytea: the SHA-256 of data and metadata of each event in the order of positions, a newline after each
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT pg_catalog.sha256(pg_catalog.convert_to(
    pg_catalog.string_agg(
        pg_catalog.concat(data::pg_catalog.text, E'\n', metadata::pg_catalog.text, E'\n'), '' ORDER BY position
    ),
    'UTF8'
)) AS digest
FROM {schema}.events
WHERE position > $1::bigint AND position <= $2::bigint
