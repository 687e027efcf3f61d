-- A fresh list that reads little of the tail: the rows that match, and the events of the tail, with their rows, that
-- may belong to the answer. The slots are named in eventstore/repositories/lists.py; the statements made of this are
-- in tests/golden/sql.
{tail}
named AS MATERIALIZED (
    SELECT row.* FROM {source} AS row WHERE row.id = ANY (ARRAY(SELECT DISTINCT stream_id FROM tail))
),
-- The entities that may belong to the answer.
touched AS MATERIALIZED (
    SELECT stream_id FROM tail
    WHERE {event_may_belong}
    UNION
    SELECT id FROM named WHERE {row_may_belong}
),
candidates AS (
    (
        SELECT row.* FROM {source} AS row
        WHERE {where}
            AND ({start} IS NULL OR {after})
        ORDER BY {order}
        LIMIT $2::bigint + (SELECT pg_catalog.count(*) FROM touched)
    )
    UNION ALL
    SELECT * FROM named WHERE {row_may_belong} OR id IN (SELECT stream_id FROM touched)
),
-- The whole tail if it is too long, so that the reader can report its length.
correction AS (
    SELECT * FROM tail
    WHERE stream_id IN (SELECT stream_id FROM touched) OR (SELECT pg_catalog.count(*) FROM tail) >= $1::bigint
)
SELECT
    {columns},
    correction.*
FROM candidates
FULL JOIN correction ON correction.stream_id = candidates.id
