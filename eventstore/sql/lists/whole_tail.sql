-- A fresh list: the rows that match, the rows of every entity that the tail of the log names, and that tail.
-- The slots are named in eventstore/repositories/lists.py; the statements made of this are in tests/golden/sql.
{tail}
touched AS MATERIALIZED (
    SELECT DISTINCT stream_id FROM tail
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
    SELECT row.* FROM {source} AS row
    WHERE row.id = ANY (ARRAY(SELECT stream_id FROM touched))
)
SELECT
    {columns},
    tail.*
FROM candidates
FULL JOIN tail ON tail.stream_id = candidates.id
