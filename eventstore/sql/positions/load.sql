-- Purpose: Read one position: its row, and the events of its stream that are not folded into the row yet.
-- Parameters:
--   $1 id uuid
-- Result: the columns of positions and of an event (event_position, event_version ...); either half may be NULL; one
--   row for each event, and one where there is only a row
-- Locks: none beyond ACCESS SHARE
-- Index: positions_pkey, events_pkey
SELECT
    row.*,
    event.position AS event_position, event.version AS event_version, event.stream_id, event.event_id,
    event.category, event.type, event.schema_version, event.data, event.metadata, event.occurred_at,
    event.recorded_at
FROM (SELECT) AS one
LEFT JOIN positions AS row ON row.id = $1::uuid
    -- A row that another version of the fold has made is no help: then the whole stream is folded.
    AND NOT EXISTS (SELECT FROM projections AS built WHERE built.name = 'positions' AND built.version <> 1)
LEFT JOIN events AS event ON event.stream_id = $1::uuid AND event.version > coalesce(row.version, 0)
ORDER BY event.version
